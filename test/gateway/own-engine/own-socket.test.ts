import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { Writable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { OwnSocket } from '../../../src/gateway/own-engine/own-socket.ts';

interface Pair {
  readonly here: OwnSocket;
  /** What the other side has of it once it ends. */
  readonly there: Promise<string>;
}

async function pair(t: TestContext): Promise<Pair> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [accepted] = (await once(server, 'connection')) as [Socket];
  server.close();
  t.after(() => {
    client.destroy();
    accepted.destroy();
  });
  let text = '';
  client.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
  client.on('error', () => undefined);
  const there = once(client, 'close').then(() => text);
  return { here: new OwnSocket(accepted, accepted), there };
}

const LARGE = Buffer.alloc(20_000, 'b');

test('text leaves with the turn of the event loop in which it was written, in one piece', async (t) => {
  const { here } = await pair(t);
  const { stream } = here;
  here.write('one ');
  here.write('two');
  assert.equal(stream.bytesWritten, 0);
  assert.equal(here.backlog, 7);
  await new Promise(setImmediate);
  assert.equal(stream.bytesWritten, 7);
});

test('text, bytes and several pieces arrive in the order of their writing, before the end', async (t) => {
  const { here, there } = await pair(t);
  here.write('a');
  here.write(LARGE);
  here.write('c');
  here.writeAll('d', LARGE, 'e');
  here.write('f');
  here.end();
  const large = LARGE.toString('latin1');
  assert.equal(await there, `a${large}cd${large}ef`);
});

test('small writes behind what the network does not take are bounded in number, and go on when it has taken them', async () => {
  let take: (() => void) | undefined;
  let taken = 0;
  const network = new Writable({
    decodeStrings: false,
    write: (text: string, _encoding, done) => {
      taken += text.length;
      if (taken === 1) take = done;
      else done();
    },
  }) as unknown as Socket;
  const here = new OwnSocket(network, network);
  let drained = 0;
  const carried = { receive, receivedEnd: receive, gone: receive, failed: receive };
  here.carry({ ...carried, drained: () => drained++ }, false);
  const writeAlone = (): boolean => {
    here.send();
    return here.write('x');
  };
  let written = 0;
  while (writeAlone()) assert.ok(++written < 1_000, 'there is always room');
  assert.ok(written > 10, 'a few are no matter');
  assert.equal(drained, 0);
  here.send();
  take?.();
  await new Promise(setImmediate);
  assert.equal(drained, 1);
  assert.equal(taken, written + 1);
  assert.ok(writeAlone());
});

function receive(): void {
  // Nothing comes here.
}

test('text that is written right before the socket is destroyed has left', async (t) => {
  const { here, there } = await pair(t);
  here.write('last words');
  here.destroy();
  assert.equal(await there, 'last words');
});

test('text that is written before the socket is handed over comes before what its new owner writes', async (t) => {
  const { here, there } = await pair(t);
  here.write('101 ');
  here.release().end('frames');
  assert.equal(await there, '101 frames');
});

test('more text than is kept in one turn leaves at once', async (t) => {
  const { here } = await pair(t);
  here.write('x'.repeat(16_384));
  assert.equal(here.stream.bytesWritten, 16_384);
});

test('all sockets that have something to send in one turn send it, however many they are', async (t) => {
  const pairs = await Promise.all(Array.from({ length: 70 }, () => pair(t)));
  for (const { here } of pairs) here.write('hi');
  for (const { here } of pairs.slice(0, 64)) assert.equal(here.stream.bytesWritten, 2);
  for (const { here } of pairs.slice(64)) assert.equal(here.stream.bytesWritten, 0);
  await new Promise(setImmediate);
  for (const { here } of pairs) assert.equal(here.stream.bytesWritten, 2);
});

test('a reset right behind the end closes the socket all the same', async (t) => {
  const { here, there } = await pair(t);
  here.write('whole');
  here.end();
  const closed = once(here.stream, 'close', { signal: AbortSignal.timeout(5_000) });
  here.reset();
  await closed;
  assert.equal(await there, 'whole');
});
