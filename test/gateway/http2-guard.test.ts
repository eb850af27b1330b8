import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createSecureServer } from 'node:http2';
import { type AddressInfo, connect as connectTcp, Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { Http2Guard } from '../../src/gateway/http2-guard.ts';
import { DEFAULT_TIMEOUTS, type GatewayOptions } from '../../src/gateway/options.ts';
import { MovedClock } from '../support/moved-clock.ts';
import { recordedLog, type RecordedLog } from '../support/recorded-log.ts';
import { until } from '../support/until.ts';
import {
  block,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  HEADERS,
  Http2Peer,
  PING,
  PREFACE,
  RST_STREAM,
  settings,
  uint32,
  WINDOW_UPDATE,
} from './http2-frames.ts';
import { data, get, post, requestFields } from './rfc9113-case.ts';
import { localCertificate, openApi, rawUpstream, stage } from './stage.ts';

const BIG = 'x'.repeat(60_000);
const HUGE = 'x'.repeat(1_000_000);

/** An upstream that answers `/hold` never and everything else at once, behind a gateway; clients of it, and whether one is served. */
async function scene(t: TestContext, options: Partial<GatewayOptions> = {}) {
  const { cert, key } = await localCertificate();
  let calls = 0;
  const upstream = await rawUpstream(t, (socket) => {
    socket.on('end', () => socket.end());
    socket.on('data', (bytes: Buffer) => {
      const [, path = ''] = /^GET \/(\w*)|^POST/.exec(bytes.toString('latin1')) ?? [];
      calls++;
      if (path === 'hold' || path === '') return;
      const body = path === 'huge' ? HUGE : path === 'big' ? BIG : 'ok';
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    });
  });
  const { gateway, port, log } = await stage(t, {
    apis: [openApi(upstream.url)],
    listeners: [{ kind: 'https', host: '127.0.0.1', port: 0, tls: { cert, key } }],
    ...options,
  });
  const connect = async (): Promise<Http2Peer> => (await Http2Peer.connect(t, port, cert)).greet();
  const other = await connect();
  let stream = 1;
  const served = async (): Promise<void> => {
    for (const client of [other, await connect()]) {
      stream += 2;
      client.send(get('/other', stream));
      const answer = client.answer(stream);
      assert.ok(await client.until(() => answer.ended), 'another client is answered');
      assert.equal(answer.status, 200);
    }
  };
  const over = (): Promise<void> =>
    until(() => gateway.counters().active === 0, 'every request is over');
  return { gateway, log, connect, served, over, calls: () => calls };
}

/** That the session was ended, for this reason. GOAWAY says so, unless it is lost among what the client still sends. */
async function ended(peer: Http2Peer, log: RecordedLog, why: string): Promise<void> {
  assert.ok(await peer.until(() => peer.closed, 5_000), 'the connection is closed');
  assert.equal(peer.goaway ?? 'ENHANCE_YOUR_CALM', 'ENHANCE_YOUR_CALM');
  const said = log.lines.filter((line) => line.includes('an HTTP/2 session is ended: '));
  assert.equal(said.length, 1);
  assert.match(said[0] ?? '', new RegExp(`${why} \\(from 127\\.0\\.0\\.1\\)$`));
}

const odd = (count: number): number[] => Array.from({ length: count }, (_, at) => 1 + 2 * at);

/** Sends pairs of frames for so many streams, a few at a time, until the session ends. */
async function pace(peer: Http2Peer, count: number, pair: (stream: number) => Buffer[]) {
  const streams = odd(count);
  const pongs = (): number => peer.frames.filter(({ type }) => type === PING).length;
  for (let at = 0; at < count && !peer.closed; at += 50) {
    const before = pongs();
    peer.send(...streams.slice(at, at + 50).flatMap(pair), frame(PING, 0, 0, Buffer.alloc(8)));
    assert.ok(await peer.until(() => peer.closed || pongs() > before));
  }
}

const abandoned = (stream: number): Buffer[] => [
  get('/hold', stream),
  frame(RST_STREAM, 0, stream, uint32(8)),
];

test('who opens streams and resets them is sent away', async (t) => {
  const { connect, served, over, log, calls } = await scene(t);
  const peer = await connect();
  await pace(peer, 600, abandoned);
  await served();
  await ended(peer, log, 'too many streams without an answer');
  await over();
  assert.ok(calls() < 300, `${calls()} calls upstream`);
});

test('who does so faster than streams are forgotten is cut off', async (t) => {
  const { connect, served, over, calls } = await scene(t);
  const peer = await connect();
  peer.send(...odd(2_000).flatMap(abandoned));
  await served();
  assert.ok(await peer.until(() => peer.closed, 5_000));
  await over();
  assert.ok(calls() < 300, `${calls()} calls upstream`);
});

test('who has the gateway reset its streams is sent away too', async (t) => {
  const { connect, served, over, log } = await scene(t);
  const peer = await connect();
  await pace(peer, 600, (stream) => [
    post('/hold', stream, [['content-length', '3']]),
    data('ab', END_STREAM, stream),
  ]);
  await served();
  await ended(peer, log, 'too many streams without an answer');
  await over();
});

test('a client that gives up a page of requests goes on', async (t) => {
  const { connect, over } = await scene(t);
  const peer = await connect();
  const streams = odd(90);
  peer.send(...streams.map((stream) => get('/hold', stream)));
  peer.send(...streams.map((stream) => frame(RST_STREAM, 0, stream, uint32(8))));
  await over();
  peer.send(get('/good', 1_001));
  assert.ok(await peer.until(() => peer.answer(1_001).status === 200));
});

test('a flood of PING ends the session; those of a client that takes answers do not', async (t) => {
  const { connect, served, log } = await scene(t);
  const peer = await connect();
  const ping = frame(PING, 0, 0, Buffer.alloc(8));
  peer.send(...Array.from({ length: 3_000 }, () => ping));
  await served();
  await ended(peer, log, 'too many PING');
  const good = await connect();
  good.send(frame(WINDOW_UPDATE, 0, 0, uint32(2 ** 30)));
  for (const stream of odd(60)) {
    good.send(get('/big', stream), ...Array.from({ length: 10 }, () => ping));
    assert.ok(await good.until(() => good.answer(stream).ended), `stream ${stream}`);
  }
});

test('a flood of SETTINGS ends the session', async (t) => {
  const { connect, served, log } = await scene(t);
  const peer = await connect();
  peer.send(...Array.from({ length: 500 }, (_, at) => settings([4, 65_535 + at])));
  await served();
  await ended(peer, log, 'too many SETTINGS');
});

test('CONTINUATION without end, and frames without content, end the session', async (t) => {
  const { connect, served, calls } = await scene(t);
  const before = calls();
  const floods = [
    [
      frame(HEADERS, END_STREAM, 1, block(requestFields('/hold'))),
      ...Array.from({ length: 2_000 }, (_, at) =>
        frame(CONTINUATION, 0, 1, block([[`x-${at}`, 'v'.repeat(100)]])),
      ),
    ],
    [
      frame(HEADERS, END_STREAM, 1, block(requestFields('/hold'))),
      ...Array.from({ length: 2_000 }, () => frame(CONTINUATION, 0, 1)),
    ],
    [
      frame(HEADERS, END_HEADERS, 1, block(requestFields('/hold', 'POST'))),
      ...Array.from({ length: 5_000 }, () => frame(DATA, 0, 1)),
    ],
  ];
  for (const flood of floods) {
    const peer = await connect();
    peer.send(...flood);
    await served();
    assert.ok(await peer.until(() => peer.closed, 5_000), 'the connection is closed');
  }
  assert.ok(calls() - before < 10);
});

test('a field that is kept once and named a thousand times reaches nobody', async (t) => {
  const { connect, served, over, calls } = await scene(t);
  const peer = await connect();
  const kept = Buffer.concat([Buffer.of(0x40), block([['x-bomb', 'v'.repeat(4_000)]]).subarray(1)]);
  const named = Buffer.alloc(10_000, 0xbe); // index 62: the newest of the dynamic table
  const memory = process.memoryUsage().rss;
  for (const stream of odd(200)) {
    const fields = [...block(requestFields('/hold')), ...(stream === 1 ? kept : []), ...named];
    peer.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, fields));
  }
  await served();
  const settled = (): boolean =>
    peer.closed ||
    odd(200).every((stream) => {
      const { status, reset } = peer.answer(stream);
      return status === 431 || reset !== undefined;
    });
  assert.ok(await peer.until(settled, 5_000));
  await over();
  assert.equal(calls(), 2, 'the other client only');
  const grown = process.memoryUsage().rss - memory;
  assert.ok(grown < 200 * 2 ** 20, `${grown} bytes more memory, of 8 GB`);
});

