import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { Sweep, tickFor } from '../../src/gateway/sweep.ts';
import { standStill } from '../support/stand-still.ts';
import { rawUpstream } from './stage.ts';

function fail(error: unknown): void {
  throw error;
}

/** A sweep every 40 ms, and the time that it goes by. */
class Ticks {
  time = 100;
  readonly sweep = new Sweep(fail, () => this.time);

  constructor() {
    this.sweep.every(40);
  }

  /** One tick, so long after the last. */
  after(ms: number): void {
    this.time += ms;
    this.sweep.move();
    this.sweep.look();
  }
}

/** Keeps the process alive, which a sweep itself does not, until `over`. */
async function alive(over: Promise<unknown>): Promise<void> {
  const timer = setTimeout(() => undefined, 5_000);
  await over;
  clearTimeout(timer);
}

test('a part that throws is told of, and takes no turn from the others', () => {
  const thrown: unknown[] = [];
  const sweep = new Sweep((error) => thrown.push(error));
  let seen = 0;
  sweep.add({
    sweep: () => {
      throw new Error('unheard of');
    },
  });
  sweep.add({ sweep: () => seen++ });
  sweep.look();
  sweep.look();
  assert.equal(seen, 2);
  assert.deepEqual(thrown.map(String), ['Error: unheard of', 'Error: unheard of']);
});

test('every part is told the time of the one clock, and how late it is, until it is taken out', () => {
  const ticks = new Ticks();
  const heard: string[] = [];
  ticks.sweep.add({ sweep: (now, late) => heard.push(`a ${now} ${late}`) });
  const remove = ticks.sweep.add({ sweep: (now) => heard.push(`b ${now}`) });
  ticks.after(40);
  remove();
  ticks.after(45);
  ticks.after(30);
  assert.deepEqual(heard, ['a 140 0', 'b 140', 'a 185 5', 'a 215 0']);
});

test('a thread that stood still does not take that for silence of others, and says how late it is', () => {
  const ticks = new Ticks();
  const heard: number[] = [];
  ticks.sweep.add({ sweep: (now, late) => heard.push(now, late) });
  ticks.after(3_600_000);
  ticks.after(40);
  assert.deepEqual(heard, [150, 3_599_960, 190, 0]);
});

test('what begins before the next look is stamped no earlier than it began, and at most a tick and a quarter late', () => {
  const ticks = new Ticks();
  const { sweep } = ticks;
  const { clock } = sweep;
  let now = 100;
  sweep.add({ sweep: (nowMs) => (now = nowMs) });
  // As a timer may come, early, late, and after the thread stood still.
  for (const ms of [40, 41, 50, 3_000, 39, 40, 7_000, 120, 0, 50]) {
    const stamp = clock.nowMs; // of something that began at any time up to the next look
    assert.ok(stamp - now <= 50, `${stamp} at ${now}`);
    const before = now;
    ticks.after(ms);
    assert.ok(stamp >= now, `${stamp} at ${now}`);
    assert.equal(now, before + Math.min(ms, 50));
    assert.equal(clock.nowMs, now + 50);
  }
});

test('nor is it stamped earlier where it looks more seldom from now on; the clock is never set back', () => {
  const ticks = new Ticks();
  const { sweep } = ticks;
  const { clock } = sweep;
  let now = 0;
  sweep.add({ sweep: (nowMs) => (now = nowMs) });
  sweep.every(200);
  const stamp = clock.nowMs;
  ticks.after(250);
  assert.equal(now, 350);
  assert.equal(stamp, 350);
  sweep.every(40);
  assert.equal(clock.nowMs, 600);
  ticks.after(40);
  assert.deepEqual([now, clock.nowMs], [390, 600]);
  for (let count = 0; count < 10; count++) ticks.after(40);
  assert.deepEqual([now, clock.nowMs], [790, 840]);
});

