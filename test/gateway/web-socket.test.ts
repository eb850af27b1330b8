import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:http2';
import type { Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { Agent, WebSocket } from 'undici';
import { startHttpServer } from '../support/http-server.ts';
import { until } from '../support/until.ts';
import {
  api,
  ENGINE,
  localCertificate,
  openApi,
  rawUpstream,
  sendAll,
  stage,
  statusOf,
  wire,
} from './stage.ts';
import type { Stage } from './stage.ts';
import type { GatewayOptions } from '../../src/gateway/options.ts';
import {
  ACCEPT,
  CLOSE_GOING,
  frame,
  handshake,
  KEY,
  SWITCHED,
  webSocketUpstream,
  type WebSocketUpstream,
} from './web-socket.ts';

const SWITCHED_HEAD = /^HTTP\/1\.1 101 .*\r\n\r\n/s;

/** A gateway before one upstream that switches. */
async function before(
  t: TestContext,
  serve?: (socket: Socket) => void,
  options: Partial<GatewayOptions> = {},
): Promise<Stage & { readonly upstream: WebSocketUpstream }> {
  const upstream = await webSocketUpstream(t, serve);
  return { ...(await stage(t, { apis: [openApi(upstream.url)], ...options })), upstream };
}

for (const [from, to] of [
  ['http', 'http'],
  ['http', 'https'],
  ['https', 'http'],
  ['https', 'https'],
] as const) {
  test(`messages pass both ways from ${from} to ${to}, whatever their size, with the chosen sub-protocol`, async (t) => {
    const tls = await localCertificate();
    const fields = 'Sec-WebSocket-Protocol: chat.v2\r\n';
    const upstream = await webSocketUpstream(t, undefined, { fields, tls: to === 'https' });
    const staged = await stage(t, {
      listeners: [
        from === 'http'
          ? { kind: 'http', host: '127.0.0.1', port: 0 }
          : { kind: 'https', host: '127.0.0.1', port: 0, tls },
      ],
      apis: [openApi(upstream.url)],
      upstream: { ca: [tls.cert] },
    });
    const agent = new Agent({ connect: { ca: tls.cert } });
    t.after(() => agent.destroy());
    const url = `${from === 'http' ? 'ws' : 'wss'}://localhost:${staged.port}/a?b=c`;
    const socket = new WebSocket(url, { protocols: ['chat.v1', 'chat.v2'], dispatcher: agent });
    await once(socket, 'open');
    assert.equal(socket.protocol, 'chat.v2');
    assert.equal(upstream.requests[0]?.url, '/a?b=c');
    assert.equal(staged.gateway.counters().active, 1);
    for (const text of ['hello', 'm'.repeat(70_000), randomBytes(1_000_000).toString('hex')]) {
      socket.send(text);
      const [message] = (await once(socket, 'message')) as [MessageEvent];
      assert.equal(message.data === text, true, `${text.length} characters`);
    }
    socket.close(4_001, 'enough');
    const [closed] = (await once(socket, 'close')) as [CloseEvent];
    assert.deepEqual([closed.code, closed.reason, closed.wasClean], [4_001, 'enough', true]);
    await until(() => staged.gateway.counters().active === 0, 'the request is over');
    assert.deepEqual(staged.gateway.counters().outcomes, { forwarded: 1 });
  });
}

test('the handshake passes the header policy; what concerns the WebSocket reaches the upstream as it came', async (t) => {
  const fields = 'X-From: upstream\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nKeep-Alive: 5\r\n';
  const upstream = await webSocketUpstream(t, undefined, { fields });
  const { port } = await stage(t, {
    apis: [api('/chat', ['GET /{room}', { secured: true, production: [`${upstream.url}/v1`] }])],
  });
  const client = await wire(t, port);
  client.send(
    handshake('/chat/7?x=1', {
      Host: 'gw.example',
      Connection: 'keep-alive, Upgrade, X-Hop',
      Upgrade: 'WebSocket',
      'X-Hop': '1',
      Authorization: 'Bearer good',
      Origin: 'https://app.example',
      'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits',
      'X-Forwarded-For': '6.6.6.6',
      Cookie: 'c=1',
    }),
  );
  const head = await client.until(SWITCHED_HEAD);
  const [request] = upstream.requests;
  assert.ok(request);
  assert.equal(request.url, '/v1/7?x=1');
  assert.deepEqual(request.headers, {
    host: request.headers.host,
    connection: 'upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': KEY,
    'sec-websocket-extensions': 'permessage-deflate; client_max_window_bits',
    origin: 'https://app.example',
    cookie: 'c=1',
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-proto': 'http',
    'x-forwarded-host': 'gw.example',
  });
  const [line, ...answered] = head.trimEnd().split('\r\n');
  assert.equal(line, 'HTTP/1.1 101 Switching Protocols');
  // Their order, and whether there is a Date, is the engine's.
  assert.deepEqual(answered.filter((field) => !field.startsWith('Date: ')).toSorted(), [
    'Connection: Upgrade',
    `Sec-WebSocket-Accept: ${ACCEPT}`,
    'Upgrade: websocket',
    'set-cookie: a=1',
    'set-cookie: b=2',
    'x-from: upstream',
  ]);
});

test('only operations of the definition switch, and only for those who may use them', async (t) => {
  const upstream = await webSocketUpstream(t);
  const operation = { secured: true, production: [upstream.url] };
  const { port, gateway } = await stage(t, {
    apis: [api('', ['GET /chat', operation], ['POST /post', operation])],
  });
  const as = (name: string) => ({ Authorization: `Bearer ${name}` });
  for (const [path, fields, status] of [
    ['/chat', {}, 401],
    ['/chat', as('revoked'), 401],
    ['/chat', as('refused later'), 401],
    ['/other', as('good'), 404],
    ['/post', as('good'), 405],
    ['/%2e%2e/chat', as('good'), 400],
  ] as const) {
    const answer = await sendAll(t, port, handshake(path, fields));
    assert.equal(statusOf(answer), status, path);
    assert.match(answer, /\r\nConnection: close\r\n/);
  }
  assert.equal(statusOf(await sendAll(t, port, handshake('/health'))), 200);
  assert.equal(upstream.requests.length, 0);
  for (const name of ['good', 'later']) {
    const client = await wire(t, port);
    await client.send(handshake('/chat', as(name))).until(SWITCHED_HEAD);
  }
  assert.equal(gateway.counters().active, 2);
});

const MALFORMED: readonly (readonly [string, string, number])[] = [
  ['without a key', handshake('/a', { 'Sec-WebSocket-Key': null }), 400],
  ['with a short key', handshake('/a', { 'Sec-WebSocket-Key': 'c2hvcnQ=' }), 400],
  ['with a long key', handshake('/a', { 'Sec-WebSocket-Key': `AAAA${KEY}` }), 400],
  [
    'with a key that is no base64',
    handshake('/a', { 'Sec-WebSocket-Key': `-${KEY.slice(1)}` }),
    400,
  ],
  ['with two keys', handshake('/a', { 'sec-websocket-key': KEY }), 400],
  [
    'with its key as a hop-by-hop field',
    handshake('/a', { Connection: 'Upgrade, Sec-WebSocket-Key' }),
    400,
  ],
  ['without a version', handshake('/a', { 'Sec-WebSocket-Version': null }), 426],
  ['of version 8', handshake('/a', { 'Sec-WebSocket-Version': '8' }), 426],
  ['of two versions', handshake('/a', { 'Sec-WebSocket-Version': '13, 8' }), 426],
  ['by POST', handshake('/a').replace('GET', 'POST'), 400],
  ['with a body', `${handshake('/a', { 'Content-Length': '4' })}abcd`, 400],
  ['with a chunked body', `${handshake('/a', { 'Transfer-Encoding': 'chunked' })}0\r\n\r\n`, 400],
  [
    'with two lengths',
    `${handshake('/a', { 'Content-Length': '0', 'content-length': '4' })}abcd`,
    400,
  ],
];

for (const [what, bytes, status] of MALFORMED) {
  test(`a handshake ${what} is ${status} and does not reach the upstream`, async (t) => {
    const { port, upstream } = await before(t);
    const client = (await wire(t, port)).send(bytes);
    const answer = await client.until(/\}\}$/);
    assert.equal(statusOf(answer), status);
    if (status === 426) {
      assert.match(answer, /\r\nUpgrade: websocket\r\n/);
      assert.match(answer, /\r\nConnection: Upgrade\r\n/);
      assert.match(answer, /\r\nSec-WebSocket-Version: 13\r\n/);
    }
    assert.equal(upstream.requests.length, 0);
  });
}

