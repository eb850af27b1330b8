import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test, type TestContext } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { startHttpServer } from '../support/http-server.ts';
import { until } from '../support/until.ts';
import {
  ENGINE,
  localCertificate,
  openApi,
  rawUpstream,
  sendAll,
  stage,
  type Stage,
  statusOf,
  Wire,
  wire,
} from './stage.ts';

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: h\r\n\r\n`;
const last = (path: string): string =>
  `GET ${path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`;

const chunked = (path: string): string =>
  `POST ${path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n`;

/** The paths that were answered, in order: the upstream answers with the path. */
function answered(text: string): string[] {
  return text.match(/(?<=\r\n\r\n)\/[a-z0-9]+/g) ?? [];
}

/** A gateway before an upstream that keeps every request until it is let go. */
async function held(t: TestContext): Promise<
  Stage & {
    readonly seen: string[];
    readonly release: (head?: (response: ServerResponse) => void) => void;
  }
> {
  const seen: string[] = [];
  const waiting: ServerResponse[] = [];
  const upstream = await startHttpServer((incoming, response) => {
    incoming.resume();
    seen.push(incoming.url ?? '');
    response.setHeader('Connection', 'close');
    waiting.push(response);
  });
  t.after(() => upstream.close());
  const staged = await stage(t, { apis: [openApi(upstream.url)] });
  return {
    ...staged,
    seen,
    release: (head) => {
      const response = waiting.shift();
      if (response === undefined) throw new Error('nothing waits');
      if (head === undefined) response.end(seen.at(-1));
      else head(response);
    },
  };
}

test('requests of one connection are worked on in order, one at a time', async (t) => {
  let together = 0;
  let most = 0;
  const upstream = await startHttpServer((incoming, response) => {
    most = Math.max(most, ++together);
    setImmediate(() => {
      together--;
      response.end(incoming.url);
    });
  });
  t.after(() => upstream.close());
  const { port } = await stage(t, { apis: [openApi(upstream.url)] });
  const text = await sendAll(t, port, get('/1') + get('/2') + get('/3') + last('/4'));
  assert.deepEqual(answered(text), ['/1', '/2', '/3', '/4']);
  assert.equal(most, 1);
  const paths = Array.from({ length: 300 }, (_, at) => `/${at}`);
  const many = await sendAll(t, port, paths.map((path) => get(path)).join('') + last('/end'));
  assert.deepEqual(answered(many), [...paths, '/end'], 'however many they are');
});

test('a client that sends many is read no further until some are answered', async (t) => {
  const { port, seen, release } = await held(t);
  const client = await wire(t, port);
  const filler = 'x'.repeat(4_000);
  const one = `GET /a HTTP/1.1\r\nHost: h\r\nX: ${filler}\r\n\r\n`;
  const total = 4_000; // more than 16 MB: more than the buffers of both sockets take
  client.send(one.repeat(total - 1) + last('/end'));
  await until(() => seen.length === 1, 'the first is at the upstream');
  let before = -1;
  await until(() => {
    const still = client.socket.writableLength === before && before > 0;
    before = client.socket.writableLength;
    return still;
  }, 'the client cannot send any more');
  assert.deepEqual(seen, ['/a'], 'one at a time');
  const pump = setInterval(() => {
    if (seen.length > done) {
      done++;
      release();
    }
  }, 0);
  let done = 0;
  t.after(() => clearInterval(pump));
  await until(() => answered(client.text).length >= 60, 'it is read on');
  client.socket.destroy();
});

test('pipelined bodies over TLS are all forwarded, in order', async (t) => {
  const upstream = await startHttpServer((incoming, response) => {
    let size = 0;
    incoming.on('data', (chunk: Buffer) => (size += chunk.length));
    incoming.on('end', () => response.end(size % 300 === 0 ? incoming.url : 'cut'));
  });
  t.after(() => upstream.close());
  const tls = await localCertificate();
  const { port } = await stage(t, {
    apis: [openApi(upstream.url)],
    listeners: [{ kind: 'https', host: '127.0.0.1', port: 0, tls }],
  });
  const socket = connectTls({ port, host: 'localhost', ca: tls.cert, ALPNProtocols: ['http/1.1'] });
  t.after(() => socket.destroy());
  const client = new Wire(socket);
  const paths = Array.from({ length: 1_300 }, (_, at) => `/${at}`);
  const post = (path: string): string =>
    `POST ${path} HTTP/1.1\r\nHost: h\r\nContent-Length: 300\r\n\r\n${'x'.repeat(300)}`;
  client.send(paths.map((path) => post(path)).join('') + last('/end'));
  await until(() => socket.closed, 'all are answered', 20_000);
  assert.deepEqual(answered(client.text), [...paths, '/end']);
});

test('a flood in one read is answered in part, and the connection closed; or in turn', async (t) => {
  const { port, log } = await stage(t, {});
  if (ENGINE === 'own') {
    // What waits is bytes that are not read yet: there is nothing to be afraid of.
    const all = await sendAll(t, port, get('/health').repeat(1_500) + last('/health'));
    assert.equal(all.match(/HTTP\/1\.1 200/g)?.length, 1_501);
    return;
  }
  const text = await sendAll(t, port, get('/health').repeat(1_500));
  const count = text.match(/HTTP\/1\.1 200/g)?.length ?? 0;
  assert.ok(count > 100 && count < 1_500, `${count}`);
  assert.match(text.slice(-400), /\r\nConnection: close\r\n/);
  assert.ok(log.lines.some((line) => line.includes('a pipelined request is dropped')));
});

const BEHIND: Readonly<Record<string, readonly [string, string]>> = {
  'garbage behind a request': [get('/a'), '\x00\x01garbage\r\n\r\n'],
  'a malformed request behind a good one': [get('/a'), 'GET /b HTTP/1.1\r\nX : y\r\n\r\n'],
  'bytes behind Connection: close': [last('/a'), last('/b')],
  'bytes behind an HTTP/1.0 request': ['GET /a HTTP/1.0\r\n\r\n', 'GET /b HTTP/1.0\r\n\r\n'],
  'an unfinished request and FIN': [get('/a'), 'GET /b HTT'],
  'garbage in a body behind a request': [get('/a'), `${chunked('/b')}zz\r\n`],
};

for (const [what, [good, bad]] of Object.entries(BEHIND)) {
  test(`${what}: the good one is answered, then the connection is closed`, async (t) => {
    const { port, seen, release, gateway } = await held(t);
    const client = (await wire(t, port)).send(good + bad);
    if (what.endsWith('FIN')) client.socket.end();
    await until(() => seen.length === 1, 'the good one is at the upstream');
    release();
    const text = await client.closed();
    assert.deepEqual(answered(text), ['/a']);
    assert.equal(client.ending, 'clean');
    await until(() => gateway.counters().active === 0, 'the request is over');
    // Own: what is behind a request is not looked at before that is answered, and has an answer of its own; of half a request nobody
    // knows by then that the rest will not come.
    const refused =
      ENGINE === 'own' && (what.startsWith('garbage') || what.startsWith('a malformed'));
    if (ENGINE === 'node' || !what.endsWith('FIN')) assert.match(text, /\r\nConnection: close\r\n/);
    assert.equal(text.match(/HTTP\/1\.1/g)?.length, refused ? 2 : 1);
    assert.deepEqual(gateway.counters().outcomes, {
      forwarded: 1,
      ...(refused && { badRequest: 1 }),
    });
    assert.deepEqual(seen, ['/a']);
  });
}

test('a client that ends its side behind its last request is answered by the own engine alone', async (t) => {
  const { port, seen, release, gateway } = await held(t);
  const client = (await wire(t, port)).send(last('/a'));
  await until(() => seen.length === 1, 'the request is at the upstream');
  client.socket.end();
  if (ENGINE === 'own') release();
  assert.deepEqual(answered(await client.closed()), ENGINE === 'own' ? ['/a'] : []);
  assert.equal(client.ending, 'clean');
  await until(() => gateway.counters().active === 0, 'the request is over');
  assert.deepEqual(
    gateway.counters().outcomes,
    ENGINE === 'own' ? { forwarded: 1 } : { aborted: 1 },
  );
});

test('garbage that comes when the head is out does not cost the rest of the answer', async (t) => {
  const { port, seen, release } = await held(t);
  const client = (await wire(t, port)).send(get('/a'));
  await until(() => seen.length === 1, 'the request is at the upstream');
  let finish = (): void => undefined;
  release((response) => {
    response.setHeader('Content-Length', 8);
    response.write('half');
    finish = () => response.end('rest');
  });
  await client.until(/half/);
  client.send('\x00\x01garbage\r\n\r\n').send('more\r\n\r\n');
  const { socket } = client;
  await until(() => socket.writableLength === 0, 'the garbage is sent');
  finish();
  // Own: it is looked at when its turn has come, and answered.
  const end = ENGINE === 'own' ? /halfrestHTTP\/1\.1 400 [^]*\}\}$/ : /halfrest$/;
  assert.match(await client.closed(), end);
  assert.equal(client.ending, 'clean');
});

test('several good ones before garbage are all answered', async (t) => {
  const { port, seen, release } = await held(t);
  const client = (await wire(t, port)).send(`${get('/a')}${get('/b')}${get('/c')}\x00\r\n\r\n`);
  for (let count = 1; count <= 3; count++) {
    await until(() => seen.length === count, `request ${count}`);
    release();
  }
  const text = await client.closed();
  assert.deepEqual(answered(text), ['/a', '/b', '/c']);
  assert.equal(text.match(/\r\nConnection: close\r\n/g)?.length, 1, 'the last');
});

test('requests that wait behind one that closes are not worked on', async (t) => {
  const { port, seen, release, gateway } = await held(t);
  const body = 'GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi';
  const client = (await wire(t, port)).send(body + get('/second') + get('/third'));
  await until(() => seen.length === 1, 'the first is at the upstream');
  release();
  assert.equal(statusOf(await client.closed()), 200);
  await until(() => gateway.counters().active === 0, 'nothing is left');
  assert.deepEqual(seen, ['/a']);
});

const HOST = ' HTTP/1.1\r\nHost: h\r\n';
const FRAMED = {
  'a length': 'Content-Length: 4\r\n\r\nabcd',
  chunks: 'Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n',
};

/** Heads without their end, and the status of an answer that closes. */
const CLOSING: Readonly<Record<string, readonly [head: string, status: number]>> = {
  'a dot segment': [`POST /a/../b${HOST}`, 400],
  'two credentials': [`POST /a${HOST}Authorization: x\r\nAuthorization: y\r\n`, 400],
  'a look-alike of framing': [`POST /a${HOST}Transfer_Encoding: chunked\r\n`, 400],
  'a target that is too long': [`POST /a?${'q'.repeat(5_000)}${HOST}`, 414],
  'an unknown expectation': [`POST /a${HOST}Expect: x\r\n`, 417],
  'a GET with a body': [`GET /a${HOST}`, 200],
};

const HIDDEN: Readonly<Record<string, string>> = {
  'a request': `POST /hidden${HOST}Content-Length: 3\r\n\r\nabc`,
  'a handshake': `GET /hidden${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`,
};

for (const [what, [head, status]] of Object.entries(CLOSING)) {
  for (const [how, body] of Object.entries(FRAMED)) {
    test(`behind an answer that says close nothing is worked on: ${what}, with ${how}`, async (t) => {
      let text = '';
      const upstream = await rawUpstream(t, (socket) => {
        socket.setEncoding('latin1').on('data', (chunk: string) => {
          text += chunk;
          if (/^[A-Z]+ \//.test(chunk)) {
            socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
          }
        });
      });
      const { port, gateway } = await stage(t, { apis: [openApi(upstream.url)] });
      for (const [which, hidden] of Object.entries(HIDDEN)) {
        // A call that finds an idle connection to its upstream is written at once.
        const idle = (await wire(t, port)).send(get('/before'));
        await idle.until(/ok$/);
        const before = count(gateway.counters().outcomes);
        const client = (await wire(t, port)).send(head + body + hidden);
        const answer = await client.closed();
        assert.equal(statusOf(answer), status);
        assert.match(answer, /\r\nConnection: close\r\n/);
        assert.equal(answer.match(/HTTP\/1\.1/g)?.length, 1, which);
        assert.equal(client.ending, 'clean');
        await until(() => gateway.counters().active === 0, 'nothing is left');
        assert.equal(count(gateway.counters().outcomes), before + 1, which);
        idle.text = '';
        await idle.send(get('/after')).until(/ok$/);
        assert.doesNotMatch(text, /hidden/, which);
      }
    });
  }
}

test('a body behind a head that asks for another protocol is its body, and never a request', async (t) => {
  let body = '';
  const upstream = await startHttpServer((incoming, response) => {
    incoming.on('data', (chunk: Buffer) => (body += chunk.toString('latin1')));
    incoming.on('end', () => response.end(incoming.url));
  });
  t.after(() => upstream.close());
  const { port, gateway } = await stage(t, { apis: [openApi(upstream.url)] });
  const hidden = get('/hidden');
  for (const protocol of ['h2c', 'websocket, h2c']) {
    body = '';
    const head = `POST /a${HOST}Connection: Upgrade\r\nUpgrade: ${protocol}\r\n`;
    const client = await wire(t, port);
    client.send(`${head}Content-Length: ${hidden.length}\r\n\r\n${hidden}`);
    await client.until(/\/a$/);
    const own = ENGINE === 'own';
    if (own) client.send(last('/b'));
    assert.deepEqual(answered(await client.closed()), own ? ['/a', '/b'] : ['/a']);
    assert.equal(body, hidden);
  }
  await until(() => gateway.counters().active === 0, 'nothing is left');
  assert.deepEqual(gateway.counters().outcomes, { forwarded: ENGINE === 'own' ? 4 : 2 });
});

test('requests behind one that asks for another protocol are answered, or none of them is', async (t) => {
  const upstream = await startHttpServer((incoming, response) => {
    incoming.resume().on('end', () => response.end(incoming.url));
  });
  t.after(() => upstream.close());
  const { port } = await stage(t, { apis: [openApi(upstream.url)] });
  for (const first of ['GET /a', 'POST /a']) {
    const client = await wire(t, port);
    const head = `${first}${HOST}Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n`;
    // node:http leaves out what it has read behind the head, and would read on in the middle of a request.
    client.send(`${head}${get('/b')}GET /c${HOST}X: `);
    await client.until(ENGINE === 'own' ? /\/b$/ : /\/a$/);
    const text = await client.send(`y\r\n\r\n${last('/d')}`).closed();
    assert.deepEqual(answered(text), ENGINE === 'own' ? ['/a', '/b', '/c', '/d'] : ['/a']);
    assert.match(text, /\r\nConnection: close\r\n/);
  }
});

function count(outcomes: Readonly<Partial<Record<string, number>>>): number {
  return Object.values(outcomes).reduce<number>((sum, value = 0) => sum + value, 0);
}

test('what comes behind the head of an answer that says close is not worked on', async (t) => {
  const { port, seen, release, gateway } = await held(t);
  const client = (await wire(t, port)).send(`GET /a${HOST}Content-Length: 4\r\n\r\nab`);
  await until(() => seen.length === 1, 'the half of it is at the upstream');
  let finish = (): void => undefined;
  release((response) => {
    response.setHeader('Content-Length', 8);
    response.write('half');
    finish = () => response.end('rest');
  });
  assert.match(await client.until(/half/), /\r\nConnection: close\r\n/);
  client.send(`cd${get('/hidden')}`);
  const { socket } = client;
  await until(() => socket.writableLength === 0, 'it is sent');
  finish();
  const text = await client.closed();
  assert.equal(text.match(/HTTP\/1\.1/g)?.length, 1);
  assert.match(text, /halfrest$/);
  assert.equal(client.ending, 'clean');
  await until(() => gateway.counters().active === 0, 'nothing is left');
  assert.deepEqual(gateway.counters().outcomes, { forwarded: 1 });
  assert.deepEqual(seen, ['/a']);
});

const CUT: Readonly<Record<string, string>> = {
  'a body of a length': `POST /b${HOST}Content-Length: 10\r\n\r\nabc`,
  'a body in chunks': `${chunked('/b')}5\r\nabc`,
  'a body that waits for 100': `POST /b${HOST}Expect: 100-continue\r\nContent-Length: 3\r\n\r\n`,
};

for (const [what, cut] of Object.entries(CUT)) {
  test(`${what} that FIN cuts short behind good requests: they are answered, it never begins`, async (t) => {
    const { port, seen, release, gateway } = await held(t);
    const client = await wire(t, port);
    client.socket.end(get('/a') + get('/c') + cut);
    await until(() => seen.length === 1, 'the first is at the upstream');
    release();
    await until(() => seen.length === 2, 'the second is at the upstream');
    release();
    const text = await client.closed();
    assert.deepEqual(answered(text), ['/a', '/c']);
    assert.equal(text.match(/HTTP\/1\.1/g)?.length, 2);
    assert.equal(client.ending, 'clean');
    await until(() => gateway.counters().active === 0, 'nothing is left');
    assert.deepEqual(gateway.counters().outcomes, { forwarded: 2 });
    assert.deepEqual(seen, ['/a', '/c']);
  });
}

test('a client that leaves takes its waiting requests with it', async (t) => {
  let seen = 0;
  const upstream = await rawUpstream(t, (socket) => void socket.on('data', () => seen++));
  const { port, gateway } = await stage(t, { apis: [openApi(upstream.url)] });
  const client = (await wire(t, port)).send(get('/a').repeat(5));
  await until(() => seen === 1, 'the first is at the upstream');
  client.socket.resetAndDestroy();
  await until(() => gateway.counters().active === 0, 'nothing is left');
  assert.deepEqual(gateway.counters().outcomes, { aborted: 1 });
  assert.equal(seen, 1);
});