test('a deadline is never over early, and at most a quarter late, whenever it began', () => {
  const tickMs = tickFor([360]);
  assert.equal(tickMs, 40);
  for (const late of [0, 5, 10]) {
    for (let offset = 0; offset < 40 + late; offset++) {
      const ticks = new Ticks();
      const { clock } = ticks.sweep;
      const looks: number[] = [];
      let stamp = Infinity;
      ticks.sweep.add({
        sweep: (now) => {
          if (now - stamp >= 360) looks.push(ticks.time);
        },
      });
      ticks.after(40);
      const began = ticks.time + offset;
      stamp = clock.nowMs;
      while (looks.length === 0) ticks.after(40 + late);
      const tookMs = (looks[0] ?? 0) - began;
      assert.ok(tookMs >= 360 && tookMs <= 450, `${tookMs} ms`);
    }
  }
});

test('a part that is made late is on the same clock at once', () => {
  const ticks = new Ticks();
  ticks.after(10_000);
  ticks.after(40);
  const { clock } = ticks.sweep;
  const sinceMs = clock.nowMs;
  const waited: number[] = [];
  ticks.sweep.add({ sweep: (now) => waited.push(now - sinceMs) });
  ticks.after(50);
  ticks.after(40);
  assert.deepEqual(waited, [0, 40]);
});

test('what came is heard before anybody is judged', async (t) => {
  const { port } = await rawUpstream(t, (socket) => {
    socket.once('data', () => {
      socket.write('an answer');
      standStill(200); // longer than a tick: the timer is what comes first
    });
  });
  const order: string[] = [];
  const sweep = new Sweep(fail);
  sweep.every(50);
  const judged = new Promise<void>((resolve) => {
    sweep.add({
      sweep: (_nowMs, lateMs) => {
        if (lateMs < 100) return;
        order.push('judged');
        resolve();
      },
    });
  });
  sweep.start();
  const socket = connect(port, '127.0.0.1', () => socket.write('a question'));
  t.after(() => socket.destroy());
  socket.on('data', () => order.push('heard'));
  await alive(judged);
  sweep.stop();
  assert.deepEqual(order, ['heard', 'judged']);
});

test('a timer that comes twice before anything is read is one tick', async () => {
  const sweep = new Sweep(fail);
  sweep.every(25);
  const began = sweep.clock.nowMs;
  const heard: number[][] = [];
  const looked = new Promise<void>((resolve) => {
    sweep.add({
      sweep: (nowMs, lateMs) => {
        if (heard.push([nowMs, lateMs]) === 2) resolve();
      },
    });
  });
  sweep.start();
  // Both are due, and behind the second the first is again.
  setTimeout(() => standStill(200), 26);
  standStill(60);
  await alive(looked);
  sweep.stop();
  const [[firstMs = 0] = [], [secondMs = 0, lateMs = 0] = []] = heard;
  assert.ok(firstMs <= began, `${firstMs - began} ms more than one tick`);
  assert.ok(secondMs <= firstMs + 31.25, `${secondMs - firstMs} ms in one tick`);
  assert.ok(lateMs >= 150, `${lateMs} ms late`);
});

test('it ticks while it runs, and not after', async () => {
  const sweep = new Sweep(fail);
  let looks = 0;
  await alive(
    new Promise<void>((resolve) => {
      sweep.add({
        sweep: () => {
          looks++;
          resolve();
        },
      });
      sweep.start();
    }),
  );
  sweep.stop();
  const before = looks;
  sweep.start();
  // Between the two halves of a tick: both are due in the same turn.
  await new Promise<void>((resolve) => {
    setTimeout(() => {
      sweep.stop();
      resolve();
    }, 26);
    standStill(60);
  });
  for (let turns = 0; turns < 5; turns++) await new Promise(setImmediate);
  assert.equal(looks, before);
});

test('no deadline is missed by more than a quarter, within bounds', () => {
  assert.equal(tickFor([60_000, 400, 0]), 400 / 9);
  assert.equal(tickFor([60_000]), 250);
  assert.equal(tickFor([10]), 25);
  assert.equal(tickFor([]), 250);
});
