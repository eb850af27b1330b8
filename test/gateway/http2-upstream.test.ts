import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpsServer } from 'node:https';
import { constants, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo, Server, Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { createServer as createTlsServer } from 'node:tls';
import { Http2Upstream } from '../../src/gateway/http2-upstream.ts';
import type { GatewayOptions } from '../../src/gateway/options.ts';
import type { UpstreamAnswer, UpstreamFailure } from '../../src/gateway/upstream-side.ts';
import type { Api } from '../../src/openapi/route.ts';
import { MovedClock } from '../support/moved-clock.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { standStill } from '../support/stand-still.ts';
import { until } from '../support/until.ts';
import {
  ACK,
  block,
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  GOAWAY,
  HEADERS,
  PREFACE,
  PUSH_PROMISE,
  RST_STREAM,
  SETTINGS,
  settings,
  uint32,
} from './http2-frames.ts';
import { http2Stage, http2Upstream, Received } from './http2-peers.ts';
import { api, localCertificate, rawUpstream, stage, wire } from './stage.ts';

function through(url: string): Api {
  return api(
    '',
    ...['GET', 'HEAD', 'POST'].map(
      (method) => [`${method} /{a}`, { production: [url], http2: true }] as const,
    ),
  );
}

const NOT_OFFERED = /does not offer HTTP\/2 \(ALPN h2\): take x-portcullis-http2 out/;

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

async function front(t: TestContext, url: string, options: Partial<GatewayOptions> = {}) {
  const staged = await stage(t, { apis: [through(url)], ...options });
  const get = async (path: string, init: RequestInit = {}): Promise<[number, string]> => {
    const answer = await fetch(staged.url + path, init);
    return [answer.status, await answer.text()];
  };
  return { ...staged, get };
}

const GREETING = Buffer.concat([settings(), frame(SETTINGS, ACK, 0)]);
/** `:status: 200`, and three bytes of a body that goes on. */
const BEGUN = Buffer.concat([
  frame(HEADERS, END_HEADERS, 1, [0x88]),
  frame(DATA, 0, 1, Buffer.from('abc')),
]);

/** `:status: 200`, and the three bytes as all of its body. */
function whole(stream: number): Buffer {
  return Buffer.concat([
    frame(HEADERS, END_HEADERS, stream, [0x88]),
    frame(DATA, END_STREAM, stream, Buffer.from('abc')),
  ]);
}

/** `:method: GET`, `:path: /`, `:scheme: http`. */
const GET_FIELDS = Buffer.of(0x82, 0x84, 0x86);

/** An upstream of bare frames: `answer` says what a stream of a connection gets; undefined: nothing. */
function framed(
  t: TestContext,
  answer: (connection: number, stream: number) => Buffer | undefined,
  end = false,
  meet: (socket: Socket) => void = () => undefined,
) {
  let connections = 0;
  return rawUpstream(t, (socket) => {
    const connection = ++connections;
    meet(socket);
    let bytes = Buffer.alloc(0);
    let at = PREFACE.length;
    socket.write(GREETING);
    socket.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      while (at + 9 <= bytes.length) {
        const opens = bytes[at + 3] === HEADERS;
        const stream = bytes.readUInt32BE(at + 5);
        at += 9 + bytes.readUIntBE(at, 3);
        if (!opens) continue;
        socket.write(answer(connection, stream) ?? '');
        if (end) socket.end();
      }
    });
  });
}

/** How a call has ended so far. */
function watched(side: Http2Upstream): { ended: string } {
  const call = { ended: '' };
  void asked(side).then((how) => (call.ended = how));
  return call;
}

/** How a call ends. */
function asked(side: Http2Upstream): Promise<string> {
  return new Promise((resolve) => {
    const answer: UpstreamAnswer = {
      onHead: () => true,
      onData: () => true,
      onFlush: () => undefined,
      onSwitch: () => undefined,
      onEnd: () => resolve('end'),
      onFailure: ({ kind, replayable }: UpstreamFailure) => resolve(`${kind} ${replayable}`),
    };
    const request = {
      method: 'GET',
      path: '/a',
      fields: [],
      body: undefined,
      switching: false,
      trailers: false,
    };
    side.call(request, answer, false);
  });
}

