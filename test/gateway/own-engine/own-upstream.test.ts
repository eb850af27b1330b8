import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createServer as createHttpsServer } from 'node:https';
import { connect, createServer } from 'node:net';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import { OwnUpstream } from '../../../src/gateway/own-engine/own-upstream.ts';
import type { UpstreamOptions } from '../../../src/gateway/options.ts';
import type { UpstreamRequest } from '../../../src/gateway/upstream-side.ts';
import { startHttpServer } from '../../support/http-server.ts';
import { MovedClock } from '../../support/moved-clock.ts';
import { recordedLog } from '../../support/recorded-log.ts';
import { until } from '../../support/until.ts';
import { AnswerRecorder } from '../answer-recorder.ts';
import { localCertificate, rawUpstream } from '../stage.ts';

const GET: UpstreamRequest = {
  method: 'GET',
  path: '/a',
  fields: [],
  body: undefined,
  switching: false,
  trailers: false,
};

function upstream(
  t: TestContext,
  origin: string,
  options: UpstreamOptions = {},
  clock = new MovedClock(),
): OwnUpstream {
  const made = new OwnUpstream(origin, options, recordedLog(), clock);
  t.after(() => made.close());
  return made;
}

function call(side: OwnUpstream, more: Partial<UpstreamRequest> = {}): AnswerRecorder {
  const recorder = new AnswerRecorder();
  side.call({ ...GET, ...more }, recorder, false);
  return recorder;
}

test('calls one after the other share a connection', async (t) => {
  const seen: (string | undefined)[] = [];
  const server = await startHttpServer((request, response) => {
    seen.push(
      `${request.method} ${request.url} ${request.headers.host} ${String(request.headers['x-a'])}`,
    );
    response.end('hello');
  });
  t.after(() => server.close());
  const side = upstream(t, server.url);
  for (let count = 0; count < 3; count++) {
    const { status, length, bytes, ended } = await call(side, { fields: ['x-a', '1'] }).end();
    assert.deepEqual(
      { status, length, bytes, ended },
      { status: 200, length: 5, bytes: 5, ended: true },
    );
  }
  assert.deepEqual(seen, Array(3).fill(`GET /a ${new URL(server.url).host} 1`));
  assert.equal(side.pool.idle, 1);
});

test('of connections that were busy at one time, as many are kept as may be idle', async (t) => {
  const server = await startHttpServer((_, response) => response.end('hello'));
  t.after(() => server.close());
  for (const [maxIdle, kept] of [
    [undefined, 3],
    [2, 2],
    [0, 0],
  ] as const) {
    const side = upstream(t, server.url, { maxIdle });
    const calls = [1, 2, 3].map(() => call(side));
    for (const one of calls) assert.equal((await one.end()).status, 200);
    assert.equal(side.pool.idle, kept, `${maxIdle}`);
  }
});

test('large answers that come at the same time are not mixed up', async (t) => {
  const bodies = Array.from({ length: 6 }, (_, at) => randomBytes(at % 2 === 0 ? 3_000_000 : 900));
  const server = await startHttpServer((request, response) => {
    const body = bodies[Number(request.url?.slice(1))] ?? Buffer.alloc(0);
    if (request.url === '/0') response.end(body); // in one piece
    else {
      for (let at = 0; at < body.length; at += 7_001) response.write(body.subarray(at, at + 7_001));
      response.end();
    }
  });
  t.after(() => server.close());
  const side = upstream(t, server.url);
  for (let round = 0; round < 2; round++) {
    const calls = bodies.map((_, at) => {
      const recorder = call(side, { path: `/${at}` });
      return recorder;
    });
    for (const [at, recorder] of calls.entries()) {
      await recorder.end();
      assert.equal(recorder.failure, undefined);
      const whole = createHash('sha256')
        .update(bodies[at] ?? '')
        .digest('hex');
      assert.equal(recorder.hash.digest('hex'), whole, `body ${at}`);
    }
  }
});

