import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { connector } from '../../../src/gateway/own-engine/own-connect.ts';
import type { OwnSocket } from '../../../src/gateway/own-engine/own-socket.ts';

const ANSWER = Buffer.alloc(4_000_000, 'a');
const MOST_IN_A_TURN = 65_536;

/** A connection to an upstream that sends {@link ANSWER}, and what is heard of it. */
async function reading(t: TestContext, hear: (chunk: Buffer) => void): Promise<OwnSocket> {
  const server = createServer((socket) => socket.on('error', () => undefined).write(ANSWER));
  t.after(() => server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const sockets = new Set<Socket>();
  t.after(() => sockets.forEach((socket) => socket.destroy()));
  const { port } = server.address() as AddressInfo;
  const connect = connector(`http://127.0.0.1:${port}`, {}, sockets, assert.ifError);
  return await new Promise((resolve, reject) => {
    const ready = (socket: OwnSocket): void => {
      const quiet = { receivedEnd() {}, drained() {}, gone() {}, failed: reject };
      socket.carry({ ...quiet, receive: hear }, false);
      resolve(socket);
    };
    connect(true, ready, reject);
  });
}

/** Tells which turn of the event loop it is. */
function turns(t: TestContext): () => number {
  let turn = 0;
  let next = setImmediate(function count() {
    turn++;
    next = setImmediate(count);
  });
  t.after(() => clearImmediate(next));
  return () => turn;
}

test('a large answer is read in portions, between which others have their turn', async (t) => {
  const turn = turns(t);
  const inTurn = new Map<number, number>();
  let heard = 0;
  const all = Promise.withResolvers<void>();
  await reading(t, (chunk) => {
    inTurn.set(turn(), (inTurn.get(turn()) ?? 0) + chunk.length);
    heard += chunk.length;
    if (heard === ANSWER.length) all.resolve();
  });
  await all.promise;
  const most = Math.max(...inTurn.values());
  assert.ok(most <= MOST_IN_A_TURN, `${most} bytes in one turn`);
});

test('whoever pauses within a portion hears nothing until it resumes, and then all', async (t) => {
  let heard = 0;
  let paused = false;
  const all = Promise.withResolvers<void>();
  const full = Promise.withResolvers<void>();
  const socket = await reading(t, (chunk) => {
    assert.equal(paused, false);
    heard += chunk.length;
    if (heard === ANSWER.length) all.resolve();
    if (chunk.length < MOST_IN_A_TURN || heard === ANSWER.length) return;
    paused = true;
    socket.pause();
    full.resolve();
  });
  await full.promise;
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
  assert.equal(paused, true);
  while (heard < ANSWER.length) {
    paused = false;
    socket.resume();
    await new Promise(setImmediate);
  }
  await all.promise;
});
