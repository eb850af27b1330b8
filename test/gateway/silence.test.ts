import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { standStill } from '../support/stand-still.ts';
import { until } from '../support/until.ts';
import {
  END_STREAM,
  frame as http2Frame,
  Http2Peer,
  uint32,
  WINDOW_UPDATE,
} from './http2-frames.ts';
import { data, get, post } from './rfc9113-case.ts';
import { ENGINE, localCertificate, openApi, rawUpstream, stage, statusOf, wire } from './stage.ts';
import { frame, handshake, webSocketUpstream } from './web-socket.ts';

const IDLE_MS = 200;

/** The thread stands still with what `write` has written lying in its sockets; behind the reading of sockets, so that the next to run are timers. */
function standStillWith(write: () => void, ms = 2 * IDLE_MS): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(() => {
      write();
      standStill(ms);
      resolve();
    });
  });
}

/** A gateway with short time-outs before an upstream that answers once a body of ten bytes has come. */
async function scene(t: TestContext, kind: 'http' | 'https') {
  const tls = await localCertificate();
  const on = { host: '127.0.0.1', port: 0 };
  let got = '';
  const upstream = await rawUpstream(t, (socket) => {
    socket.on('data', (bytes: Buffer) => {
      got += bytes.toString('latin1');
      if (got.endsWith('0123456789')) socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    });
  });
  const staged = await stage(t, {
    apis: [openApi(upstream.url)],
    listeners: [kind === 'http' ? { kind, ...on } : { kind, ...on, tls }],
    upstream: { idleBodyTimeoutMs: IDLE_MS },
  });
  const half = (): Promise<void> => until(() => got.endsWith('01234'), 'half of the body');
  return { port: staged.port, ca: tls.cert, half };
}

test(`a body that came while the thread stood still came in time: ${ENGINE}`, async (t) => {
  const { port, half } = await scene(t, 'http');
  const client = await wire(t, port);
  client.send('POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n01234');
  await half();
  await standStillWith(() => client.send('56789'));
  assert.equal(statusOf(await client.until(/\r\n\r\n./)), 200);
});

test(`a body that came over HTTP/2 while the thread stood still came in time: ${ENGINE}`, async (t) => {
  const { port, ca, half } = await scene(t, 'https');
  const client = (await Http2Peer.connect(t, port, ca)).greet();
  client.send(post('/a', 1, [['content-length', '10']]), data('01234'));
  await half();
  await standStillWith(() => client.send(data('56789', END_STREAM)));
  const answer = client.answer(1);
  assert.ok(await client.until(() => answer.ended), 'answered');
  assert.equal(answer.status, 200);
});

test(`a body that does not come is judged all the same when the thread has stood still: ${ENGINE}`, async (t) => {
  const { port, half } = await scene(t, 'http');
  const client = await wire(t, port);
  client.send('POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n01234');
  await half();
  await standStillWith(() => undefined);
  assert.equal(statusOf(await client.until(/\r\n\r\n./)), 408);
});

for (const length of [70_000, 1_000_000]) {
  test(`a client of HTTP/2 that asked for more of ${length} bytes while the thread stood still gets them: ${ENGINE}`, async (t) => {
    const tls = await localCertificate();
    const upstream = await rawUpstream(t, (socket) => {
      socket.once('data', () => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n`);
        socket.write(Buffer.alloc(length));
      });
    });
    const { port, gateway } = await stage(t, {
      apis: [openApi(upstream.url)],
      listeners: [{ kind: 'https', host: '127.0.0.1', port: 0, tls }],
      upstream: { idleBodyTimeoutMs: IDLE_MS },
    });
    const client = (await Http2Peer.connect(t, port, tls.cert)).greet();
    client.send(get('/a'));
    const answer = client.answer(1);
    assert.ok(await client.until(() => answer.bytes === 65_535), 'its window is full');
    const more = uint32(1_000_000);
    await standStillWith(() => {
      client.send(http2Frame(WINDOW_UPDATE, 0, 0, more), http2Frame(WINDOW_UPDATE, 0, 1, more));
    });
    assert.ok(await client.until(() => answer.ended || answer.reset !== undefined), 'it is over');
    assert.deepEqual([answer.bytes, answer.reset], [length, undefined]);
    await until(() => gateway.counters().active === 0, 'its request too');
    assert.deepEqual(gateway.counters().outcomes, { forwarded: 1 });
  });
}

test(`a session of HTTP/2 whose next request came while the thread stood still goes on: ${ENGINE}`, async (t) => {
  const tls = await localCertificate();
  const keepAliveMs = 2_500; // the sweep counts less than that of one time in which nothing runs
  const { port } = await stage(t, {
    listeners: [{ kind: 'https', host: '127.0.0.1', port: 0, tls }],
    timeouts: { keepAliveMs },
  });
  const client = (await Http2Peer.connect(t, port, tls.cert)).greet();
  const [first, second] = [client.answer(1), client.answer(3)];
  client.send(get('/health', 1));
  assert.ok(await client.until(() => first.ended), 'the first answer');
  await standStillWith(() => client.send(get('/health', 3)), keepAliveMs + 100);
  assert.ok(await client.until(() => second.ended), 'the second answer');
  assert.deepEqual([second.status, client.goaway], [200, undefined]);
});

/** A WebSocket through a gateway with short time-outs, and its upstream's side. */
async function tunnel(t: TestContext) {
  const upstream = await webSocketUpstream(t, (socket) => socket.pause());
  const { port, gateway } = await stage(t, {
    apis: [openApi(upstream.url)],
    timeouts: { webSocketIdleMs: IDLE_MS },
    upstream: { idleBodyTimeoutMs: IDLE_MS },
  });
  const client = (await wire(t, port)).send(handshake('/a'));
  await client.until(/\r\n\r\n/);
  const [socket] = upstream.sockets as [Socket];
  return { client, socket, gateway };
}

for (const side of ['client', 'upstream'] as const) {
  test(`a WebSocket on which the ${side} spoke while the thread stood still goes on: ${ENGINE}`, async (t) => {
    const { client, socket } = await tunnel(t);
    const [speaker, hearer] = side === 'client' ? [client.socket, socket] : [socket, client.socket];
    let heard = '';
    hearer.on('data', (bytes: Buffer | string) => (heard += bytes.toString('latin1')));
    hearer.resume();
    await standStillWith(() => speaker.write(frame(1, 'ping')));
    await until(() => heard.endsWith('ping'), 'the message');
    assert.equal(client.ending, 'open');
  });
}

test(`a WebSocket whose other side ended while the thread stood still has ended in order: ${ENGINE}`, async (t) => {
  const { client, socket, gateway } = await tunnel(t);
  client.socket.end();
  await once(socket.resume(), 'end');
  await standStillWith(() => socket.end('last'));
  assert.match(await client.closed(), /last$/);
  assert.equal(client.ending, 'clean');
  await until(() => gateway.counters().active === 0, 'it is over');
  assert.deepEqual(gateway.counters().outcomes, { forwarded: 1 });
});
