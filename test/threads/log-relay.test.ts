import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { test } from 'node:test';
import { landed, LogRelay, newFlight } from '../../src/threads/log-relay.ts';

function relay() {
  const flight = newFlight();
  const posts: { lines: string; dropped: number }[] = [];
  const own = new LogRelay(flight, (lines, dropped) => posts.push({ lines, dropped }));
  return { flight, posts, own };
}

test('lines of one turn are one message, in their order', async () => {
  const { own, posts } = relay();
  own.write('one\n');
  own.write('two\n');
  assert.deepEqual(posts, []);
  await turn();
  own.write('three\n');
  await turn();
  assert.deepEqual(posts, [
    { lines: 'one\ntwo\n', dropped: 0 },
    { lines: 'three\n', dropped: 0 },
  ]);
});

test('flush posts what is left, once', () => {
  const { own, posts } = relay();
  own.write('last words\n');
  own.flush();
  own.flush();
  assert.deepEqual(posts, [{ lines: 'last words\n', dropped: 0 }]);
});

test('when the control thread takes nothing, lines are dropped and counted until it takes some again', () => {
  const { own, posts, flight } = relay();
  const line = `${'x'.repeat(999)}\n`;
  const sent = 3_000;
  for (let count = 0; count < sent; count++) own.write(line);
  own.flush();
  const waiting = posts.map(({ lines }) => lines).join('').length;
  assert.ok(waiting <= 1024 * 1024 && waiting > 900_000, String(waiting));
  const [first] = posts;
  assert.ok(first);
  landed(flight, first.lines);
  own.write('again\n');
  own.flush();
  assert.equal(posts.at(-1)?.lines, 'again\n');
  const dropped = posts.reduce((sum, post) => sum + post.dropped, 0);
  assert.equal(dropped, sent - waiting / 1_000);
});