test('what is kept of a large chunk is not overwritten by what comes later', async (t) => {
  const server = await startHttpServer((request, response) => {
    response.end(Buffer.alloc(2_000_000, request.url?.at(1) ?? '?'));
  });
  t.after(() => server.close());
  const side = upstream(t, server.url);
  const kept: { readonly chunk: Uint8Array; readonly letter: string }[] = [];
  const recorders = ['x', 'y', 'z'].map((letter) => {
    const recorder = new AnswerRecorder();
    recorder.onData = (chunk) => {
      if (chunk.length >= 16_384) kept.push({ chunk, letter });
      return true;
    };
    side.call({ ...GET, path: `/${letter}` }, recorder, false);
    return recorder;
  });
  for (const recorder of recorders) await recorder.end();
  assert.ok(kept.length > 10);
  for (const { chunk, letter } of kept) {
    assert.ok(
      chunk.every((byte) => byte === letter.charCodeAt(0)),
      letter,
    );
  }
});

test('a body that is not taken holds the upstream, and goes on', async (t) => {
  const body = randomBytes(8_000_000);
  let sent = false;
  const server = await startHttpServer((_, response) => {
    response.end(body, () => (sent = true));
  });
  t.after(() => server.close());
  const clock = new MovedClock();
  const side = upstream(t, server.url, {}, clock);
  const recorder = new AnswerRecorder();
  recorder.takes = false;
  const open = side.call(GET, recorder, false);
  await until(() => recorder.status === 200, 'the head is here');
  assert.equal(recorder.bytes, 0);
  clock.sweep(side, performance.now());
  assert.equal(sent, false);
  while (!recorder.over) {
    open.resume();
    await new Promise(setImmediate);
  }
  assert.equal(recorder.hash.digest('hex'), createHash('sha256').update(body).digest('hex'));
});

test('TLS: the name is checked, and answers come whole', async (t) => {
  const { cert, key } = await localCertificate();
  const body = randomBytes(500_000);
  const server = createHttpsServer({ cert, key }, (_, response) => response.end(body));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  for (const host of ['localhost', '127.0.0.1']) {
    const good = upstream(t, `https://${host}:${port}`, { ca: [cert] });
    for (let count = 0; count < 2; count++) {
      const recorder = await call(good).end();
      assert.equal(recorder.hash.digest('hex'), createHash('sha256').update(body).digest('hex'));
    }
    assert.equal(good.pool.idle, 1);
  }
  const stranger = await call(upstream(t, `https://localhost:${port}`)).end();
  assert.equal(stranger.failure?.kind, 'connect');
  assert.match(stranger.failure.detail, /self.signed/i);
});

test('nobody listens: the failure says so', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  await new Promise((resolve) => server.close(resolve));
  const side = upstream(t, `http://127.0.0.1:${port}`);
  const { failure } = await call(side).end();
  assert.equal(failure?.kind, 'connect');
  assert.match(failure.detail, /^ECONNREFUSED /);
  const switching = await call(side, { switching: true }).end();
  assert.equal(switching.failure?.kind, 'connect');
});

test('an upstream that says nothing is given up in time', async (t) => {
  const silent = await rawUpstream(t, (socket) => socket.resume());
  const clock = new MovedClock();
  const side = upstream(t, silent.url, { headersTimeoutMs: 1_000 }, clock);
  clock.sweep(side, performance.now());
  const recorder = call(side);
  await until(() => silent.connections() === 1, 'it is connected');
  await until(() => side.pool.busy === 1, 'the request is sent');
  const now = performance.now();
  clock.sweep(side, now);
  assert.equal(recorder.over, false);
  clock.sweep(side, now + 1_100);
  assert.equal(recorder.failure?.kind, 'timeout');
  assert.equal(side.pool.busy, 0);
});

