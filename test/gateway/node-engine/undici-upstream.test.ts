import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { CallCount } from '../../../src/gateway/call-count.ts';
import { connector } from '../../../src/gateway/node-engine/connector.ts';
import { UndiciUpstream } from '../../../src/gateway/node-engine/undici-upstream.ts';
import type { UpstreamRequest } from '../../../src/gateway/upstream-side.ts';
import type { BodySink, BodySource } from '../../../src/http1/body.ts';
import { until } from '../../support/until.ts';
import { AnswerRecorder } from '../answer-recorder.ts';
import { rawUpstream } from '../stage.ts';

const CHUNK = Buffer.alloc(65_536);

/** A body that gives as much as is taken. */
class Endless implements BodySource {
  readonly length = -1;
  /** What the sink said last. */
  held = false;
  resumed = 0;
  abandoned = false;
  #sink: BodySink | undefined;

  start(sink: BodySink): void {
    this.#sink = sink;
    this.#give();
  }

  resume(): void {
    this.resumed++;
    this.held = false;
    this.#give();
  }

  abandon(): void {
    this.abandoned = true;
  }

  /** As a socket does, turn by turn. */
  #give(): void {
    setImmediate(() => {
      if (this.abandoned || this.held) return;
      if (this.#sink?.onData(CHUNK) === false) this.held = true;
      else this.#give();
    });
  }
}

function upstream(t: TestContext, origin: string): { side: UndiciUpstream; calls: CallCount } {
  const options = { idleBodyTimeoutMs: 1_000 };
  const calls = new CallCount(origin);
  const side = new UndiciUpstream(origin, 10, connector(options), options, calls);
  t.after(() => side.close());
  return { side, calls };
}

const GET: UpstreamRequest = {
  method: 'GET',
  path: '/a',
  fields: [],
  body: undefined,
  switching: false,
  trailers: false,
};

/** An upload to an upstream that has stopped reading, with all buffers between them full. */
async function stuck(t: TestContext): Promise<{
  readonly body: Endless;
  readonly recorder: AnswerRecorder;
  readonly side: UndiciUpstream;
  readonly calls: CallCount;
  readonly open: ReturnType<UndiciUpstream['call']>;
  readonly peer: Socket;
}> {
  const peers: Socket[] = [];
  const { url } = await rawUpstream(t, (socket) => {
    peers.push(socket);
    void socket.once('data', () => socket.pause());
  });
  const { side, calls } = upstream(t, url);
  const body = new Endless();
  const recorder = new AnswerRecorder();
  const open = side.call({ ...GET, method: 'POST', body }, recorder, false);
  await until(() => body.held, 'no more is taken');
  const [peer] = peers;
  assert.ok(peer !== undefined);
  return { body, recorder, side, calls, open, peer };
}

test('an upload of which nothing is taken is given up in time, with its connection', async (t) => {
  const { body, recorder, side, peer } = await stuck(t);
  const now = performance.now();
  side.sweep(now);
  side.sweep(now + 900);
  assert.equal(recorder.over, false);
  side.sweep(now + 1_100);
  assert.equal(recorder.failure?.kind, 'timeout');
  assert.equal(recorder.failure.detail, 'nothing of the request was taken for 1000 ms');
  assert.equal(recorder.failure.replayable, false);
  assert.equal(body.abandoned, true);
  peer.resume();
  await once(peer, 'end');
  side.sweep(now + 5_000);
});

test('one of which something was taken meanwhile is not', async (t) => {
  const { body, recorder, side, peer } = await stuck(t);
  const now = performance.now();
  side.sweep(now);
  side.sweep(now + 900);
  const before = body.resumed;
  peer.resume();
  await until(() => body.resumed > before, 'more is taken');
  peer.pause();
  await until(() => body.held, 'and no more again');
  side.sweep(now + 1_800);
  side.sweep(now + 2_700);
  assert.equal(recorder.over, false);
  side.sweep(now + 2_900);
  assert.equal(recorder.failure?.kind, 'timeout');
});

test('one that was aborted hears nothing of its deadline, and counts no more', async (t) => {
  const { recorder, side, calls, open } = await stuck(t);
  const now = performance.now();
  side.sweep(now);
  open.abort();
  assert.equal(calls.own, 0);
  side.sweep(now + 5_000);
  assert.equal(recorder.over, false);
});

test('an upload whose answer has begun has the deadline of the answer', async (t) => {
  const { recorder, side, peer } = await stuck(t);
  peer.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n');
  await until(() => recorder.status === 200, 'the head is here');
  const now = performance.now();
  side.sweep(now);
  side.sweep(now + 5_000);
  assert.equal(recorder.over, false);
  peer.write('ok');
  await until(() => recorder.ended, 'it is whole');
});

const SWITCHED =
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';

/** An origin that answers everything; a WebSocket handshake too. */
async function answering(t: TestContext): Promise<{
  readonly peers: readonly Socket[];
  readonly call: (fresh: boolean, more?: Partial<UpstreamRequest>) => Promise<AnswerRecorder>;
}> {
  const peers: Socket[] = [];
  const { url } = await rawUpstream(t, (socket) => {
    peers.push(socket);
    socket.on('data', (bytes) => {
      const switching = bytes.includes('upgrade: websocket');
      socket.write(switching ? SWITCHED : 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    });
    socket.on('end', () => socket.end());
  });
  const { side } = upstream(t, url);
  const call = (fresh: boolean, more: Partial<UpstreamRequest> = {}): Promise<AnswerRecorder> => {
    const recorder = new AnswerRecorder();
    side.call({ ...GET, ...more }, recorder, fresh);
    return recorder.end();
  };
  return { peers, call };
}

test('a second try is made on a connection that has served nothing, which is kept', async (t) => {
  const { peers, call } = await answering(t);
  assert.equal((await call(false)).ended, true);
  assert.equal((await call(true)).ended, true);
  assert.equal(peers.length, 2);
  await until(() => peers[0]?.closed === true, 'the one before is closed');
  assert.equal((await call(false)).ended, true);
  assert.equal(peers.length, 2);
  const { socket } = await call(true, { switching: true });
  socket?.destroy();
  assert.equal(peers.length, 3, 'that of a handshake too');
});

test('it leaves a connection alone that has become a WebSocket', async (t) => {
  const { peers, call } = await answering(t);
  const { socket } = await call(false, { switching: true });
  assert.ok(socket !== undefined);
  t.after(() => socket.destroy());
  assert.equal((await call(true)).ended, true);
  assert.equal(peers.length, 2);
  assert.equal(socket.destroyed, false);
  const heard = once(socket, 'data');
  peers[0]?.write('a frame');
  assert.equal(String((await heard)[0]), 'a frame');
});