test('answers that nobody takes are given up', async (t) => {
  const { connect, served, over } = await scene(t, {
    upstream: { idleBodyTimeoutMs: 400 },
    limits: { maxStreams: 50 },
  });
  const peer = await connect();
  peer.send(settings([4, 0]));
  const streams = odd(50);
  peer.send(...streams.map((stream) => get('/big', stream)));
  assert.ok(await peer.until(() => streams.every((one) => peer.answer(one).status === 200)));
  await served();
  await over();
  assert.ok(await peer.until(() => streams.every((one) => peer.answer(one).reset !== undefined)));
});

test('requests that never end are ended: silent ones, and those that drip', async (t) => {
  const { connect, served, over } = await scene(t, {
    upstream: { idleBodyTimeoutMs: 400 },
    timeouts: { requestMs: 1_500 },
  });
  const silent = await connect();
  silent.send(...odd(20).map((stream) => post('/hold', stream)));
  const dripping = await connect();
  dripping.send(post('/hold'));
  const timer = setInterval(() => dripping.send(data('x')), 50);
  t.after(() => clearInterval(timer));
  await served();
  assert.ok(await silent.until(() => odd(20).every((one) => silent.answer(one).status === 408)));
  assert.equal(dripping.answer(1).status, 0);
  assert.ok(await dripping.until(() => dripping.answer(1).reset === 'CANCEL'));
  clearInterval(timer);
  await over();
});

