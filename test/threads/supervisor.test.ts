import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { OperatorError } from '../../src/errors.ts';
import type { Bound } from '../../src/gateway/options.ts';
import type { Tables } from '../../src/revocation/revocation-list.ts';
import { type Report, ThreadGone } from '../../src/threads/data-plane-thread.ts';
import { Supervisor, type SupervisorTimings } from '../../src/threads/supervisor.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { until } from '../support/until.ts';
import type { SmallWorkerData } from './small-worker.ts';

const ENTRY = new URL('./small-worker.ts', import.meta.url);
const TIMINGS = { firstPauseMs: 20, longestPauseMs: 80 };

interface Shape {
  readonly threads?: number;
  /** What the thread of a place starts with; `life` counts from 0. */
  readonly data?: (place: number, life: number) => Omit<SmallWorkerData, 'place'>;
  readonly timings?: Partial<SupervisorTimings>;
}

/** A supervisor of small workers, closed when the test is over. */
function supervised(t: TestContext, { threads = 2, data, timings }: Shape = {}) {
  const log = recordedLog();
  const reports: Report[] = [];
  const lives: number[] = Array.from({ length: threads }, () => 0);
  const gone: number[] = [];
  const supervisor = new Supervisor({
    entry: ENTRY,
    threads,
    log,
    timings: { ...TIMINGS, ...timings },
    dataFor(place) {
      const life = lives[place] ?? 0;
      lives[place] = life + 1;
      return { ...data?.(place, life), place };
    },
    onReport: (report) => reports.push(report),
    onGone: (place) => gone.push(place),
  });
  t.after(() => supervisor.close(0));
  supervisor.start();
  return { supervisor, log, lives, gone, reports };
}

function portOf(bound: readonly Bound[]): number {
  assert.equal(bound.length, 1);
  return bound[0]?.port ?? 0;
}

/** `thread place generation` of whoever answers a new connection. */
async function ask(port: number, path = '/'): Promise<string> {
  return (await fetch(`http://127.0.0.1:${port}${path}`)).text();
}

/** Asks until all these places have answered. */
async function untilPlacesAnswer(port: number, places: readonly number[]): Promise<void> {
  const seen = new Set<number>();
  await until(
    async () => {
      seen.add(Number((await ask(port)).split(' ')[1]));
      return places.every((place) => seen.has(place));
    },
    `answers of ${places.join()}`,
    30_000,
  );
}

const noTables = { tokens: {}, rules: {} } as unknown as Tables;

test('all threads listen on the one port that the first got for port 0', async (t) => {
  const { supervisor } = supervised(t);
  const port = portOf(await supervisor.listen(true));
  assert.equal(supervisor.serving, 2);
  await untilPlacesAnswer(port, [0, 1]);
});

