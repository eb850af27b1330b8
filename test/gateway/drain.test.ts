import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { type ClientHttp2Stream, connect } from 'node:http2';
import { connect as connectTcp, createServer } from 'node:net';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { OperatorError } from '../../src/errors.ts';
import { createGateway } from '../../src/gateway/gateway.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { startHttpServer } from '../support/http-server.ts';
import { until } from '../support/until.ts';
import {
  ACK,
  frame,
  type Frame,
  GOAWAY,
  Http2Peer,
  PING,
  PREFACE,
  settings,
} from './http2-frames.ts';
import { get } from './rfc9113-case.ts';
import {
  authenticator,
  ENGINE,
  localCertificate,
  openApi,
  sendAll,
  stage,
  statusOf,
  wire,
} from './stage.ts';

const GET = 'GET /a HTTP/1.1\r\nHost: h\r\n\r\n';

test('an address that is taken opens none of the others', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  t.after(() => taken.close());
  const address = taken.address();
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  const free = createServer().listen(0, '127.0.0.1');
  await once(free, 'listening');
  const other = free.address();
  const freed = other !== null && typeof other === 'object' ? other.port : 0;
  await new Promise((resolve) => free.close(resolve));
  const gateway = createGateway({
    engine: ENGINE,
    listeners: [
      { kind: 'http', host: '127.0.0.1', port: freed },
      { kind: 'http', host: '127.0.0.1', port },
    ],
    apis: [],
    authenticator,
    ready: () => true,
    log: recordedLog(),
  });
  await assert.rejects(
    gateway.listen(),
    (error) =>
      error instanceof OperatorError &&
      error.code === 'ERR_LISTEN' &&
      error.message.includes(`127.0.0.1:${port} (EADDRINUSE)`),
  );
  const again = createServer().listen(freed, '127.0.0.1');
  await once(again, 'listening');
  await new Promise((resolve) => again.close(resolve));
});

test('the addresses that are bound are told', async (t) => {
  const tls = await localCertificate();
  const { bound } = await stage(t, {
    listeners: [
      { kind: 'http', host: '127.0.0.1', port: 0 },
      { kind: 'token', host: '127.0.0.1', port: 0, tls },
    ],
  });
  assert.deepEqual(
    bound.map(({ kind, host }) => ({ kind, host })),
    [
      { kind: 'http', host: '127.0.0.1' },
      { kind: 'token', host: '127.0.0.1' },
    ],
  );
  assert.ok(bound.every(({ port }) => port > 0));
});

test('closing lets requests finish, tells their clients to go, and takes no new ones', async (t) => {
  const held: (() => void)[] = [];
  const upstream = await startHttpServer((_, response) => held.push(() => response.end('done')));
  t.after(() => upstream.close());
  const { gateway, port } = await stage(t, { apis: [openApi(upstream.url)] });
  const idle = await wire(t, port);
  const busy = (await wire(t, port)).send(GET);
  await until(() => held.length === 1, 'the request is at the upstream');
  let closed = false;
  const closing = gateway.close(10_000).then(() => (closed = true));
  await idle.closed();
  await assert.rejects(wire(t, port), /ECONNREFUSED/);
  assert.equal(closed, false);
  held[0]?.();
  const answer = await busy.closed();
  assert.equal(statusOf(answer), 200);
  assert.match(answer, /\r\nConnection: close\r\n/);
  await closing;
});

test('for a moment requests still come in and are answered, each as the last of its connection', async (t) => {
  const upstream = await startHttpServer((_, response) => response.end('ok'));
  t.after(() => upstream.close());
  const { gateway, port } = await stage(t, { apis: [openApi(upstream.url)] });
  const kept = (await wire(t, port)).send(GET);
  assert.doesNotMatch(await kept.until(/ok$/), /Connection: close/);
  const unused = await wire(t, port);
  const closing = gateway.close(10_000);
  assert.equal(statusOf(await sendAll(t, port, GET.replace('/a', '/ready'))), 503);
  assert.equal(statusOf(await sendAll(t, port, GET.replace('/a', '/health'))), 200);
  kept.text = '';
  for (const client of [kept, unused, await wire(t, port)]) {
    const answer = await client.send(GET).closed();
    assert.equal(statusOf(answer), 200);
    assert.match(answer, /\r\nConnection: close\r\n/);
    assert.equal(client.ending, 'clean');
  }
  await closing;
  await assert.rejects(wire(t, port), /ECONNREFUSED/);
});

