import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { test, type TestContext } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { startHttpServer } from '../../support/http-server.ts';
import { until } from '../../support/until.ts';
import {
  localCertificate,
  openApi,
  rawUpstream,
  sendAll,
  stage,
  type Stage,
  statusOf,
  Wire,
  wire,
} from '../stage.ts';

const GET = 'GET /a HTTP/1.1\r\nHost: h\r\n\r\n';

function own(t: TestContext, options: Parameters<typeof stage>[1]): Promise<Stage> {
  return stage(t, { engine: 'own', ...options });
}

async function echoing(t: TestContext, options: Parameters<typeof stage>[1] = {}): Promise<Stage> {
  const upstream = await startHttpServer((request, response) => {
    request.pipe(response);
  });
  t.after(() => upstream.close());
  return own(t, { apis: [openApi(upstream.url)], ...options });
}

test('a silent connection, and half a head, are answered 408 in time', async (t) => {
  const { port, gateway } = await own(t, { timeouts: { headersMs: 100 } });
  const silent = await wire(t, port);
  const half = (await wire(t, port)).send('GET /a HTTP/1.1\r\nHos');
  // A byte now and then makes no difference.
  const drip = setInterval(() => half.socket.writable && half.send('t'), 20);
  t.after(() => clearInterval(drip));
  for (const client of [silent, half]) {
    assert.equal(statusOf(await client.closed()), 408);
    assert.match(client.text, /\r\nConnection: close\r\n/);
  }
  assert.deepEqual(gateway.counters().outcomes, { requestTimedOut: 2 });
});

test('what is wrong with a request that cannot be read is in the log in words, and no byte of it', async (t) => {
  const { port, log } = await own(t, {});
  const request = (fields: string, target = '/SECRET'): string =>
    `GET ${target} HTTP/1.1\r\nHost: h\r\n${fields}\r\n`;
  for (const [bytes, line] of [
    [request('X:SECRET\r\n'.repeat(120)), '431 headersTooLarge: too many fields'],
    [request(`X: ${'SECRET'.repeat(2_000)}\r\n`), '431 headersTooLarge: too many bytes of fields'],
    [request('', `/${'SECRET'.repeat(2_000)}`), '414 uriTooLong: request target too long'],
    [request('Host: SECRET\r\n'), '400 badRequest: more than one Host'],
    [request('SECRET : x\r\n'), '400 badRequest: field name that is no token'],
    [request('Content-Length: SECRET\r\n'), '400 badRequest: Content-Length is not a number'],
    ['SECRET /a HTTP/1.1\r\n\r\n', '400 badRequest: unknown method'],
    ['CONNECT secret:1 HTTP/1.1\r\n\r\n', '405 methodNotAllowed: CONNECT is not served'],
  ] as const) {
    const id = /X-Request-Id: (\S+)/i.exec(await sendAll(t, port, bytes))?.[1];
    assert.equal(log.lines.pop(), `INFO [Gateway] [${id}] ${line} (from 127.0.0.1)`);
  }
});

test('a kept connection ends without a word when nothing comes', async (t) => {
  const { port, gateway } = await echoing(t, { timeouts: { keepAliveMs: 100 } });
  const client = (await wire(t, port)).send(GET);
  assert.equal(statusOf(await client.closed()), 200);
  assert.equal(client.text.match(/HTTP\/1\.1/g)?.length, 1);
  assert.equal(client.ending, 'clean');
  assert.deepEqual(gateway.counters().outcomes, { forwarded: 1 });
});

test('a body that comes too slowly as a whole is 408, and the upstream call is ended', async (t) => {
  let over = false;
  const upstream = await rawUpstream(t, (socket) => {
    socket.resume().on('end', () => socket.end());
    socket.on('close', () => (over = true));
  });
  const { port } = await own(t, {
    apis: [openApi(upstream.url)],
    timeouts: { requestMs: 200 },
  });
  const client = (await wire(t, port)).send(
    'POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n',
  );
  const drip = setInterval(() => client.socket.writable && client.send('1\r\na\r\n'), 20);
  t.after(() => clearInterval(drip));
  assert.equal(statusOf(await client.until(/\}\}$/)), 408);
  assert.match(client.text, /\r\nConnection: close\r\n/);
  await until(() => over, 'the upstream call is over');
});

test('a client that takes nothing of its answer is cut off, and its upstream call ended', async (t) => {
  let over = false;
  const upstream = await startHttpServer((_, response) => {
    response.on('close', () => (over = true));
    const chunk = Buffer.alloc(65_536);
    const pump = (): void => {
      while (!response.destroyed && response.write(chunk));
    };
    response.on('drain', pump);
    pump();
  });
  t.after(() => upstream.close());
  const { port, gateway } = await own(t, {
    apis: [openApi(upstream.url)],
    upstream: { idleBodyTimeoutMs: 400 },
  });
  const client = await wire(t, port);
  client.socket.pause();
  client.send(GET);
  await until(() => over, 'the upstream call is over');
  assert.deepEqual(gateway.counters().outcomes, { aborted: 1 });
});