test('a thread that ends by an error, or exits, is replaced; the others go on', async (t) => {
  const { supervisor, log, gone, lives } = supervised(t);
  const port = portOf(await supervisor.listen(true));
  for (const [path, reason] of [
    ['/throw', /has ended: TypeError: thrown on purpose \(at .*small-worker\.ts/],
    ['/exit', /has ended: it ended with code 7\./],
  ] as const) {
    const before = lives.reduce((sum, count) => sum + count, 0);
    let died = false;
    await until(
      async () => {
        await ask(port, died ? '/' : path).catch(() => undefined);
        died = gone.length > 0;
        return died && lives.reduce((sum, count) => sum + count, 0) > before;
      },
      'a new thread is started',
      30_000,
    );
    await until(() => supervisor.serving === 2, 'two serve again', 30_000);
    assert.ok(log.lines.some((line) => line.startsWith('ERROR [DataPlane]') && reason.test(line)));
    gone.length = 0;
  }
  assert.ok(log.lines.some((line) => /^INFO .* serves again$/.test(line)));
  await untilPlacesAnswer(port, [0, 1]);
});

test('while one thread dies again and again, the other serves every request', async (t) => {
  const { supervisor, lives } = supervised(t, {
    data: (place) => (place === 1 ? { listening: 'throw' } : {}),
    timings: { firstPauseMs: 1, longestPauseMs: 5 },
  });
  await supervisor.listen(true);
  await until(() => (lives[1] ?? 0) > 7, 'many deaths', 60_000);
  assert.ok(supervisor.serving >= 1);
  assert.equal(lives[0], 1);
  const hopeless = await Promise.race([supervisor.hopeless, Promise.resolve('no')]);
  assert.equal(hopeless, 'no');
});

test('when every thread dies young again and again, there is no hope', async (t) => {
  const { supervisor, lives } = supervised(t, { data: () => ({ listening: 'throw' }) });
  await supervisor.listen(true).catch(() => undefined);
  const error: OperatorError = await supervisor.hopeless;
  assert.equal(error.code, 'ERR_DATA_PLANE');
  assert.match(error.message, /no data-plane thread stays alive.*it dies young/);
  for (const count of lives) assert.ok(count >= 5, lives.join());
});

test('threads that cannot start at all: the start is refused after some attempts', async (t) => {
  const { supervisor, lives } = supervised(t, { data: () => ({ start: 'throw' }) });
  await assert.rejects(supervisor.listen(true), {
    code: 'ERR_DATA_PLANE',
    message: /RangeError: it cannot live/,
  });
  for (const count of lives) assert.ok(count >= 5, lives.join());
});

test('one thread that cannot start at first is tried again while the other serves', async (t) => {
  const { supervisor, lives } = supervised(t, {
    data: (place, life) => (place === 1 && life < 2 ? { start: 'throw' } : {}),
  });
  const port = portOf(await supervisor.listen(true));
  await untilPlacesAnswer(port, [0, 1]);
  assert.deepEqual(lives, [1, 3]);
});

test('what a thread refuses its start with is what the start is refused with, at once', async (t) => {
  const { supervisor, log } = supervised(t, { data: () => ({ start: 'refuse' }) });
  await assert.rejects(supervisor.listen(true), {
    code: 'ERR_ENDPOINT_URL',
    message: 'no such endpoint',
  });
  assert.deepEqual(log.lines, []);
});

test('an address that a thread cannot have is refused as a listener says it', async (t) => {
  const { supervisor } = supervised(t, { data: () => ({ listening: 'busy' }) });
  await assert.rejects(supervisor.listen(true), {
    code: 'ERR_LISTEN',
    message: /^http listener: cannot listen on 127\.0\.0\.1:0 \(EADDRINUSE\): another program/,
    address: { kind: 'http', host: '127.0.0.1', port: 0 },
  });
});

test('a thread that does not become ready in time is ended and replaced', async (t) => {
  const { supervisor, log, lives } = supervised(t, {
    threads: 1,
    data: (_place, life) => (life === 0 ? { start: 'hang' } : {}),
    timings: { readyMs: 2_000 },
  });
  portOf(await supervisor.listen(true));
  assert.deepEqual(lives, [2]);
  assert.match(log.lines.join('\n'), /has ended: it was not ready within 2 s/);
});

test('new tables are read by every thread when replacing resolves, also by one that is still starting', async (t) => {
  const { supervisor } = supervised(t);
  const early = supervisor.askAll('replaceTables', { tables: noTables }, 'started');
  const port = portOf(await supervisor.listen(true));
  assert.equal((await early).length, 2);
  assert.equal(
    (await supervisor.askAll('replaceTables', { tables: noTables }, 'started')).length,
    2,
  );
  for (let call = 0; call < 10; call++) assert.match(await ask(port), / 2$/);
});

test('a thread that does not answer is ended, so that nobody waits for it', async (t) => {
  const { supervisor, log } = supervised(t, {
    data: (place, life) => ({ deaf: place === 0 && life === 0 }),
    timings: { answerMs: 500 },
  });
  await supervisor.listen(true);
  const answers = await supervisor.askAll('replaceTables', { tables: noTables }, 'started');
  assert.equal(answers.length, 1);
  await until(() => supervisor.serving === 2, 'two serve again', 30_000);
  assert.match(log.lines.join('\n'), /did not answer "replaceTables" within 0\.5 s/);
});

test('each thread answers a question for itself', async (t) => {
  const { supervisor } = supervised(t);
  await supervisor.listen(true);
  const holds = async (first: number): Promise<boolean[]> =>
    supervisor.askAll('holds', { prints: Uint32Array.of(first, 0, 0), table: 'tokens' }, 'serving');
  assert.deepEqual(await holds(99), [true, true]);
  assert.deepEqual((await holds(1)).filter(Boolean), [true]);
  assert.deepEqual(await holds(7), [false, false]);
});

test('the last lines of a thread arrive, also those that it wrote right before its end', async (t) => {
  const { supervisor, reports, gone } = supervised(t, { threads: 1 });
  const said = (): string =>
    reports.map((report) => (report.kind === 'log' ? report.lines : '')).join('');
  const port = portOf(await supervisor.listen(true));
  for (const path of ['/say-and-exit', '/say-and-throw']) {
    gone.length = 0;
    await ask(port, path).catch(() => undefined);
    await until(() => gone.length === 1, 'it is gone', 30_000);
    assert.equal(said(), `${path}\n`);
    await until(() => supervisor.serving === 1, 'a new one serves', 30_000);
    reports.length = 0;
  }
  await supervisor.close(1_000);
  assert.equal(said(), 'last words of place 0\n');
});

test('closing drains, ends all threads, and starts none again', async (t) => {
  const { supervisor, log, gone, lives } = supervised(t);
  const port = portOf(await supervisor.listen(true));
  await supervisor.close(1_000);
  assert.equal(supervisor.serving, 0);
  assert.deepEqual(new Set(gone), new Set([0, 1]));
  assert.deepEqual(lives, [1, 1]);
  assert.doesNotMatch(log.lines.join('\n'), /ERROR|WARN/);
  const server = createServer().listen({ port, host: '127.0.0.1', exclusive: true });
  await once(server, 'listening');
  server.close();
});

test('a thread that stands still is found out by the next question', async (t) => {
  const { supervisor, log } = supervised(t, { threads: 1, timings: { answerMs: 500 } });
  const port = portOf(await supervisor.listen(true));
  void ask(port, '/busy').catch(() => undefined);
  await until(
    async () =>
      (await supervisor.askAll('replaceTables', { tables: noTables }, 'started')).length === 0,
    'no answer',
  );
  await until(() => supervisor.serving === 1, 'a new one serves', 30_000);
  assert.match(log.lines.join('\n'), /did not answer "replaceTables" within 0\.5 s/);
});

test('what every thread is to agree to is asked of each, also of one that starts meanwhile', async (t) => {
  const { supervisor, lives } = supervised(t, {
    data: (place, life) => (place === 1 && life === 0 ? { start: 'throw' } : { preparesMs: 600 }),
    timings: { firstPauseMs: 400, longestPauseMs: 400 },
  });
  const port = portOf(await supervisor.listen(true));
  await supervisor.askEach('prepare', { settings: 7 });
  assert.deepEqual(lives, [1, 2]);
  assert.match(await ask(port), / 0$/, 'it is prepared only');
  await supervisor.askAll('commit', undefined, 'started');
  await untilPlacesAnswer(port, [0, 1]);
  for (let n = 0; n < 10; n++) assert.match(await ask(port), / 7$/);
});

test('one thread that refuses, or dies of it, is enough for no agreement', async (t) => {
  const { supervisor, gone } = supervised(t, {
    data: (place) => ({ diesOf: place === 1 ? 9 : 0 }),
  });
  const port = portOf(await supervisor.listen(true));
  await assert.rejects(supervisor.askEach('prepare', { settings: 'bad' }), {
    code: 'ERR_ENDPOINT_URL',
  });
  await assert.rejects(supervisor.askEach('prepare', { settings: 9 }), ThreadGone);
  await supervisor.askAll('discard', undefined, 'started');
  assert.deepEqual(gone, [1]);
  await untilPlacesAnswer(port, [0, 1]);
  for (let n = 0; n < 10; n++) assert.match(await ask(port), / 0$/);
});
