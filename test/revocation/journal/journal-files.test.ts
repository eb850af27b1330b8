import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../../src/revocation/clock.ts';
import { JournalFiles } from '../../../src/revocation/journal/journal-files.ts';
import type { JournalTarget } from '../../../src/revocation/journal/journal.ts';
import { Frame } from '../../../src/revocation/journal/record-codec.ts';
import { StateFolder } from '../../../src/revocation/journal/state-folder.ts';
import { recordedLog } from '../../support/recorded-log.ts';
import { fingerprint, LATER_S, open, temporaryFolder } from './stage.ts';

/** A folder whose snapshot holds so many tokens. */
async function folderWith(t: TestContext, tokens: number): Promise<string> {
  const folder = temporaryFolder(t);
  await using opened = await open(folder);
  for (let i = 0; i < tokens; i++) opened.journal.token(fingerprint(i), 0, LATER_S, 'store', 1);
  await opened.journal.snapshot();
  return folder;
}

test('after a start the snapshot is as large as its file', async (t) => {
  const folder = await folderWith(t, 10_000);
  const bytes = statSync(join(folder, 'snapshot')).size;
  await using opened = await open(folder);
  assert.deepEqual(opened.journal.stats().snapshot, { tokens: 10_000, bytes });
});

test('and as large as the other gateway has left it, after the folder was taken back', async (t) => {
  const folder = await folderWith(t, 10);
  await using first = await open(folder, { everything: () => [] });
  await first.journal.lend();
  {
    await using second = await open(folder);
    for (let i = 0; i < 10_000; i++) second.journal.token(fingerprint(i), 0, LATER_S, 'broker', 1);
    await second.journal.snapshot();
  }
  assert.equal(await first.journal.takeBack(), true);
  const bytes = statSync(join(folder, 'snapshot')).size;
  assert.deepEqual(first.journal.stats().snapshot, { tokens: 10_000, bytes });
});

test('a large snapshot is not written anew, after a start either, before a quarter of it was learnt', async (t) => {
  const path = await folderWith(t, 20_000);
  const quarter = statSync(join(path, 'snapshot')).size / 4;
  const folder = await StateFolder.open(path, 0, recordedLog());
  const options = { folder: path, log: recordedLog(), segmentBytes: 8192, snapshotBytes: 16_384 };
  const files = new JournalFiles(options, folder, systemClock);
  t.after(() => files.end());
  const target: JournalTarget = { token() {}, rule() {}, lift() {}, forgottenUntil() {} };
  await files.begin(target);
  const learnt = (): number => files.parts.reduce((sum, { bytes }) => sum + bytes, 0);
  for (let n = 0; files.compaction?.due === false; n++) {
    const frame = new Frame();
    for (let i = 0; i < 500; i++) frame.token(fingerprint(n * 500 + i), 0, LATER_S, 'broker', 1);
    await files.commit([frame], () => undefined);
  }
  assert.ok(learnt() >= quarter, `${learnt()} bytes, ${quarter} are a quarter`);
  assert.ok(learnt() < 2 * quarter, 'and then it is');
});
