import assert from 'node:assert/strict';
import { test } from 'node:test';
import { processorMicroseconds } from '../../bench/cpu.ts';
import { Disturbances, undisturbed } from '../../bench/undisturbed.ts';

/** A machine on which each half wants 1,000 microseconds, and loses as many of them as `stolen` says, in turn. */
function machine(stolen: readonly number[]) {
  let looks = 0;
  return () => {
    const halves = Math.ceil(looks++ / 2);
    const lost = stolen.slice(0, halves).reduce((sum, each) => sum + each, 0);
    return { wanted: halves * 1_000, stolen: lost };
  };
}

test('a round counts when both of its halves were left alone, whatever came out', async () => {
  let run = 0;
  const measure = async (): Promise<number> => run++;
  const { results, all } = await undisturbed(2, measure, measure, machine([0, 10, 11, 0, 0, 11]));
  assert.deepEqual(results, [
    [0, 1],
    [6, 7],
  ]);
  assert.deepEqual(all.flat(), [0, 1, 2, 3, 4, 5, 6, 7]);
});

test('a machine that is hardly ever left alone gives what it can', async () => {
  const measure = async (): Promise<number> => 0;
  const busy = machine([0, 0, ...Array.from({ length: 100 }, () => 500)]);
  const { results, all } = await undisturbed(3, measure, measure, busy);
  assert.deepEqual([results.length, all.length], [1, 11]);
});

test('a machine that is never left alone has no round that counts, and says all it saw', async () => {
  const measure = async (): Promise<number> => 0;
  const busy = machine(Array.from({ length: 100 }, () => 500));
  const { results, all } = await undisturbed(3, measure, measure, busy);
  assert.deepEqual([results.length, all.length], [0, 10]);
});

test('a measurement that was disturbed is done again, and the one that lost least counts', async () => {
  let run = 0;
  const measure = async (): Promise<number> => run++;
  const disturbances = new Disturbances(2, machine([10, 50, 20, 30, 500, 0]));
  assert.equal(await disturbances.least(measure), 0);
  assert.equal(await disturbances.least(measure), 2);
  assert.equal(await disturbances.least(measure), 5);
  assert.match(
    String(disturbances),
    /^Of 3 measurements 3 were done again, .* took 2\.0 % at most\.$/,
  );
});

test('the time of the processors grows, and no more is stolen than was wanted', () => {
  const { wanted, stolen } = processorMicroseconds();
  assert.ok(wanted > 0 && stolen >= 0 && stolen <= wanted);
});