test('a session without a request is closed, whatever else it sends', async (t) => {
  const { connect } = await scene(t, { timeouts: { keepAliveMs: 600 } });
  const peer = await connect();
  const partial = await connect();
  partial.send(frame(HEADERS, END_STREAM, 1, block(requestFields('/a'))));
  const timer = setInterval(() => {
    peer.send(frame(PING, 0, 0, Buffer.alloc(8)));
    partial.send(Buffer.of(0));
  }, 100);
  t.after(() => clearInterval(timer));
  for (const client of [peer, partial]) {
    assert.ok(await client.until(() => client.closed, 5_000), 'closed');
  }
});

test('frames that belong to no request end the session in the end', async (t) => {
  const { cert, key } = await localCertificate();
  const log = recordedLog();
  const clock = new MovedClock();
  const guard = new Http2Guard(log, clock);
  const server = createSecureServer({ cert, key }, (_request, response) => response.end('ok'));
  let below = new Socket();
  server.on('connection', (socket: Socket) => (below = socket));
  server.on('session', (session) => guard.watch(session, DEFAULT_TIMEOUTS, below, 60_000));
  server.on('sessionError', () => undefined);
  clock.sweep(guard, performance.now());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const sent = async (count: number, stream?: number): Promise<Http2Peer> => {
    const peer = (await Http2Peer.connect(t, port, cert)).greet();
    if (stream !== undefined) peer.send(get('/', stream));
    peer.send(...Array.from({ length: count }, () => frame(WINDOW_UPDATE, 0, 0, uint32(1))));
    peer.send(frame(PING, 0, 0, Buffer.alloc(8)));
    assert.ok(await peer.until(() => peer.frames.some(({ type }) => type === PING)));
    return peer;
  };
  const some = await sent(4_000);
  const busy = await sent(6_000, 1);
  const noisy = await sent(6_000);
  clock.sweep(guard, performance.now() + 10_001);
  await ended(noisy, log, 'frames and no request');
  assert.ok(!some.closed && !busy.closed);
  some.send(get('/', 1));
  assert.ok(await some.until(() => some.answer(1).ended));
});

