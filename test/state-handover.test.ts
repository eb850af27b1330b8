import assert from 'node:assert/strict';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { allowHandover, requestHandover } from '../src/state-handover.ts';
import { recordedLog } from './support/recorded-log.ts';
import { until } from './support/until.ts';

function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-handover-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

interface Holding {
  readonly lend?: () => Promise<void>;
  readonly takeBack?: () => Promise<boolean>;
}

/** A gateway that has the folder, looking only when the test says so. */
function holder(t: TestContext, folder: string, holding: Holding = {}) {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const calls: string[] = [];
  const log = recordedLog();
  const stop = allowHandover(
    folder,
    {
      lend: () => (calls.push('lend'), holding.lend?.() ?? Promise.resolve()),
      takeBack: () => (calls.push('take back'), holding.takeBack?.() ?? Promise.resolve(true)),
    },
    log,
  );
  t.after(stop);
  /** So many looks, each to its end. Whoever asks asks again meanwhile. */
  const look = async (times = 1): Promise<void> => {
    for (let i = 0; i < times; i++) {
      const now = Date.now();
      await until(() => Date.now() > now, 'the time of a file shows that it was touched');
      t.mock.timers.tick(250);
      await new Promise(setImmediate);
    }
  };
  return { log, look, calls };
}

/** Somebody asks for the folder until it is left to them, and is killed then, which leaves the request behind. */
async function askedFor(folder: string, look: (times?: number) => Promise<void>): Promise<void> {
  const stopAsking = requestHandover(folder);
  await look(2);
  stopAsking();
}

test('the state folder is left once to who asks for it, and a request from before counts for nobody', async (t) => {
  const folder = temporaryFolder(t);
  requestHandover(folder)();
  const { look, calls } = holder(t, folder);
  await look();
  assert.deepEqual(calls, [], 'it was asked for before this gateway had it');
  const stopAsking = requestHandover(folder);
  await look(40);
  assert.deepEqual(calls, ['lend'], 'as long as somebody waits for it, it is left alone');
  stopAsking();
});

test('when nobody asks any more, it is taken back as soon as it can be had, and left to the next', async (t) => {
  const folder = temporaryFolder(t);
  let free = false;
  const { look, calls, log } = holder(t, folder, { takeBack: () => Promise.resolve(free) });
  await askedFor(folder, look);
  assert.deepEqual(calls, ['lend']);
  await look(40);
  assert.ok(calls.length > 5 && calls.slice(1).every((call) => call === 'take back'));
  assert.doesNotMatch(log.lines.join('\n'), /taken back/);
  free = true;
  await look(4);
  const { length } = calls;
  assert.match(log.lines.at(-1) ?? '', /^WARN .*the state folder is taken back$/);
  await look(20);
  assert.equal(calls.length, length);
  assert.ok(!existsSync(join(folder, 'takeover')));
  const stopAsking = requestHandover(folder);
  await look(2);
  assert.deepEqual(calls.slice(length), ['lend']);
  stopAsking();
});

test('a request that was left while another gateway has the folder keeps nobody from taking it back', async (t) => {
  const folder = temporaryFolder(t);
  const { look, calls } = holder(t, folder);
  await askedFor(folder, look);
  writeFileSync(join(folder, 'takeover'), '');
  await look(6);
  assert.deepEqual(calls, ['lend', 'take back']);
  assert.ok(!existsSync(join(folder, 'takeover')));
});

test('what only stands there is no request, also where it cannot be removed', async (t) => {
  const folder = temporaryFolder(t);
  const { look, calls } = holder(t, folder);
  const takeover = join(folder, 'takeover');
  writeFileSync(takeover, '');
  await look(40);
  assert.deepEqual(calls, [], 'a file that nobody touches');
  rmSync(takeover);
  await look();
  mkdirSync(takeover);
  await look(40);
  assert.deepEqual(calls, [], 'a folder');

  const stopAsking = requestHandover(folder);
  await look(2);
  assert.deepEqual(calls, ['lend'], 'somebody asks all the same');
  stopAsking();
  await look(40);
  assert.deepEqual(calls, ['lend', 'take back']);
});

test('what cannot be looked at is no request, and ends nothing', async (t) => {
  const folder = temporaryFolder(t);
  const { look, calls } = holder(t, folder);
  symlinkSync('takeover', join(folder, 'takeover')); // ELOOP: an error that is not "no such file"
  await look();
  assert.deepEqual(calls, []);
});

test('a journal that cannot be closed, or not be taken back, is said once', async (t) => {
  const folder = temporaryFolder(t);
  const { look, log } = holder(t, folder, {
    lend: () => Promise.reject(new Error('EIO')),
    takeBack: () => Promise.reject(new Error('another secret')),
  });
  await askedFor(folder, look);
  await look(20);
  const errors = log.lines.filter((line) => line.startsWith('ERROR'));
  assert.equal(errors.length, 2);
  assert.match(errors[0] ?? '', /EIO$/);
  assert.match(errors[1] ?? '', /another secret$/);
});

test('a request is not written through a planted link', (t) => {
  const folder = temporaryFolder(t);
  const victim = join(folder, 'victim');
  writeFileSync(victim, 'mine');
  const { mtimeMs } = lstatSync(victim);
  symlinkSync(victim, join(folder, 'takeover'));
  requestHandover(folder)();
  assert.equal(readFileSync(victim, 'utf8'), 'mine');
  assert.equal(lstatSync(victim).mtimeMs, mtimeMs);
  assert.ok(lstatSync(join(folder, 'takeover')).isSymbolicLink());
});
