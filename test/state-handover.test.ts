import assert from 'node:assert/strict';
import { lstatSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { allowHandover, requestHandover } from '../src/state-handover.ts';
import { recordedLog } from './support/recorded-log.ts';

function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-handover-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A gateway that has the folder, looking only when the test says so. */
function holder(t: TestContext, folder: string, close = () => Promise.resolve()) {
  t.mock.timers.enable({ apis: ['setInterval'] });
  let closed = 0;
  const log = recordedLog();
  const journal = { close: () => (closed++, close()) };
  const stop = allowHandover(folder, journal, log);
  t.after(stop);
  return { log, look: () => t.mock.timers.tick(250), closed: () => closed };
}

test('the state folder is left once to who asks for it, and a request from before counts for nobody', (t) => {
  const folder = temporaryFolder(t);
  requestHandover(folder);
  const { look, closed } = holder(t, folder);
  look();
  assert.equal(closed(), 0, 'it was asked for before this gateway had it');
  requestHandover(folder);
  look();
  look();
  assert.equal(closed(), 1);
});

test('what cannot be looked at is no request, and ends nothing', (t) => {
  const folder = temporaryFolder(t);
  const { look, closed } = holder(t, folder);
  symlinkSync('takeover', join(folder, 'takeover')); // ELOOP: an error that is not "no such file"
  look();
  assert.equal(closed(), 0);
});

test('a journal that cannot be closed is said', async (t) => {
  const folder = temporaryFolder(t);
  const { look, log } = holder(t, folder, () => Promise.reject(new Error('EIO')));
  requestHandover(folder);
  look();
  await new Promise(setImmediate);
  assert.ok(log.lines.some((line) => line.includes('ERROR') && line.includes('EIO')));
});

test('a request is not written through a planted link', (t) => {
  const folder = temporaryFolder(t);
  const victim = join(folder, 'victim');
  writeFileSync(victim, 'mine');
  symlinkSync(victim, join(folder, 'takeover'));
  requestHandover(folder);
  assert.equal(readFileSync(victim, 'utf8'), 'mine');
  assert.ok(lstatSync(join(folder, 'takeover')).isSymbolicLink());
});