test('requests of HTTP/1.1 clients go over one HTTP/2 connection, and come back', async (t) => {
  const upstream = await http2Upstream(t, (stream, headers, raw) => {
    let body = '';
    stream.on('data', (chunk: Buffer) => (body += chunk.toString()));
    stream.on('end', () => {
      stream.respond({ ':status': 201, 'x-own': ['1', '2'], 'content-type': 'text/plain' });
      stream.end(`${headers[':method']} ${headers[':path']} ${body} ${raw.join('|')}`);
    });
  });
  const { port, get } = await front(t, upstream.url);
  const [status, text] = await get('/a?b', {
    method: 'POST',
    body: 'hello',
    headers: { 'x-a': '1', connection: 'keep-alive' },
  });
  assert.equal(status, 201);
  assert.match(text, /^POST \/a\?b hello :/);
  assert.match(text, /\|content-length\|5/);
  assert.ok(text.includes(`|:authority|127.0.0.1:${upstream.port}|`));
  assert.doesNotMatch(text, /\|(host|connection|te|transfer-encoding)\|/);
  const answers = await Promise.all(Array.from({ length: 20 }, (_, at) => get(`/${at}`)));
  assert.ok(answers.every(([code, body], at) => code === 201 && body.startsWith(`GET /${at} `)));
  assert.equal(upstream.count(), 1);

  const both = (await wire(t, port)).send(
    'GET /x HTTP/1.1\r\nHost: a\r\nContent-Type: a/b\r\nContent-Type: c/d\r\nConnection: close\r\n\r\n',
  );
  assert.match(await both.closed(), /\|content-type\|a\/b\|content-type\|c\/d/);
  const head = (await wire(t, port)).send(
    'HEAD /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
  );
  assert.match(await head.closed(), /^HTTP\/1\.1 201 [^]*\r\n\r\n$/);
  const socket = (await wire(t, port)).send(
    'GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );
  assert.match(await socket.until(/\r\n\r\n/), /^HTTP\/1\.1 400 /);
});

test('after GOAWAY what is under way ends well, and what comes goes over another connection', async (t) => {
  const waiting: ServerHttp2Stream[] = [];
  const upstream = await http2Upstream(t, (stream, headers) => {
    if (headers[':path'] === '/wait') waiting.push(stream);
    else {
      stream.respond();
      stream.end('ok');
    }
  });
  const { get } = await front(t, upstream.url);
  const slow = get('/wait');
  await until(() => waiting.length === 1, 'the call is at the upstream');
  const [first] = upstream.sessions;
  first?.close();
  await until(() => first?.closed === true, 'it says so');
  assert.deepEqual(await get('/a'), [200, 'ok']);
  assert.deepEqual(await get('/b'), [200, 'ok']);
  assert.equal(upstream.count(), 2);
  waiting[0]?.respond();
  waiting[0]?.end('late');
  assert.deepEqual(await slow, [200, 'late']);
});

test('what the upstream has not looked at is asked once more, where that is safe', async (t) => {
  let refused = 0;
  let how: 'refuse' | 'cancel' = 'refuse';
  const upstream = await http2Upstream(t, (stream) => {
    if (refused > 0) {
      refused--;
      const { NGHTTP2_REFUSED_STREAM, NGHTTP2_CANCEL } = constants;
      stream.close(how === 'refuse' ? NGHTTP2_REFUSED_STREAM : NGHTTP2_CANCEL);
      return;
    }
    stream.resume().on('end', () => {
      stream.respond();
      stream.end('ok');
    });
  });
  const { get } = await front(t, upstream.url);
  refused = 1;
  assert.deepEqual(await get('/a'), [200, 'ok']);
  refused = 1;
  assert.equal((await get('/a', { method: 'POST', body: 'x' }))[0], 502);
  refused = 2;
  assert.equal((await get('/a'))[0], 502, 'only once');
  how = 'cancel';
  refused = 1;
  assert.equal((await get('/a'))[0], 502);
  assert.equal(refused, 0);

  // GOAWAY that names no stream: none was looked at.
  for (const code of [constants.NGHTTP2_NO_ERROR, constants.NGHTTP2_ENHANCE_YOUR_CALM]) {
    const goaway = frame(GOAWAY, 0, 0, [0, 0, 0, 0, 0, 0, 0, code]);
    const going = await framed(t, (connection) => (connection === 1 ? goaway : whole(1)));
    const again = await front(t, going.url);
    assert.deepEqual(await again.get('/a'), [200, 'abc'], `code ${code}`);
    assert.equal(going.connections(), 2);
  }
});

test('on a kept connection a call is asked once more where it just closed, and not once anything of an answer came', async (t) => {
  const goaway = (last: number, code: number): Buffer =>
    frame(GOAWAY, 0, 0, Buffer.concat([uint32(last), uint32(code)]));
  const hints = frame(HEADERS, END_HEADERS, 3, block([[':status', '103']]));
  const reset = frame(RST_STREAM, 0, 3, uint32(constants.NGHTTP2_REFUSED_STREAM));
  const promise = frame(PUSH_PROMISE, END_HEADERS, 3, Buffer.concat([uint32(2), GET_FIELDS]));
  for (const [what, bytes, end, status] of [
    ['FIN', '', true, 200],
    ['REFUSED_STREAM', reset, false, 200],
    ['GOAWAY without it', goaway(1, 0), false, 200],
    ['GOAWAY without it, and an error', goaway(1, 11), false, 200],
    ['103 and FIN', hints, true, 502],
    ['103 and REFUSED_STREAM', Buffer.concat([hints, reset]), false, 502],
    ['HTTP/1.1', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', false, 502],
    ['PUSH_PROMISE', promise, false, 502],
    ['DATA before the head', frame(DATA, END_STREAM, 3, Buffer.from('abc')), false, 502],
    ['a block that is no HPACK', frame(HEADERS, END_HEADERS, 3, [0xff, 0xff, 0xff]), false, 502],
    ['GOAWAY with it, and an error', goaway(3, 2), false, 502],
    ['GOAWAY with it, and FIN', goaway(3, 0), true, 502],
  ] as const) {
    let last: Socket | undefined;
    const upstream = await framed(
      t,
      (connection, stream) => {
        if (connection > 1 || stream !== 3) return whole(stream);
        if (end) setImmediate(() => last?.end());
        return Buffer.from(bytes);
      },
      false,
      (socket) => (last = socket),
    );
    const { get } = await front(t, upstream.url);
    assert.deepEqual(await get('/a'), [200, 'abc']);
    const again = status === 200 && what !== 'REFUSED_STREAM';
    const [got] = await get('/b');
    assert.deepEqual([got, upstream.connections()], [status, again ? 2 : 1], what);
  }
});

test('where there is no HTTP/2 the answer is 502, and the log says why', async (t) => {
  const { cert, key } = await localCertificate();
  const plain = await rawUpstream(t, (socket) =>
    socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n')),
  );
  const old = createHttpsServer({ cert, key }, (_request, response) => response.end('old'));
  old.listen(0, '127.0.0.1');
  await once(old, 'listening');
  t.after(() => old.close());
  const older = createTlsServer({ cert, key }, (socket) => socket.on('error', () => undefined));
  older.listen(0, '127.0.0.1');
  await once(older, 'listening');
  t.after(() => older.close());
  const modern = await http2Upstream(t, (stream) => stream.respond({}, { endStream: true }), {
    cert,
    key,
  });
  for (const [url, upstream, words] of [
    [plain.url, {}, /does not speak HTTP\/2: take x-portcullis-http2 out/],
    [`https://localhost:${portOf(old)}`, { ca: [cert] }, NOT_OFFERED],
    [`https://localhost:${portOf(older)}`, { ca: [cert] }, NOT_OFFERED],
    [
      modern.url,
      {},
      /self-signed and not in the trust store: add it to listenerConfig\.trustStore/,
    ],
    ['http://127.0.0.1:1', {}, /ECONNREFUSED/],
  ] as const) {
    const { get, log } = await front(t, url, { upstream });
    assert.equal((await get('/a'))[0], 502, url);
    assert.match(log.lines.join('\n'), words);
  }
  const { get } = await front(t, modern.url, { upstream: { ca: [cert] } });
  assert.equal((await get('/a'))[0], 200);
});

test('a body that was cut short never looks whole', async (t) => {
  const reset = (code: number): Buffer =>
    Buffer.concat([BEGUN, frame(RST_STREAM, 0, 1, uint32(code))]);
  for (const [answer, end] of [
    [reset(0), false], // NO_ERROR, but no END_STREAM
    [reset(8), false], // CANCEL
    [reset(2), false],
    [BEGUN, true], // FIN
  ] as const) {
    const upstream = await framed(t, () => answer, end);
    const { session, port, gateway } = await http2Stage(t, {
      apis: [through(upstream.url)],
      listeners: [
        { kind: 'https', host: '127.0.0.1', port: 0, tls: await localCertificate() },
        { kind: 'http', host: '127.0.0.1', port: 0 },
      ],
    });
    assert.ok(port > 0);
    const call = await new Received(session.request({ ':path': '/a' })).closed();
    assert.equal(call.headers?.[':status'], 200);
    assert.equal(call.whole, false);
    assert.notEqual(call.stream.rstCode, constants.NGHTTP2_NO_ERROR);
    await until(() => gateway.counters().active === 0, 'the call is over');
    assert.deepEqual(gateway.counters().outcomes, { brokenOff: 1 });
  }
});

test('deadlines: no SETTINGS, no head, no body', async (t) => {
  const silent = await rawUpstream(t, () => undefined);
  const connecting = await front(t, silent.url, { upstream: { connectTimeoutMs: 100 } });
  assert.equal((await connecting.get('/a'))[0], 504);
  const upstream = await http2Upstream(t, (stream, headers) => {
    if (headers[':path'] === '/body') {
      stream.respond();
      stream.write('half');
    }
  });
  const { get, gateway } = await front(t, upstream.url, {
    upstream: { headersTimeoutMs: 150, idleBodyTimeoutMs: 300 },
  });
  assert.equal((await get('/head'))[0], 504);
  await assert.rejects(get('/body'));
  await until(() => gateway.counters().active === 0, 'the calls are over');
  assert.deepEqual(gateway.counters().outcomes, { upstreamTimedOut: 1, brokenOff: 1 });
  assert.equal(upstream.count(), 1, 'the connection is kept');
});

test('a connection that was made while the thread stood still is one', async (t) => {
  const upstream = await framed(
    t,
    () => whole(1),
    false,
    () => queueMicrotask(() => standStill(1_200)), // behind the SETTINGS
  );
  const { get } = await front(t, upstream.url, { upstream: { connectTimeoutMs: 400 } });
  assert.deepEqual(await get('/a'), [200, 'abc']);
});

test('each side is held back to the pace of the other', async (t) => {
  let written = 0;
  let unread: ServerHttp2Stream | undefined;
  const upstream = await http2Upstream(t, (stream, headers) => {
    if (headers[':method'] === 'POST') {
      unread = stream;
      return;
    }
    stream.respond();
    const pump = (): void => {
      do written += 65_536;
      while (stream.write(Buffer.alloc(65_536)) && written < 268_435_456);
    };
    stream.on('drain', pump);
    pump();
  });
  const { session } = await http2Stage(t, { apis: [through(upstream.url)] });
  const download = session.request({ ':path': '/a' });
  download.on('error', () => undefined);
  await once(download, 'response');
  let before = -1;
  await until(() => {
    const still = written === before;
    before = written;
    return still && written > 0;
  }, 'the download stands');
  assert.ok(written < 16 * 1024 * 1024, `${written}`);
  download.destroy();

  const upload = session.request({ ':method': 'POST', ':path': '/a' }, { endStream: false });
  upload.on('error', () => undefined);
  let sent = 0;
  const push = (): void => {
    do sent += 65_536;
    while (upload.write(Buffer.alloc(65_536)) && sent < 268_435_456);
  };
  upload.on('drain', push);
  push();
  await until(() => unread !== undefined, 'the upload is at the upstream');
  before = -1;
  await until(() => {
    const still = sent === before;
    before = sent;
    return still;
  }, 'the upload stands');
  assert.ok(sent < 16 * 1024 * 1024, `${sent}`);
  upload.destroy();
});

test('at most four connections; what finds them busy waits', async (t) => {
  const waiting: ServerHttp2Stream[] = [];
  const upstream = await http2Upstream(t, (stream) => waiting.push(stream), {
    settings: { maxConcurrentStreams: 1 },
  });
  const { get } = await front(t, upstream.url);
  const calls = Array.from({ length: 6 }, (_, at) => get(`/${at}`));
  await until(() => waiting.length === 4, 'four are at the upstream');
  assert.equal(upstream.count(), 4);
  const answer = (): void => {
    for (const stream of waiting.splice(0)) {
      stream.respond();
      stream.end('ok');
    }
  };
  answer();
  await until(() => waiting.length === 2, 'the others have come');
  answer();
  for (const call of calls) assert.deepEqual(await call, [200, 'ok']);
  assert.equal(upstream.count(), 4);
});

test('a head over its bound is 502', async (t) => {
  const upstream = await http2Upstream(t, (stream, headers) => {
    const size = Number(headers[':path']?.slice(1));
    stream.respond({ 'x-big': 'x'.repeat(size) }, { endStream: true });
  });
  const { get, log } = await front(t, upstream.url, { upstream: { maxHeaderSize: 4_096 } });
  assert.equal((await get('/3000'))[0], 200);
  for (const size of [4_096, 8_000, 30_000]) {
    assert.equal((await get(`/${size}`))[0], 502);
    assert.match(log.lines.at(-1) ?? '', /raise httpClients\.responseLimits\.maxHeaderSize/);
  }
  assert.equal((await get('/10'))[0], 200);
});

test('an upstream that fails again and again is not asked for a while', async (t) => {
  const { get } = await front(t, 'http://127.0.0.1:1', {
    upstream: { circuitBreaker: { failures: 2, openForMs: 60_000 } },
  });
  assert.equal((await get('/a'))[0], 502);
  assert.equal((await get('/a'))[0], 502);
  assert.equal((await get('/a'))[0], 503);
});

test('a connection that fell silent is asked for a sign of life, and given up without one', async (t) => {
  const upstream = await framed(t, (_, stream) => (stream === 1 ? whole(1) : undefined));
  const clock = new MovedClock();
  const side = new Http2Upstream(
    upstream.url,
    { connectTimeoutMs: 1_000 },
    recordedLog(false),
    clock,
  );
  t.after(() => side.close());
  const began = performance.now();
  clock.sweep(side, began);
  assert.equal(await asked(side), 'end');
  clock.sweep(side, began + 60_000);
  const second = asked(side);
  clock.sweep(side, began + 60_900);
  clock.sweep(side, began + 61_100);
  assert.equal(await second, 'broken true');
});

test('calls that wait for a stream go when the upstream allows more', async (t) => {
  const sockets: Socket[] = [];
  const none = settings([3, 0]);
  const upstream = await framed(
    t,
    () => whole(1),
    false,
    (socket) => socket.write(none) && sockets.push(socket),
  );
  const { get } = await front(t, upstream.url);
  const call = get('/a');
  await until(() => sockets.length === 4, 'it has looked for a stream everywhere');
  for (const socket of sockets) socket.write(settings([3, 10]));
  assert.deepEqual(await call, [200, 'abc']);
});

/** An upstream that speaks when it is spoken to, and allows no stream: `then` does with each connection what it likes. */
function allowingNone(t: TestContext, then: (socket: Socket, connection: number) => void) {
  let connections = 0;
  return rawUpstream(t, (socket) => {
    const connection = ++connections;
    socket.once('data', () => {
      socket.write(Buffer.concat([settings([3, 0]), frame(SETTINGS, ACK, 0)]));
      then(socket, connection);
    });
  });
}

test('an upstream that allows no stream and ends the connection is as good as none', async (t) => {
  const away = frame(GOAWAY, 0, 0, Buffer.concat([uint32(0), uint32(0)]));
  const ends: Readonly<Record<string, (socket: Socket) => void>> = {
    FIN: (socket) => socket.end(),
    RST: (socket) => setImmediate(() => socket.resetAndDestroy()),
    'GOAWAY, and the connection stays': (socket) => socket.write(away),
    'GOAWAY and FIN': (socket) => socket.end(away),
  };
  for (const [what, end] of Object.entries(ends)) {
    const upstream = await allowingNone(t, end);
    const side = new Http2Upstream(upstream.url, {}, recordedLog(false), new MovedClock());
    t.after(() => side.close());
    for (const count of [1, 2, 3]) {
      const call = watched(side);
      await until(() => call.ended !== '', `call ${count} is over (${what})`, 3_000);
      assert.equal(call.ended, 'connect false', what);
    }
    assert.ok(upstream.connections() <= 6, `${upstream.connections()} connections (${what})`);
  }

  const upstream = await allowingNone(t, (socket) => socket.end());
  const { get, log } = await front(t, upstream.url, {
    upstream: { circuitBreaker: { failures: 2, openForMs: 60_000 } },
  });
  assert.equal((await get('/a'))[0], 502);
  assert.match(log.lines.join('\n'), /ended the connection before a call could go over it/);
  assert.equal((await get('/a'))[0], 502);
  assert.equal((await get('/a'))[0], 503);
  assert.ok(upstream.connections() <= 4);
});

test('beside a busy connection others that take no call are not opened without end', async (t) => {
  let held = 0;
  const upstream = await framed(
    t,
    () => (held++, undefined),
    false,
    (socket) => {
      const first = upstream.connections() === 1;
      socket.write(settings([3, first ? 1 : 0]));
      if (!first) socket.once('data', () => socket.end());
    },
  );
  const clock = new MovedClock();
  const side = new Http2Upstream(upstream.url, {}, recordedLog(false), clock);
  t.after(() => side.close());
  const began = performance.now();
  clock.sweep(side, began);
  const first = watched(side);
  await until(() => held === 1, 'the first call is at the upstream');
  const second = watched(side);
  await until(() => upstream.connections() > 1, 'there is no room for the second');
  const third = watched(side);
  clock.sweep(side, began + 4_900);
  assert.deepEqual([first.ended, second.ended, third.ended], ['', '', '']);
  clock.sweep(side, began + 5_100);
  await turn();
  assert.deepEqual(
    [first.ended, second.ended, third.ended],
    ['', 'exhausted false', 'exhausted false'],
  );
  assert.ok(upstream.connections() <= 5, `${upstream.connections()} connections`);
});

test('a call that waits is 503 in time, also while something is being opened; its own attempt may take as long as one', async (t) => {
  const options = { connectTimeoutMs: 60_000 };
  const upstream = await rawUpstream(t, (socket) => {
    if (upstream.connections() > 1) return; // says nothing
    socket.once('data', () =>
      socket.write(Buffer.concat([settings([3, 0]), frame(SETTINGS, ACK, 0)])),
    );
  });
  const clock = new MovedClock();
  const side = new Http2Upstream(upstream.url, options, recordedLog(false), clock);
  t.after(() => side.close());
  const began = performance.now();
  clock.sweep(side, began);
  const call = watched(side);
  await until(() => upstream.connections() === 2, 'another connection is being opened for it');
  clock.sweep(side, began + 4_900);
  await turn();
  assert.equal(call.ended, '');
  clock.sweep(side, began + 5_100);
  await turn();
  assert.equal(call.ended, 'exhausted false');

  const silent = await rawUpstream(t, () => undefined);
  const other = new Http2Upstream(
    silent.url,
    { connectTimeoutMs: 10_000 },
    recordedLog(false),
    clock,
  );
  t.after(() => other.close());
  clock.sweep(other, began);
  const first = watched(other);
  await until(() => silent.connections() === 1, 'it is being opened');
  clock.sweep(other, began + 4_000);
  const second = watched(other);
  clock.sweep(other, began + 9_900);
  await turn();
  assert.deepEqual([first.ended, second.ended], ['', '']);
  clock.sweep(other, began + 10_100);
  await turn();
  assert.deepEqual([first.ended, second.ended], ['timeout false', 'timeout false']);
});

test('an upstream that went away and keeps its connections open holds none of ours', async (t) => {
  const sockets: Socket[] = [];
  const away = frame(GOAWAY, 0, 0, Buffer.concat([uint32(1), uint32(0)]));
  const upstream = await framed(
    t,
    () => Buffer.concat([whole(1), away]),
    false,
    (socket) => sockets.push(socket),
  );
  const clock = new MovedClock();
  const side = new Http2Upstream(upstream.url, {}, recordedLog(false), clock);
  const began = performance.now();
  clock.sweep(side, began);
  for (const count of [1, 2]) {
    assert.equal(await asked(side), 'end');
    await until(
      () => sockets[count - 1]?.readableEnded === true,
      'its connection waits for the end',
    );
  }
  clock.sweep(side, began + 10_000);
  for (const socket of sockets) {
    await until(() => {
      socket.write(away);
      return socket.destroyed;
    }, 'nobody is there: it is reset');
  }

  assert.equal(await asked(side), 'end');
  await until(() => sockets[2]?.readableEnded === true, 'the third one waits, too');
  const signal = AbortSignal.timeout(3_000);
  await Promise.race([side.close(), once(signal, 'abort')]);
  assert.equal(signal.aborted, false, 'the side is closed');
});
