import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pace } from '../../../src/gateway/own-engine/pace.ts';

test('nothing for the time of a stall is lost, whatever the rate', () => {
  const pace = new Pace(100, 0);
  assert.equal(pace.isLost(100, 999, 1_000, 0), false);
  assert.equal(pace.isLost(100, 1_000, 1_000, 0), true);
});

test('any byte begins a stall anew', () => {
  const pace = new Pace(0, 0);
  assert.equal(pace.isLost(1, 999, 1_000, 0), false);
  assert.equal(pace.isLost(1, 1_998, 1_000, 0), false);
  assert.equal(pace.isLost(1, 1_999, 1_000, 0), true);
});

test('a rate is measured over ten seconds, each ten anew', () => {
  const pace = new Pace(0, 0);
  assert.equal(pace.isLost(10, 9_999, Infinity, 240), false, 'too early to say');
  assert.equal(pace.isLost(2_400, 10_000, Infinity, 240), false);
  assert.equal(pace.isLost(2_401, 15_000, Infinity, 240), false);
  assert.equal(pace.isLost(4_799, 20_000, Infinity, 240), true);
});

test('where bytes are seen to move in steps, a rate is measured when some have', () => {
  const pace = new Pace(0, 0, true);
  assert.equal(pace.isLost(0, 30_000, 60_000, 240), false, 'nothing is seen yet');
  assert.equal(pace.isLost(65_536, 40_000, 60_000, 240), false);
  assert.equal(pace.isLost(65_536, 90_000, 60_000, 240), false);
  assert.equal(pace.isLost(65_636, 91_000, 60_000, 240), true, '100 bytes in 51 seconds');
  const silent = new Pace(0, 0, true);
  assert.equal(silent.isLost(0, 59_999, 60_000, 240), false);
  assert.equal(silent.isLost(0, 60_000, 60_000, 240), true);
});

test('no rate: a byte now and then is enough', () => {
  const pace = new Pace(0, 0);
  for (let at = 1; at < 100; at++) assert.equal(pace.isLost(at, at * 9_000, 60_000, 0), false);
});