for (const [what, fields] of Object.entries({
  h2c: { Upgrade: 'h2c' },
  TLS: { Upgrade: 'TLS/1.0' },
  'websocket and another': { Upgrade: 'websocket, h2c' },
  'websocket, but not by Connection': { Connection: 'keep-alive' },
})) {
  test(`an upgrade to ${what} is ignored and the connection stays HTTP/1.1`, async (t) => {
    const { port, upstream } = await before(t);
    const client = (await wire(t, port)).send(handshake('/a', fields));
    assert.equal(statusOf(await client.until(/plain$/)), 200);
    if (ENGINE === 'own' || !/\r\nConnection: upgrade/i.test(handshake('/a', fields))) {
      client.text = '';
      assert.equal(statusOf(await client.send(handshake('/b', fields)).until(/plain$/)), 200);
    } else {
      // As long as it lasts: node:http leaves out what it has read behind such a head.
      assert.match(await client.closed(), /\r\nConnection: close\r\n/);
    }
    assert.equal(upstream.requests.length, 0);
  });
}

test('where the operation says no, a handshake is a plain request', async (t) => {
  const upstream = await startHttpServer((request, answer) => {
    answer.end(`plain ${String(request.headers.upgrade)}`);
  });
  t.after(() => upstream.close());
  const operation = { production: [upstream.url], webSocket: false };
  const { port } = await stage(t, { apis: [api('', ['GET /chat', operation])] });
  const answer = await sendAll(t, port, handshake('/chat'));
  assert.equal(statusOf(answer), 200);
  assert.match(answer, /plain undefined/);
});

