import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { type Heap, Shedding } from '../../src/gateway/shedding.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { until } from '../support/until.ts';
import { ENGINE, openApi, rawUpstream, stage, statusOf, wire } from './stage.ts';

/** A thread whose heap and clock the test decides. */
class Thread implements Heap {
  readonly life = { draining: false, closing: false, shedding: false };
  readonly log = recordedLog(false);
  options: { heapPercent: number } | undefined = { heapPercent: 85 };
  nowMs = 10_000;
  live = 0;
  garbage = 0;
  collections = 0;
  readonly #shedding = new Shedding(
    this.life,
    () => this.options,
    this.log,
    this,
    () => this.nowMs,
  );

  used(): number {
    return (this.live + this.garbage) / 100;
  }

  collect(): void {
    this.collections += 1;
    this.garbage = 0;
  }

  /** @returns whether requests are refused then */
  after(ms: number, lateMs = 0): boolean {
    this.nowMs += ms;
    this.#shedding.sweep(this.nowMs, lateMs);
    return this.life.shedding;
  }
}

test('requests are refused while the heap is fuller than it may be, until it is ten percent emptier', () => {
  const thread = new Thread();
  thread.live = 84;
  assert.equal(thread.after(250), false);
  thread.live = 85;
  assert.equal(thread.after(250), true);
  thread.live = 75;
  assert.equal(thread.after(250), true);
  thread.live = 74;
  assert.equal(thread.after(250), false);
  assert.deepEqual(
    thread.log.lines.map((line) => line.replace(/ \[-\]/, '')),
    [
      "WARN [Gateway] 85 % of this thread's heap are in use: requests are answered 503 for now",
      'INFO [Gateway] requests are served again',
    ],
  );
});

test('garbage is no reason, and what is garbage is found out now and then, so that it ends', () => {
  const thread = new Thread();
  thread.live = 30;
  thread.garbage = 60;
  assert.equal(thread.after(250), false);
  assert.equal(thread.collections, 1);
  thread.live = 90;
  assert.equal(thread.after(250), true);
  assert.equal(thread.collections, 1, 'it was done a moment ago');
  // What was under way is over, and nobody makes more of it.
  [thread.live, thread.garbage] = [10, 80];
  assert.equal(thread.after(4_000), true);
  assert.equal(thread.after(1_000), false);
  assert.equal(thread.collections, 2);
});

test('a thread that is late four times in a row refuses, until it was in time for a second', () => {
  const thread = new Thread();
  for (let count = 0; count < 3; count++) assert.equal(thread.after(700, 501), false);
  assert.equal(thread.after(250, 500), false, 'in time');
  for (let count = 0; count < 3; count++) assert.equal(thread.after(700, 501), false);
  assert.equal(thread.after(700, 501), true);
  assert.equal(thread.after(250, 0), true);
  assert.equal(thread.after(700, 0), true);
  assert.equal(thread.after(250, 0), false);
});

test('one long stand-still is nothing', () => {
  assert.equal(new Thread().after(2_000, 3_600_000), false);
});

test('it is said once a minute', () => {
  const thread = new Thread();
  const said = (): number => thread.log.lines.filter((line) => line.startsWith('WARN')).length;
  for (let count = 0; count < 3; count++) {
    thread.live = 90;
    assert.equal(thread.after(5_000), true);
    thread.live = 0;
    assert.equal(thread.after(5_000), false);
  }
  assert.equal(said(), 1);
  thread.live = 90;
  thread.after(60_000);
  assert.equal(said(), 2);
});

test('switched off it refuses nobody, also when that comes while it does', () => {
  const thread = new Thread();
  thread.live = 99;
  assert.equal(thread.after(250), true);
  thread.options = undefined;
  assert.equal(thread.after(250), false);
  for (let count = 0; count < 9; count++) assert.equal(thread.after(700, 600), false);
});

test(`what is refused so is not read, and /health is answered: ${ENGINE}`, async (t) => {
  const upstream = await rawUpstream(t, (socket) => socket.destroy());
  const options = { apis: [openApi(upstream.url)], loadShedding: { heapPercent: 0 } };
  const { port, gateway, log } = await stage(t, options);
  const ask = async (target: string): Promise<string> =>
    (await wire(t, port)).send(`GET ${target} HTTP/1.1\r\nHost: h\r\n\r\n`).until(/\}$/);
  await until(() => log.lines.some((line) => line.includes('heap are in use')), 'it sheds');
  const answer = await ask('/a?b');
  assert.equal(statusOf(answer), 503);
  assert.match(answer, /\r\nRetry-After: 1\r\n/i);
  assert.match(answer, /"code":503/);
  assert.equal(statusOf(await ask(`/${'a'.repeat(3_000)}/%00`)), 503, 'nobody looks at the path');
  assert.equal(statusOf(await ask('/ready')), 503);
  assert.equal(statusOf(await ask('/health')), 200);
  assert.equal(statusOf(await ask('/healthy')), 503);
  const body = await (
    await wire(t, port)
  )
    .send('POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n')
    .until(/\}$/);
  assert.equal(statusOf(body), 503);
  assert.equal(upstream.connections(), 0);
  assert.equal(gateway.counters().outcomes.serviceUnavailable, 4);
  assert.equal(log.lines.filter((line) => line.includes('503')).length, 1, 'one line for all');
});

test(`a thread whose heap fills up refuses instead of dying, and serves again: ${ENGINE}`, async () => {
  const worker = new Worker(new URL('small-heap.ts', import.meta.url), {
    resourceLimits: { maxOldGenerationSizeMb: 96 },
  });
  const died = once(worker, 'exit');
  try {
    const [{ port }] = (await once(worker, 'message')) as [{ port: number }];
    const ready = async (): Promise<number> =>
      (await fetch(`http://127.0.0.1:${port}/ready`)).status;
    assert.equal(await ready(), 200);
    for (let count = 0; (await ready()) === 200; count++) {
      assert.ok(count < 1_000, 'it is never full');
      worker.postMessage('fill');
      await once(worker, 'message');
    }
    assert.equal((await fetch(`http://127.0.0.1:${port}/a`)).status, 503);
    assert.equal((await fetch(`http://127.0.0.1:${port}/health`)).status, 200);
    worker.postMessage('drop');
    await until(async () => (await ready()) === 200, 'it serves again', 20_000);
    assert.equal((await fetch(`http://127.0.0.1:${port}/a`)).status, 404);
    worker.postMessage('end');
    assert.deepEqual(await died, [0]);
  } finally {
    await worker.terminate();
  }
});
