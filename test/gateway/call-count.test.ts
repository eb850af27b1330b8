import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CALL_COUNT_BYTES, CallCount, callOrigins } from '../../src/gateway/call-count.ts';

test('an origin keeps its place when others come and go', () => {
  const first = callOrigins(['http://a/x', 'http://b:8080', 'http://a/y']);
  assert.deepEqual(first, ['http://a', 'http://b:8080']);
  assert.deepEqual(callOrigins(['https://c', 'http://b:8080/z'], first), [
    'http://a',
    'http://b:8080',
    'https://c',
  ]);
  assert.deepEqual(callOrigins(['no URL'], first), first, 'who uses it says what is wrong with it');
});

test('threads count the calls to an origin together, whatever order they met their origins in', () => {
  const memories = [0, 1].map(() => new SharedArrayBuffer(CALL_COUNT_BYTES));
  const origins = callOrigins(['http://a', 'http://b']);
  const shared = (place: number) => ({
    place,
    memories,
    indexOf: (origin: string) => origins.indexOf(origin),
  });
  const here = { b: new CallCount('http://b', shared(0)), a: new CallCount('http://a', shared(0)) };
  const there = new CallCount('http://a', shared(1));
  here.a.own = 2;
  here.b.own = 5;
  there.own = 1;
  assert.deepEqual([here.a.all, there.all, here.b.all], [3, 3, 5]);
  const unknown = [0, 1].map((place) => new CallCount('http://c', shared(place)));
  for (const count of unknown) count.own = 4;
  assert.deepEqual(
    unknown.map(({ all }) => all),
    [4, 4],
    'one that has no place is counted by each for itself',
  );
  assert.equal(here.a.all, 3);
});