test('a client that takes nothing of its connection is cut off', async (t) => {
  const { connect, log, over } = await scene(t, { upstream: { idleBodyTimeoutMs: 400 } });
  const peer = await connect();
  peer.send(settings([4, 2 ** 31 - 1]), frame(WINDOW_UPDATE, 0, 0, uint32(2 ** 30)));
  peer.socket.pause();
  // More than the kernel takes, on windows that never close: no RST_STREAM leaves either.
  const streams = odd(99);
  peer.send(...streams.map((stream) => get('/huge', stream)));
  await until(
    () => log.lines.some((line) => line.includes('nothing of its answers')),
    'it is said',
  );
  await over();
});

test('a client that stays on its connection after the session holds up nobody', async (t) => {
  const { cert, key } = await localCertificate();
  const { gateway, port } = await stage(t, {
    timeouts: { keepAliveMs: 300 },
    listeners: [{ kind: 'https', host: '127.0.0.1', port: 0, tls: { cert, key } }],
  });
  const below = connectTcp({ port, host: '127.0.0.1', allowHalfOpen: true });
  t.after(() => below.destroy());
  const socket = connectTls({ socket: below, ca: cert, ALPNProtocols: ['h2'] });
  socket.on('error', () => undefined).write(Buffer.concat([PREFACE, settings()]));
  socket.end = () => socket; // it hears of the end, and says nothing
  await once(socket.resume(), 'end');
  const signal = AbortSignal.timeout(3_000);
  await Promise.race([gateway.close(0), once(signal, 'abort')]);
  const { aborted } = signal;
  below.destroy();
  assert.equal(aborted, false, 'the gateway is closed');
});

/** A session that is over, on a connection that its client keeps open. */
async function leftOpen(t: TestContext) {
  const { cert, key } = await localCertificate();
  const clock = new MovedClock();
  const guard = new Http2Guard(recordedLog(), clock);
  const server = createSecureServer({ cert, key });
  let below = new Socket();
  server.on('connection', (socket: Socket) => (below = socket));
  server.on('session', (session) => {
    guard.watch(session, DEFAULT_TIMEOUTS, below, 60_000);
    session.once('remoteSettings', () => session.close());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const client = connectTcp({ port, host: '127.0.0.1', allowHalfOpen: true });
  t.after(() => client.destroy());
  const socket = connectTls({ socket: client, ca: cert, ALPNProtocols: ['h2'] });
  socket.on('error', () => undefined).write(Buffer.concat([PREFACE, settings()]));
  socket.end = () => socket;
  await once(socket.resume(), 'end');
  return { guard, clock, below, client };
}

test('a connection without a session is ended', async (t) => {
  const { guard, clock, below } = await leftOpen(t);
  const now = performance.now();
  clock.sweep(guard, now);
  clock.sweep(guard, now + 59_900);
  assert.equal(below.destroyed, false);
  clock.sweep(guard, now + 60_100);
  assert.equal(below.destroyed, true);
});

test('while the gateway closes a connection without a session is ended when nothing moves on it', async (t) => {
  const { guard, clock, below, client } = await leftOpen(t);
  const now = performance.now();
  clock.sweep(guard, now);
  guard.hurry();
  clock.sweep(guard, now + 5_000);
  clock.sweep(guard, now + 5_400);
  assert.equal(below.destroyed, false);
  const before = below.bytesRead;
  client.write('more');
  await until(() => below.bytesRead > before, 'something came');
  clock.sweep(guard, now + 5_600);
  clock.sweep(guard, now + 6_000);
  assert.equal(below.destroyed, false);
  clock.sweep(guard, now + 6_200);
  assert.equal(below.destroyed, true);
});
