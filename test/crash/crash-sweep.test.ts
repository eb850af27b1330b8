/**
 * The writer of segments and snapshots is killed at each of its calls to the file system in turn, and what a start makes of it is checked.
 * Killed before call n is killed after call n - 1; what happens inside of a write is tested by cutting files (revocation/journal).
 */
import assert from 'node:assert/strict';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import {
  fingerprint,
  LATER_S,
  open,
  subjectRule,
  temporaryFolder,
} from '../revocation/journal/stage.ts';
import { tracedLife, UNSYNCED } from '../../check/unsynced.ts';
import { callsIn, check, live, pathWords } from './life.ts';
import { syncOrder } from './sync-order.ts';

/** Runs at once: as many as a small machine has cores. */
const AT_ONCE = 2;

interface Sweep {
  readonly what: 'files' | 'lock';
  readonly life: 'short' | 'long';
  /** Tokens that the state to begin with has; 0: there is none yet. */
  readonly earlier: number;
  /** Calls that must be among those at which it was killed. */
  readonly kinds: readonly string[];
  readonly atLeast: number;
}

/** A state with everything that a start may find: a snapshot, what was merged but not removed yet, and files that were not finished. */
async function earlierState(t: TestContext, tokens: number): Promise<string | undefined> {
  if (tokens === 0) return undefined;
  const folder = temporaryFolder(t);
  const merged = temporaryFolder(t);
  const learn = async (from: number, to: number): Promise<void> => {
    await using opened = await open(folder);
    for (let i = from; i < to; i++) {
      opened.journal.token(fingerprint(i), 0, LATER_S, 'broker', i + 1);
      opened.journal.rule(subjectRule(`s${i}`, i), 'operator', i + 1);
    }
    await opened.journal.durable();
    if (from > 0) await opened.journal.snapshot();
  };
  await learn(0, 3);
  cpSync(join(folder, 'segment-0000000001'), join(merged, 'segment-0000000001'));
  await learn(3, tokens);
  cpSync(merged, folder, { recursive: true });
  for (const name of ['segment.tmp', 'snapshot.tmp', 'committed.tmp'])
    writeFileSync(join(folder, name), 'half of a');
  return folder;
}

async function sweep(
  t: TestContext,
  { what, life, earlier, kinds, atLeast }: Sweep,
): Promise<void> {
  const template = await earlierState(t, earlier);
  const begin = (): string => {
    const folder = join(temporaryFolder(t), 'state');
    if (template !== undefined) cpSync(template, folder, { recursive: true });
    return folder;
  };

  const logFile = join(temporaryFolder(t), 'log');
  const whole = begin();
  const undisturbed = await live(whole, earlier, life, ['-o', logFile, ...pathWords(whole, what)]);
  assert.deepEqual([undisturbed.code, undisturbed.said.at(-1)], [0, 'closed']);
  await check(whole, earlier, undisturbed, 'undisturbed', true);
  const calls = callsIn(logFile);
  for (const kind of kinds)
    assert.ok(calls.has(kind), `${kind} is among ${[...calls.keys()].join()}`);

  const points = [...calls].flatMap(([call, count]) =>
    Array.from({ length: count }, (_, i) => ({ call, n: i + 1 })),
  );
  let killed = 0;
  const work = async (): Promise<void> => {
    for (let point = points.shift(); point !== undefined; point = points.shift()) {
      const { call, n } = point;
      const folder = begin();
      const inject = `inject=${call}:signal=SIGKILL:when=${n}`;
      const paths = pathWords(folder, what);
      const ended = await live(folder, earlier, life, ['-o', '/dev/null', ...paths, '-e', inject]);
      // A call may be made once less: nothing was injected then.
      if (ended.signal === 'SIGKILL') killed++;
      else assert.equal(ended.said.at(-1), 'closed', `${call} ${n}`);
      // A merge takes as long as the rest, and what it meets differs less from call to call.
      await check(
        folder,
        earlier,
        ended,
        `killed at ${call} ${n} having said ${ended.said.join()}`,
        n % 6 === 0,
      );
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  t.diagnostic(
    `killed at ${killed} calls: ${[...calls].map(([call, n]) => `${call} ${n}`).join(', ')}`,
  );
  assert.ok(killed >= atLeast, `killed at ${killed} calls, which is fewer than ${atLeast}`);
}

const WRITES = ['openat', 'pwrite64', 'fsync', 'fdatasync', 'rename', 'close'];

test('killed at any call of its first start, a journal has all that it acknowledged', async (t) => {
  await sweep(t, {
    what: 'files',
    life: 'short',
    earlier: 0,
    kinds: ['mkdir', ...WRITES],
    atLeast: 50,
  });
});

test('killed at any call of a life with snapshots, a journal has all that it acknowledged', async (t) => {
  await sweep(t, {
    what: 'files',
    life: 'long',
    earlier: 6,
    kinds: ['unlink', ...WRITES],
    atLeast: 80,
  });
});

test('killed at any call for its lock, a journal leaves none behind', async (t) => {
  await sweep(t, {
    what: 'lock',
    life: 'short',
    earlier: 0,
    kinds: ['openat', 'fcntl'],
    atLeast: 15,
  });
});

test('whatever sync is left out, the order of the others shows it', async (t) => {
  const left = [...UNSYNCED];
  const work = async (): Promise<void> => {
    for (let bug = left.shift(); bug !== undefined; bug = left.shift()) {
      const { violations } = await tracedLife(temporaryFolder(t), [bug.replacement]);
      assert.notDeepEqual(violations, [], bug.name);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
});

test('files are synced before they get their names, names before anything is removed, batches before they count', async (t) => {
  const folder = join(temporaryFolder(t), 'state');
  cpSync((await earlierState(t, 6)) ?? '', folder, { recursive: true });
  const logFile = join(temporaryFolder(t), 'log');
  const words = ['-y', '-o', logFile, ...pathWords(folder, 'files')];
  assert.equal((await live(folder, 6, 'long', words)).said.at(-1), 'closed');

  const { violations, calls } = syncOrder(readFileSync(logFile, 'utf8'), folder);
  assert.deepEqual(violations, []);
  for (const call of ['pwrite64', 'fsync', 'fdatasync', 'rename', 'unlink'])
    assert.ok((calls.get(call) ?? 0) > 1, `${call} was seen`);
});