test('requests that wait on a connection are answered before it is closed', async (t) => {
  const held: (() => void)[] = [];
  const upstream = await startHttpServer((_, response) => held.push(() => response.end('done')));
  t.after(() => upstream.close());
  const { gateway, port } = await stage(t, { apis: [openApi(upstream.url)] });
  const client = (await wire(t, port)).send(GET.repeat(3));
  await until(() => held.length === 1, 'the first is at the upstream');
  const closing = gateway.close(10_000);
  for (let count = 1; count <= 3; count++) {
    await until(() => held.length === count, `request ${count} is at the upstream`);
    held[count - 1]?.();
  }
  assert.equal((await client.closed()).match(/done/g)?.length, 3);
  assert.equal(client.text.match(/Connection: close/g)?.length, 1);
  await closing;
});

test('a load balancer that heeds readiness loses nothing', async (t) => {
  const upstream = await startHttpServer((_, response) => response.end('ok'));
  t.after(() => upstream.close());
  const { gateway, url, port } = await stage(t, { apis: [openApi(upstream.url)] });
  const agent = new Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  const balancer = { ready: true };
  let count = 0;
  const call = (path: string, own: Agent | false): Promise<number> =>
    new Promise((resolve, reject) => {
      request(`${url}${path}`, { agent: own }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode ?? 0));
      })
        .on('error', reject)
        .end();
    });
  const client = async (own: Agent | false): Promise<void> => {
    while (balancer.ready) {
      assert.equal(await call('/a', own), 200);
      count++;
    }
  };
  const agents = [agent, agent, agent, false, false] as const;
  const clients = Promise.all(agents.map((own) => client(own)));
  await until(() => count > 50, 'there is load');
  const slow = await wire(t, port); // was sent here, and has not said anything yet
  const closing = gateway.close(10_000);
  await until(async () => (await call('/ready', false)) === 503, 'it is not ready');
  balancer.ready = false;
  await clients;
  assert.equal(statusOf(await slow.send(GET).closed()), 200);
  await closing;
});

test('a connection whose answer began before ends with that answer', async (t) => {
  let finish = (): void => undefined;
  const upstream = await startHttpServer((_, response) => {
    response.write('half');
    finish = () => response.end('rest');
  });
  t.after(() => upstream.close());
  const { gateway, port } = await stage(t, { apis: [openApi(upstream.url)] });
  const client = (await wire(t, port)).send(GET);
  await client.until(/half/);
  let closed = false;
  const closing = gateway.close(60_000).then(() => (closed = true));
  const idle = await wire(t, port);
  await idle.closed(); // idle connections are closed by now
  assert.equal(closed, false);
  finish();
  assert.match(await client.closed(), /rest\r\n0\r\n\r\n$/);
  assert.equal(client.ending, 'clean');
  await closing;
});

test('a connection to the TLS port without a handshake does not hold the end up', async (t) => {
  const tls = await localCertificate();
  for (const kind of ['https', 'token'] as const) {
    const { gateway, port } = await stage(t, {
      listeners: [{ kind, host: '127.0.0.1', port: 0, tls }],
      timeouts: { handshakeMs: 60_000 },
    });
    const silent = await wire(t, port);
    const shaken = connectTls({
      port,
      host: 'localhost',
      ca: tls.cert,
      ALPNProtocols: ['http/1.1'],
    });
    t.after(() => shaken.destroy());
    await once(shaken, 'secureConnect');
    const ended = once(shaken.resume(), 'close');
    await gateway.close(60_000);
    await silent.closed();
    await ended;
  }
});

test('what is not finished after the grace is ended', async (t) => {
  let ended = false;
  const upstream = await startHttpServer(
    (incoming) => void incoming.socket.on('close', () => (ended = true)),
  );
  t.after(() => upstream.close());
  const { gateway, port } = await stage(t, { apis: [openApi(upstream.url)] });
  const client = (await wire(t, port)).send(GET);
  await until(() => gateway.counters().active === 1, 'the request has begun');
  await gateway.close(50);
  assert.equal(await client.closed(), '');
  await until(() => ended, 'the upstream call is ended');
  await until(() => gateway.counters().active === 0, 'the request is over');
  assert.deepEqual(gateway.counters().outcomes, { aborted: 1 });
});

test('an answer that the end of the grace cuts short does not look whole to HTTP/1.0', async (t) => {
  const upstream = await startHttpServer((_, answer) => {
    answer.write('data: 1\n\n');
  });
  t.after(() => upstream.close());
  const { gateway, port } = await stage(t, { apis: [openApi(upstream.url)] });
  const client = await wire(t, port);
  await client.send('GET /a HTTP/1.0\r\nHost: h\r\n\r\n').until(/data: 1\n\n$/);
  await gateway.close(50);
  await client.closed();
  assert.equal(client.ending, 'reset');
});