test('in HTTP/1.0 there is no upgrade', async (t) => {
  const { port, upstream } = await before(t);
  const answer = await sendAll(t, port, handshake('/a').replace('HTTP/1.1', 'HTTP/1.0'));
  assert.equal(statusOf(answer), 200);
  assert.equal(upstream.requests.length, 0);
});

test('extended CONNECT is not offered over HTTP/2', async (t) => {
  const tls = await localCertificate();
  const { port } = await stage(t, {
    listeners: [{ kind: 'https', host: '127.0.0.1', port: 0, tls }],
  });
  const session = connect(`https://localhost:${port}`, { ca: tls.cert });
  t.after(() => session.destroy());
  await once(session, 'remoteSettings');
  assert.equal(session.remoteSettings.enableConnectProtocol, false);
});

test('an upstream that refuses answers like any other; what came early is dropped, the connection closed', async (t) => {
  const seen: string[] = [];
  const upstream = await startHttpServer((request, response) => {
    seen.push(`${request.method} ${request.url}`);
    response.writeHead(403, {
      'Content-Type': 'text/plain',
      Connection: 'Upgrade',
      Upgrade: 'websocket',
    });
    response.write('not ');
    setImmediate(() => response.end('you'));
  });
  t.after(() => upstream.close());
  const { port, gateway } = await stage(t, { apis: [openApi(upstream.url)] });
  const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n';
  const client = (await wire(t, port)).send(handshake('/a') + smuggled);
  const answer = await client.closed();
  assert.equal(statusOf(answer), 403);
  assert.match(answer, /\r\nConnection: close\r\n/);
  assert.doesNotMatch(answer, /upgrade/i);
  assert.match(answer, /not [^]*you[^]*\r\n0\r\n\r\n$/);
  assert.equal(answer.match(/HTTP\/1\.1/g)?.length, 1);
  assert.equal(client.ending, 'clean');
  assert.deepEqual(seen, ['GET /a']);
  assert.deepEqual(gateway.counters(), { active: 0, outcomes: { forwarded: 1 } });
});