test('what begins between two sweeps has all of its time from the second one on', async (t) => {
  const silent = await rawUpstream(t, (socket) => socket.resume());
  const clock = new MovedClock();
  const side = upstream(t, silent.url, { headersTimeoutMs: 1_000 }, clock);
  const now = Math.ceil(performance.now());
  clock.sweep(side, now, now + 125);
  const recorder = call(side);
  await until(() => side.pool.busy === 1, 'the request is sent');
  clock.sweep(side, now + 1_120, now + 1_245);
  assert.equal(recorder.over, false);
  clock.sweep(side, now + 1_125, now + 1_250);
  assert.equal(recorder.failure?.kind, 'timeout');
});

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
/** What nobody asked for. */
const MORE = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL';

/** An answer of so many bytes, with its head. */
function whole(bytes: number): string {
  const head = 'HTTP/1.1 200 OK\r\nContent-Length: ';
  const length = bytes - head.length - 9; // five digits, two line ends
  return `${head}${length}\r\n\r\n${'x'.repeat(length)}`;
}

test('an answer that fills a read to its last byte: what stands behind it is nobody’s answer', async (t) => {
  let count = 0;
  const { url } = await rawUpstream(t, (socket) => {
    const first = count++ === 0;
    socket.on('data', () => socket.write(first ? `${whole(65_536)}${MORE}` : OK));
  });
  const side = upstream(t, url, { maxActive: 1 });
  const [big, next] = [call(side), call(side)];
  assert.ok((await big.end()).bytes > 65_000);
  assert.equal((await next.end()).bytes, 2);
  assert.equal(count, 2, 'on another connection');
});

test('nor is what stands behind an answer that was kept for its taker', async (t) => {
  let count = 0;
  const { url } = await rawUpstream(t, (socket) => {
    const first = count++ === 0;
    socket.on('data', () => socket.write(first ? `${whole(65_536)}${MORE}` : OK));
  });
  const side = upstream(t, url, { maxActive: 1 });
  const held = new AnswerRecorder();
  held.takes = false;
  const open = side.call(GET, held, false);
  const next = call(side);
  await until(() => held.status === 200, 'the head is here');
  held.takes = true;
  // As a client's socket says that it takes more: among the events of sockets, not before them.
  const client = await rawUpstream(t, (socket) => socket.write('more'));
  const socket = connect(client.port, '127.0.0.1').once('data', () => open.resume());
  t.after(() => socket.destroy());
  assert.ok((await held.end()).bytes > 65_000);
  assert.equal((await next.end()).bytes, 2);
  assert.equal(count, 2, 'on another connection');
});

test('a body that stops coming is given up in time; one that waits for its reader is not', async (t) => {
  const { url } = await rawUpstream(t, (socket) => {
    socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf'));
  });
  const clock = new MovedClock();
  const side = upstream(t, url, { idleBodyTimeoutMs: 1_000 }, clock);
  const held = new AnswerRecorder();
  held.takes = false;
  const open = side.call(GET, held, false);
  await until(() => held.status === 200, 'the head is here');
  const now = performance.now();
  clock.sweep(side, now + 5_000);
  assert.equal(held.over, false);
  held.takes = true;
  open.resume();
  await until(() => held.bytes === 4, 'half of it is here');
  clock.sweep(side, now + 5_500);
  assert.equal(held.over, false);
  clock.sweep(side, now + 6_100);
  assert.equal(held.failure?.kind, 'timeout');
});

for (const stage of [
  'while it waits for a connection',
  'before the head',
  'in the body',
] as const) {
  test(`an abort ${stage} ends the connection, and the answer hears nothing more`, async (t) => {
    let asked = 0;
    let closed = 0;
    const other = await rawUpstream(t, (socket) => {
      socket.on('end', () => closed++);
      socket.on('data', () => {
        asked++;
        if (stage === 'in the body')
          socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf');
      });
    });
    const side = upstream(t, other.url);
    const recorder = new AnswerRecorder();
    const open = side.call(GET, recorder, false);
    if (stage === 'before the head') await until(() => asked === 1, 'it is asked');
    if (stage === 'in the body') await until(() => recorder.bytes === 4, 'half is here');
    open.abort();
    open.abort();
    open.resume();
    await until(() => closed === other.connections(), 'the connection is closed');
    assert.equal(recorder.over, false);
    assert.equal(side.pool.busy + side.pool.idle, 0);
  });
}