test('an HTTP/2 client gets GOAWAY and the end of its streams', async (t) => {
  const held: (() => void)[] = [];
  const upstream = await startHttpServer((_, response) => held.push(() => response.end('done')));
  t.after(() => upstream.close());
  const tls = await localCertificate();
  const { gateway, port } = await stage(t, {
    listeners: [{ kind: 'https', host: '127.0.0.1', port: 0, tls }],
    apis: [openApi(upstream.url)],
  });
  const session = connect(`https://localhost:${port}`, { ca: tls.cert });
  t.after(() => session.destroy());
  const stream = session.request({ ':path': '/a' });
  let body = '';
  stream.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
  await until(() => held.length === 1, 'the request is at the upstream');
  const goaway = once(session, 'goaway');
  const closing = gateway.close(10_000);
  await goaway;
  held[0]?.();
  await once(stream, 'close');
  assert.equal(body, 'done');
  await closing;
});

test('a stream that was opened before the GOAWAY came is served', async (t) => {
  const upstream = await startHttpServer((_, response) => response.end('done'));
  t.after(() => upstream.close());
  const tls = await localCertificate();
  const { gateway, port } = await stage(t, {
    listeners: [{ kind: 'https', host: '127.0.0.1', port: 0, tls }],
    apis: [openApi(upstream.url)],
  });
  const session = connect(`https://localhost:${port}`, { ca: tls.cert });
  t.after(() => session.destroy());
  const served = async (stream: ClientHttp2Stream): Promise<void> => {
    const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
    assert.equal(headers[':status'], 200);
    await once(stream.resume(), 'close');
  };
  await served(session.request({ ':path': '/a' }));
  const crossing = session.request({ ':path': '/a' });
  await turn(); // it is on the wire now, and not read yet
  const goaway = once(session, 'goaway');
  const ends = [once(session, 'close')];
  const closing = gateway.close(10_000);
  const late = connect(`https://localhost:${port}`, { ca: tls.cert });
  t.after(() => late.destroy());
  ends.push(once(late, 'close'));
  await Promise.all([served(crossing), served(late.request({ ':path': '/a' })), goaway]);
  await Promise.all(ends);
  await closing;
});

test('of a stream that crossed the GOAWAY on its way the client hears a round trip later that it is not served', async (t) => {
  const held: (() => void)[] = [];
  const upstream = await startHttpServer((_, response) => held.push(() => response.end('done')));
  t.after(() => upstream.close());
  const { cert, key } = await localCertificate();
  const { gateway, port } = await stage(t, {
    listeners: [{ kind: 'https', host: '127.0.0.1', port: 0, tls: { cert, key } }],
    apis: [openApi(upstream.url)],
  });
  const peer = (await Http2Peer.connect(t, port, cert)).greet();
  peer.send(get('/a', 1));
  await until(() => held.length === 1, 'the request is at the upstream');
  const lastStreams = (): number[] =>
    peer.frames.flatMap(({ type, payload }) => (type === GOAWAY ? [payload.readUInt32BE(0)] : []));
  const ping = (): Frame | undefined =>
    peer.frames.find(({ type, flags }) => type === PING && flags === 0);
  const closing = gateway.close(10_000);
  assert.ok(await peer.until(() => lastStreams().length === 1));
  peer.send(get('/a', 3));
  assert.ok(await peer.until(() => ping() !== undefined), 'it wants to know what was heard');
  peer.send(frame(PING, ACK, 0, ping()?.payload));
  assert.ok(await peer.until(() => lastStreams().length === 2));
  assert.deepEqual(lastStreams(), [2 ** 31 - 1, 1]);
  assert.equal(peer.answer(1).ended, false);
  held[0]?.();
  assert.ok(await peer.until(() => peer.answer(1).ended));
  await closing;
  assert.equal(held.length, 1);
});

test('an HTTP/2 client without a stream that leaves its side open does not hold the end up', async (t) => {
  const { cert, key } = await localCertificate();
  const { gateway, port } = await stage(t, {
    listeners: [{ kind: 'https', host: '127.0.0.1', port: 0, tls: { cert, key } }],
  });
  const below = connectTcp({ port, host: '127.0.0.1', allowHalfOpen: true });
  t.after(() => below.destroy());
  const socket = connectTls({ socket: below, ca: cert, ALPNProtocols: ['h2'] });
  socket.on('error', () => undefined).write(Buffer.concat([PREFACE, settings()]));
  socket.end = () => socket; // it hears of the end, and says nothing
  await once(socket, 'data');
  const ended = once(socket.resume(), 'end');
  const signal = AbortSignal.timeout(5_000);
  await Promise.race([gateway.close(60_000), once(signal, 'abort')]);
  const { aborted } = signal;
  below.destroy();
  assert.equal(aborted, false, 'the gateway is closed');
  await ended;
});

test('keepAlive false closes after each answer', async (t) => {
  const { port } = await stage(t, { keepAlive: false });
  const client = await wire(t, port);
  assert.match(
    await client.send('GET /health HTTP/1.1\r\nHost: h\r\n\r\n').closed(),
    /\r\nConnection: close\r\n/,
  );
});