const BAD_SWITCHES: Readonly<Record<string, string>> = {
  'with the accept of another key': SWITCHED.replace(ACCEPT, 'AAAA'),
  'without an accept': SWITCHED.replace(/Sec-WebSocket-Accept.*\r\n/, ''),
  'with two accepts': SWITCHED.replace(/\r\n$/, `Sec-WebSocket-Accept: ${ACCEPT}\r\n\r\n`),
  'to another protocol': SWITCHED.replace('websocket', 'h2c'),
  'without a protocol': SWITCHED.replace('Upgrade: websocket\r\n', ''),
  'without Connection': SWITCHED.replace('Connection: Upgrade\r\n', ''),
  'with a length': SWITCHED.replace(/\r\n$/, 'Content-Length: 0\r\n\r\n'),
  'with a coding': SWITCHED.replace(/\r\n$/, 'Transfer-Encoding: chunked\r\n\r\n'),
  'to a sub-protocol that was not offered': SWITCHED.replace(
    /\r\n$/,
    'Sec-WebSocket-Protocol: b\r\n\r\n',
  ),
  'with extensions that were not offered': SWITCHED.replace(
    /\r\n$/,
    'Sec-WebSocket-Extensions: x\r\n\r\n',
  ),
};

for (const [what, reply] of Object.entries(BAD_SWITCHES)) {
  test(`502 when the upstream switches ${what}, and nothing passes`, async (t) => {
    let received = '';
    let over = false;
    const upstream = await rawUpstream(t, (socket) => {
      socket.once('data', () => socket.write(`${reply}\x81\x02hi`));
      socket.setEncoding('latin1').on('data', (chunk: string) => (received += chunk));
      socket.on('close', () => (over = true)).on('end', () => socket.end());
    });
    const { port, gateway } = await stage(t, { apis: [openApi(upstream.url)] });
    const asked = handshake('/a', { 'Sec-WebSocket-Protocol': 'a' });
    const answer = await sendAll(t, port, `${asked}early`);
    assert.equal(statusOf(answer), 502);
    assert.doesNotMatch(answer, /hi$|Sec-WebSocket/);
    await until(() => over, 'the upstream connection is closed');
    assert.doesNotMatch(received, /early/);
    assert.deepEqual(gateway.counters(), { active: 0, outcomes: { upstreamFailed: 1 } });
  });
}

test('what comes early, from the client before 101 and from the upstream with it, passes first and in order', async (t) => {
  let received = '';
  const upstream = await rawUpstream(t, (socket) => {
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      const first = received === '';
      received += chunk;
      if (first)
        setTimeout(() => socket.write(Buffer.from(`${SWITCHED}\x81\x05first`, 'latin1')), 50);
    });
  });
  const { port } = await stage(t, { apis: [openApi(upstream.url)] });
  const client = (await wire(t, port)).send(`${handshake('/a')}one `);
  await until(() => received.endsWith('\r\n\r\n'), 'the handshake is at the upstream');
  client.send('two ');
  assert.ok((await client.until(/first$/)).endsWith('\r\n\r\n\x81\x05first'));
  client.send('three');
  await until(() => received.endsWith('three'), 'all is at the upstream');
  assert.match(received, /\r\n\r\none two three$/);
});

test('a handshake behind a request that is not answered is not answered out of turn', async (t) => {
  let asked = 0;
  const upstream = await startHttpServer((_, response) => {
    asked++;
    setImmediate(() => response.end('plain'));
  });
  t.after(() => upstream.close());
  const { port } = await stage(t, { apis: [openApi(upstream.url)] });
  const client = (await wire(t, port)).send(
    `GET /first HTTP/1.1\r\nHost: h\r\n\r\n${handshake('/a')}`,
  );
  // Own: its turn comes. Node: it is refused, as it is off its parser by then and cannot wait.
  const second = ENGINE === 'own' ? 200 : 400;
  const answers = await (ENGINE === 'own' ? client.closed() : client.until(/\}\}$/));
  assert.deepEqual(answers.match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 200', `HTTP/1.1 ${second}`]);
  assert.equal(asked, second === 200 ? 2 : 1);
});