for (const place of ['onHead', 'onData', 'onFlush', 'onEnd'] as const) {
  test(`an answer that throws in ${place} fails, and costs no other call`, async (t) => {
    const finish: (() => void)[] = [];
    const server = await startHttpServer((_, response) => {
      response.write('some');
      finish.push(() => response.end('thing'));
    });
    t.after(() => server.close());
    const side = upstream(t, server.url);
    const bad = new AnswerRecorder();
    let thrown = false;
    bad[place] = () => {
      thrown = true;
      throw new Error('of the answer');
    };
    side.call(GET, bad, false);
    const good = call(side);
    await until(() => good.bytes === 4 && (thrown || bad.bytes === 4), 'half of both is here');
    for (const each of finish.splice(0)) each();
    await good.end();
    assert.equal(good.ended, true);
    await until(() => bad.failure !== undefined, 'it has failed');
    assert.match(bad.failure?.detail ?? '', /of the answer/);
    const next = call(side);
    await until(() => finish.length === 1, 'it is asked again');
    finish[0]?.();
    assert.equal((await next.end()).ended, true);
  });
}

test('a switched connection is a plain socket, both ways, and not of the pool', async (t) => {
  const { url } = await rawUpstream(t, (socket) => {
    socket.once('data', (head: Buffer) => {
      assert.match(head.toString('latin1'), /\r\nUpgrade: websocket\r\n/);
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nearly',
      );
      socket.on('data', (chunk: Buffer) => socket.write(chunk));
    });
  });
  const side = upstream(t, url);
  const { socket, early, fields } = await call(side, { switching: true }).end();
  assert.ok(socket !== undefined);
  t.after(() => socket.destroy());
  assert.equal(early, 'early');
  assert.deepEqual(fields, ['upgrade', 'websocket', 'connection', 'Upgrade']);
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString())).resume();
  socket.write('echo');
  await until(() => text === 'echo', 'it comes back');
  assert.equal(side.pool.busy + side.pool.idle, 0);
});

test('a refused switch is an answer, and the connection is not kept', async (t) => {
  let closed = false;
  const server = await startHttpServer((request, response) => {
    request.socket.on('close', () => (closed = true));
    response.writeHead(403).end('no');
  });
  t.after(() => server.close());
  const side = upstream(t, server.url);
  const { status, ended } = await call(side, { switching: true }).end();
  assert.deepEqual({ status, ended }, { status: 403, ended: true });
  await until(() => closed, 'it is closed');
});

test('a kept connection that dies under a request says that it may be sent again', async (t) => {
  let requests = 0;
  const { url } = await rawUpstream(t, (socket) => {
    socket.on('data', () => {
      if (++requests === 2) socket.resetAndDestroy();
      else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    });
  });
  const side = upstream(t, url);
  assert.equal((await call(side).end()).ended, true);
  const { failure } = await call(side).end();
  assert.equal(failure?.kind, 'broken');
  assert.equal(failure.replayable, true);
  const again = new AnswerRecorder();
  side.call(GET, again, true);
  assert.equal((await again.end()).ended, true);
});

test('closing ends what is open', async (t) => {
  let open = 0;
  const { url } = await rawUpstream(t, (socket) => {
    open++;
    socket.on('end', () => open--);
    socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'));
  });
  const side = upstream(t, url);
  await call(side).end();
  const second = call(side);
  await until(() => side.pool.busy === 1, 'one is busy');
  await side.close();
  await second.end();
  assert.equal(second.failure?.kind, 'broken');
  await until(() => open === 0, 'the upstream sees it');
});
