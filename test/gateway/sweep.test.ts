import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Sweep, tickFor } from '../../src/gateway/sweep.ts';

function fail(error: unknown): void {
  throw error;
}

test('a part that throws is told of, and takes no turn from the others', () => {
  const thrown: unknown[] = [];
  const sweep = new Sweep(50, (error) => thrown.push(error));
  let seen = 0;
  sweep.add({
    sweep: () => {
      throw new Error('unheard of');
    },
  });
  sweep.add({ sweep: () => seen++ });
  sweep.tick();
  sweep.tick();
  assert.equal(seen, 2);
  assert.deepEqual(thrown.map(String), ['Error: unheard of', 'Error: unheard of']);
});

test('every part is told the time of the one clock, until it is taken out', () => {
  let time = 100;
  const sweep = new Sweep(50, fail, () => time);
  const heard: string[] = [];
  sweep.add({ sweep: (now, next) => heard.push(`a ${now} ${next}`) });
  const remove = sweep.add({ sweep: (now) => heard.push(`b ${now}`) });
  time = 150;
  sweep.tick();
  remove();
  time = 175;
  sweep.tick();
  assert.deepEqual(heard, ['a 150 200', 'b 150', 'a 175 225']);
});

test('a thread that stood still does not take that for silence of others', () => {
  let time = 0;
  const sweep = new Sweep(50, fail, () => time);
  let heard = 0;
  sweep.add({ sweep: (now) => (heard = now) });
  time = 3_600_000;
  sweep.tick();
  assert.ok(heard > 0 && heard <= 2_000, `${heard}`);
  const before = heard;
  time += 50;
  sweep.tick();
  assert.equal(heard, before + 50);
});

test('it ticks while it runs', async () => {
  const sweep = new Sweep(1, fail);
  await new Promise<void>((resolve) => {
    sweep.add({ sweep: () => resolve() });
    sweep.start();
    const alive = setTimeout(() => undefined, 5_000); // the sweep itself keeps no process alive
    sweep.add({ sweep: () => clearTimeout(alive) });
  });
  sweep.stop();
});

test('no deadline is missed by more than a quarter, within bounds', () => {
  assert.equal(tickFor([60_000, 400, 0]), 50);
  assert.equal(tickFor([60_000]), 250);
  assert.equal(tickFor([10]), 25);
  assert.equal(tickFor([]), 250);
});
