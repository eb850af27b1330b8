import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Pace, type PaceMeter } from '../../src/revocation/pace.ts';

/** A thread whose time passes only by what the test does. */
class Thread implements PaceMeter {
  #now = 0;
  #active = 0;
  readonly pauses: number[] = [];
  now = (): number => this.#now;
  active = (): number => this.#active;
  pause = (ms: number): Promise<void> => {
    this.pauses.push(ms);
    this.#now += ms;
    return Promise.resolve();
  };
  work(ms: number): void {
    this.#now += ms;
    this.#active += ms;
  }
  idle(ms: number): void {
    this.#now += ms;
  }
}

test('after a piece of work there is twice as much rest', async () => {
  const thread = new Thread();
  const pace = new Pace(thread);
  thread.work(3);
  await pace.rest();
  assert.equal(thread.pauses.length, 1);
  assert.ok(Math.abs((thread.pauses[0] ?? 0) - 6) < 1e-9, `${thread.pauses[0]}`);
});

test('who waits for others meanwhile needs no rest', async () => {
  const thread = new Thread();
  const pace = new Pace(thread);
  for (let i = 0; i < 100; i++) {
    thread.work(1);
    thread.idle(5);
    await pace.rest();
  }
  assert.deepEqual(new Set(thread.pauses), new Set([0]), 'only turns for the others');
});

test('two who work in turns get no more than one', async () => {
  const thread = new Thread();
  const pace = new Pace(thread);
  for (let i = 0; i < 1_000; i++) {
    thread.work(i % 2 === 0 ? 0.4 : 0.8);
    await pace.rest();
  }
  assert.ok(thread.active() / thread.now() < 0.34, `${thread.active()} of ${thread.now()} ms`);
});

test('whatever the thread does, no rest is long, and long work gets no more than its share', async () => {
  const step = fc.record({
    work: fc.double({ min: 0, max: 5, noNaN: true }),
    idle: fc.double({ min: 0, max: 5, noNaN: true }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 200 }), async (steps) => {
      const thread = new Thread();
      const pace = new Pace(thread);
      for (const { work, idle } of steps) {
        thread.work(work);
        thread.idle(idle);
        await pace.rest();
        assert.ok(thread.active() <= thread.now() / 3 + 1, 'more than its share');
      }
      assert.ok(thread.pauses.every((ms) => ms <= 20));
    }),
  );
});