for (const how of ['TCP', 'TLS'] as const) {
  test(`a client may end its side behind its last request (${how})`, async (t) => {
    const tls = await localCertificate();
    const { port } = await echoing(t, {
      listeners: [{ kind: how === 'TCP' ? 'http' : 'https', host: '127.0.0.1', port: 0, tls }],
    });
    const socket =
      how === 'TCP'
        ? connectTcp({ port, host: '127.0.0.1' })
        : connectTls({ port, host: 'localhost', ca: tls.cert });
    socket.allowHalfOpen = true;
    t.after(() => socket.destroy());
    await once(socket, how === 'TCP' ? 'connect' : 'secureConnect');
    const client = new Wire(socket);
    client.send(
      'POST /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello',
    );
    socket.end();
    assert.match(await client.until(/\r\n0\r\n\r\n$/), /hello/);
    await until(() => client.ending === 'clean', 'the end');
  });
}

test('an error of ours ends its connection and no other', async (t) => {
  const { port, log, gateway } = await echoing(t);
  const bystander = (await wire(t, port)).send(GET);
  await bystander.until(/\r\n\r\n$/);
  let thrown = false;
  const info = log.info.bind(log);
  log.info = (...line) => {
    if (thrown) return info(...line);
    thrown = true;
    throw new Error('unheard of');
  };
  const client = (await wire(t, port)).send('\x00');
  assert.equal(await client.closed(), '');
  assert.ok(log.lines.some((line) => line.startsWith('ERROR') && line.includes('unheard of')));
  bystander.text = '';
  await bystander.send(GET).until(/\r\n\r\n$/);
  assert.deepEqual(gateway.counters().outcomes, { forwarded: 2, internalError: 1 });
});

/** So many clients leave; more on request, to see smaller leaks. */
const ABORTS = Number(process.env['PORTCULLIS_ABORTS'] ?? 600);

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** What of this process is open. */
function descriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

test('clients that leave at any moment leave nothing behind', async (t) => {
  const tls = await localCertificate();
  const upstream = await startHttpServer((request, response) => {
    request.resume();
    response.write('some');
    if (request.url === '/whole') response.end();
  });
  t.after(() => upstream.close());
  const { port, bound, gateway } = await own(t, {
    apis: [openApi(upstream.url)],
    listeners: [
      { kind: 'http', host: '127.0.0.1', port: 0 },
      { kind: 'https', host: '127.0.0.1', port: 0, tls },
    ],
  });
  const securePort = bound[1]?.port ?? 0;
  const moments = [
    '',
    'GET /a HT',
    GET,
    'POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nsome',
    GET + GET,
    '\x00',
  ];
  const abort = async (at: number): Promise<void> => {
    const bytes = moments[at % moments.length] ?? '';
    const secure = at % 5 === 0;
    const socket = secure
      ? connectTls({ port: securePort, host: 'localhost', ca: tls.cert })
      : connectTcp({ port, host: '127.0.0.1' });
    socket.on('error', () => undefined);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    const leave = (): void => {
      // Who only ends its side, with more requests there, may be waiting for the answers.
      if (!secure && (at % 3 === 0 || bytes === GET + GET)) socket.resetAndDestroy();
      else socket.destroy();
    };
    if (secure && at % 2 === 0) socket.once('connect', leave); // in the handshake
    else {
      await once(socket, secure ? 'secureConnect' : 'connect');
      if (bytes === GET && at % 4 === 0) socket.once('data', leave).write(bytes); // in the answer
      else if (bytes === '') leave();
      else socket.write(bytes, leave);
    }
    await closed;
  };
  const round = async (count: number): Promise<void> => {
    for (let at = 0; at < count; at += 20) {
      await Promise.all(Array.from({ length: 20 }, (_, one) => abort(at + one)));
    }
    await until(() => gateway.counters().active === 0, 'nothing is under way');
  };
  await round(300);
  const settled = async (): Promise<number> => {
    let before = -1;
    await until(() => {
      const still = descriptors() === before;
      before = descriptors();
      return still;
    }, 'descriptors rest');
    return before;
  };
  const before = await settled();
  collect();
  const heap = process.memoryUsage().heapUsed;
  await round(ABORTS);
  await until(() => descriptors() <= before + 4, `descriptors are back at ${before}`);
  await until(() => {
    collect();
    return process.memoryUsage().heapUsed <= heap + 3_000_000;
  }, 'the heap is back');
});