test('a kept connection may switch once its answers are here', async (t) => {
  const { port } = await before(t);
  const client = (await wire(t, port)).send('GET /a HTTP/1.1\r\nHost: h\r\n\r\n');
  await client.until(/plain$/);
  client.text = '';
  await client.send(handshake('/a')).until(SWITCHED_HEAD);
  client.send(frame(1, 'hello', true));
  await client.until(/hello$/);
  assert.equal(client.text.endsWith('\r\n\r\n\x81\x05hello'), true);
});

for (const direction of ['to the client', 'to the upstream'] as const) {
  test(`a slow reader slows the sender down; all arrives in order (${direction})`, async (t) => {
    const chunk = randomBytes(1 << 20);
    const chunks = 64;
    const { port, upstream } = await before(t, (socket) => socket.pause());
    const client = await wire(t, port);
    await client.send(handshake('/a')).until(SWITCHED_HEAD);
    const up = upstream.sockets[0];
    assert.ok(up);
    client.socket.removeAllListeners('data').pause();
    const [from, to] = direction === 'to the client' ? [up, client.socket] : [client.socket, up];
    let sent = 0;
    for (let at = 0; at < chunks; at++) from.write(chunk, () => sent++);
    let last = -1;
    await until(async () => {
      const stands = sent === last;
      last = sent;
      await new Promise((resolve) => setTimeout(resolve, 50));
      return stands && sent === last;
    }, 'the sender stands');
    assert.ok(sent < chunks / 2, `${sent} MiB left the sender`);
    let received = 0;
    to.on('data', (bytes: Buffer | string) => {
      const arrived = Buffer.from(bytes as string, 'latin1');
      const start = received % chunk.length;
      const expected = Buffer.concat([chunk.subarray(start), chunk]).subarray(0, arrived.length);
      assert.equal(arrived.equals(expected), true, `at byte ${received}`);
      received += arrived.length;
    }).resume();
    await until(() => received === chunks * chunk.length, 'all has arrived');
  });
}

test('either side may end alone: the other goes on until it ends too', async (t) => {
  for (const first of ['client', 'upstream'] as const) {
    const { port, upstream, gateway } = await before(t, (socket) => socket.resume());
    const client = await wire(t, port);
    client.socket.allowHalfOpen = true;
    await client.send(handshake('/a')).until(SWITCHED_HEAD);
    const up = upstream.sockets[0];
    assert.ok(up);
    const [one, other] = first === 'client' ? [client.socket, up] : [up, client.socket];
    let late = '';
    one.on('data', (chunk: Buffer | string) => (late += chunk.toString()));
    one.end('last words');
    await once(other, 'end');
    other.write('still here');
    await until(() => late.endsWith('still here'), 'what was sent after the end has arrived');
    assert.equal(gateway.counters().active, 1);
    other.end();
    await until(() => gateway.counters().active === 0, 'all is over');
    assert.deepEqual(gateway.counters().outcomes, { forwarded: 1 });
  }
});

test('a connection that breaks on one side is broken off on the other', async (t) => {
  const { port, upstream, gateway } = await before(t, (socket) => {
    socket.resume().on('end', () => socket.end());
  });
  const client = await wire(t, port);
  await client.send(handshake('/a')).until(SWITCHED_HEAD);
  upstream.sockets[0]?.resetAndDestroy();
  await client.closed();
  assert.equal(client.ending, 'reset');
  const second = await wire(t, port);
  await second.send(handshake('/a')).until(SWITCHED_HEAD);
  second.socket.resetAndDestroy();
  await until(() => upstream.sockets[1]?.closed === true, 'the upstream connection is over');
  await until(() => gateway.counters().active === 0, 'all is over');
  assert.deepEqual(gateway.counters().outcomes, { brokenOff: 1, aborted: 1 });
});

