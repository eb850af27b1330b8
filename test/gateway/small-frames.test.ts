import assert from 'node:assert/strict';
import type { ServerHttp2Stream } from 'node:http2';
import { test, type TestContext } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { GatewayOptions } from '../../src/gateway/options.ts';
import { until } from '../support/until.ts';
import {
  ACK,
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  HEADERS,
  Http2Peer,
  PING,
  PREFACE,
  SETTINGS,
  settings,
  uint32,
  WINDOW_UPDATE,
} from './http2-frames.ts';
import { http2Upstream } from './http2-peers.ts';
import { get, post } from './rfc9113-case.ts';
import { api, ENGINE, localCertificate, rawUpstream, stage } from './stage.ts';

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

const BYTES = 60_000;
const CLIENTS = 4;
/** Of memory for each byte that is held: a chunk of its own takes more than a hundred. */
const MOST_EACH = 40;
const BODY = Buffer.from(Array.from({ length: BYTES }, (_, at) => at % 251));

/** A body in frames with one byte each. */
function dribble(stream: number): Buffer {
  return Buffer.concat(Array.from(BODY, (byte) => frame(DATA, 0, stream, [byte])));
}

function heap(): number {
  gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function scene(t: TestContext, url: string, options: Partial<GatewayOptions> = {}) {
  const tls = await localCertificate();
  const route = { production: [url], http2: true };
  const { gateway, port } = await stage(t, {
    listeners: [{ kind: 'https', host: '127.0.0.1', port: 0, tls }],
    apis: [api('', ['GET /{a}', route], ['POST /{a}', route])],
    ...options,
  });
  return { gateway, connect: () => Http2Peer.connect(t, port, tls.cert) };
}

/** Sends bodies in small frames that nobody takes, and looks at what that takes. */
async function sendsHeld(connect: () => Promise<Http2Peer>): Promise<Http2Peer[]> {
  const peers: Http2Peer[] = [];
  for (let client = 0; client < CLIENTS; client++) {
    const peer = (await connect()).greet().send(post('/a'));
    peers.push(peer);
  }
  const before = heap();
  for (const peer of peers) {
    peer.send(dribble(1), frame(PING, 0, 0, Buffer.alloc(8)));
    const confirmed = () => peer.frames.some(({ type, flags }) => type === PING && flags === ACK);
    assert.ok(await peer.until(confirmed, 20_000), 'the gateway has read all of it');
  }
  const each = (heap() - before) / (BYTES * CLIENTS);
  assert.ok(each < MOST_EACH, `${each.toFixed(1)} bytes of memory for each`);
  return peers;
}

async function readAll(stream: ServerHttp2Stream): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  stream.respond({ ':status': 200 }, { endStream: true });
  return Buffer.concat(chunks);
}

test(`a body in small frames that its upstream does not take is held in little more than its bytes, and then passed on: ${ENGINE}`, async (t) => {
  const streams: ServerHttp2Stream[] = [];
  const upstream = await http2Upstream(t, (stream) => streams.push(stream), {
    settings: { initialWindowSize: 0 },
  });
  const { connect } = await scene(t, upstream.url);
  const peers = await sendsHeld(connect);
  await until(() => streams.length === CLIENTS, 'every upload has begun');
  for (const peer of peers) peer.send(frame(DATA, END_STREAM, 1));
  for (const { session } of streams) session?.settings({ initialWindowSize: 65_535 });
  for (const body of await Promise.all(streams.map(readAll))) assert.deepEqual(body, BODY);
  for (const peer of peers) assert.ok(await peer.until(() => peer.answer(1).status === 200));
});

test(`a body in small frames of a request that waits for its turn is held in little more than its bytes: ${ENGINE}`, async (t) => {
  const bodies: Promise<Buffer>[] = [];
  let first: ServerHttp2Stream | undefined;
  const upstream = await http2Upstream(t, (stream) => {
    if (first === undefined) first = stream;
    else bodies.push(readAll(stream));
  });
  const { gateway, connect } = await scene(t, upstream.url, {
    upstream: { maxActive: 1, maxWaitMs: 60_000 },
  });
  const other = (await connect()).greet().send(get('/a'));
  await until(() => first !== undefined, 'the only place is taken');
  const peers = await sendsHeld(connect);
  assert.equal(gateway.counters().active, 1 + CLIENTS);
  for (const peer of peers) peer.send(frame(DATA, END_STREAM, 1));
  first?.respond({ ':status': 200 }, { endStream: true });
  assert.ok(await other.until(() => other.answer(1).ended));
  for (const peer of peers) assert.ok(await peer.until(() => peer.answer(1).status === 200));
  for (const body of await Promise.all(bodies)) assert.deepEqual(body, BODY);
});

test(`an answer in small frames that its client does not take is held in little more than its bytes, and then passed on: ${ENGINE}`, async (t) => {
  let confirmed = 0;
  const upstream = await rawUpstream(t, (socket) => {
    let bytes = Buffer.alloc(0);
    let at = PREFACE.length;
    socket.write(Buffer.concat([settings(), frame(SETTINGS, ACK, 0)]));
    socket.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      while (at + 9 <= bytes.length && at + 9 + bytes.readUIntBE(at, 3) <= bytes.length) {
        const type = bytes[at + 3];
        const stream = bytes.readUInt32BE(at + 5);
        if (type === PING && bytes[at + 4] === ACK) confirmed++;
        at += 9 + bytes.readUIntBE(at, 3);
        if (type !== HEADERS) continue;
        socket.write(frame(HEADERS, END_HEADERS, stream, [0x88])); // `:status: 200`
        socket.write(dribble(stream));
        socket.write(frame(PING, 0, 0, Buffer.alloc(8)));
        socket.write(frame(DATA, END_STREAM, stream));
      }
    });
  });
  const { connect } = await scene(t, upstream.url);
  const peers: Http2Peer[] = [];
  for (let client = 0; client < CLIENTS; client++) peers.push(await connect());
  const before = heap();
  for (const peer of peers) {
    peer.send(PREFACE, settings([1, 0], [4, 0]), frame(SETTINGS, ACK, 0), get('/a'));
  }
  await until(() => confirmed === CLIENTS, 'the gateway has read all answers', 20_000);
  const each = (heap() - before) / (BYTES * CLIENTS);
  assert.ok(each < MOST_EACH, `${each.toFixed(1)} bytes of memory for each`);
  for (const peer of peers) {
    peer.send(frame(WINDOW_UPDATE, 0, 1, uint32(65_535)));
    assert.ok(await peer.until(() => peer.answer(1).ended, 20_000));
    const parts = peer.frames.filter(({ type }) => type === DATA).map(({ payload }) => payload);
    assert.deepEqual(Buffer.concat(parts), BODY);
  }
});