test('a client that leaves before the upstream has answered ends the upstream call', async (t) => {
  let over = false;
  const upstream = await rawUpstream(t, (socket) => {
    socket.on('end', () => socket.end()).on('close', () => (over = true));
    socket.resume();
  });
  const { port, gateway } = await stage(t, { apis: [openApi(upstream.url)] });
  const client = (await wire(t, port)).send(handshake('/a'));
  await until(() => upstream.connections() === 1, 'the handshake is at the upstream');
  client.socket.end();
  await until(() => over && gateway.counters().active === 0, 'the upstream call is over');
  assert.deepEqual(gateway.counters().outcomes, { aborted: 1 });
});

test('504 when the upstream does not answer the handshake in time', async (t) => {
  const upstream = await rawUpstream(t, (socket) => socket.resume());
  const { port } = await stage(t, {
    apis: [openApi(upstream.url)],
    upstream: { headersTimeoutMs: 100 },
  });
  assert.equal(statusOf(await sendAll(t, port, handshake('/a'))), 504);
});

test('a WebSocket on which nothing passes for the idle time is broken off, one that is used is not', async (t) => {
  const { port, gateway } = await before(t, undefined, { timeouts: { webSocketIdleMs: 1_000 } });
  const idle = await wire(t, port);
  await idle.send(handshake('/a')).until(SWITCHED_HEAD);
  const used = await wire(t, port);
  await used.send(handshake('/a')).until(SWITCHED_HEAD);
  const timer = setInterval(() => used.send(frame(9, 'ping', true)), 100);
  t.after(() => clearInterval(timer));
  await idle.closed();
  assert.equal(idle.ending, 'reset');
  await until(() => gateway.counters().active === 1, 'the idle one is over');
  assert.equal(used.ending, 'open');
});

test('a WebSocket takes a place among the calls of its upstream until it ends', async (t) => {
  const { port, gateway } = await before(t, undefined, { upstream: { maxActive: 1 } });
  const first = await wire(t, port);
  await first.send(handshake('/a')).until(SWITCHED_HEAD);
  assert.equal(statusOf(await sendAll(t, port, handshake('/a'))), 503);
  first.socket.destroy();
  await until(() => gateway.counters().active === 0, 'the first is over');
  const second = await wire(t, port);
  await second.send(handshake('/a')).until(SWITCHED_HEAD);
});

test("the project's filter may refuse a handshake, and change what goes upstream with it", async (t) => {
  const { port, upstream } = await before(t, undefined, {
    filter: {
      async filterRequest(request) {
        if (request.target === '/no') return { status: 403, body: 'no' };
        request.headers.set('x-added', '1');
        request.headers.set('upgrade', 'h2c');
        return undefined;
      },
    },
  });
  assert.match(await sendAll(t, port, handshake('/no')), /^HTTP\/1\.1 403 .*no$/s);
  const client = await wire(t, port);
  await client.send(handshake('/yes')).until(SWITCHED_HEAD);
  assert.equal(upstream.requests.length, 1);
  assert.equal(upstream.requests[0]?.headers['x-added'], '1');
  assert.equal(upstream.requests[0]?.headers.upgrade, 'websocket');
});

test('closing waits for WebSockets as long as it may, then ends them with 1001', async (t) => {
  const { port, upstream, gateway } = await before(t);
  const client = await wire(t, port);
  await client.send(handshake('/a')).until(SWITCHED_HEAD);
  const closing = gateway.close(2_400);
  await new Promise((resolve) => setTimeout(resolve, 1_200)); // past both waits for idle connections
  await client.send(frame(1, 'still', true)).until(/still$/);
  client.text = '';
  assert.equal(await client.closed(), CLOSE_GOING.toString('latin1'));
  assert.equal(client.ending, 'clean');
  await closing;
  assert.equal(gateway.counters().active, 0);
  await until(() => upstream.sockets[0]?.closed === true, 'the upstream connection is over');
});

test('a WebSocket that ends by itself lets the gateway close at once', async (t) => {
  const { port, gateway } = await before(t);
  const client = await wire(t, port);
  await client.send(handshake('/a')).until(SWITCHED_HEAD);
  const closing = gateway.close(60_000);
  client.send(frame(8, '', true));
  await client.closed();
  await closing;
});
