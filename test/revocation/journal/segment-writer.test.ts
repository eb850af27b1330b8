import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { CommitMark } from '../../../src/revocation/journal/commit-mark.ts';
import { Compaction } from '../../../src/revocation/journal/compaction.ts';
import { Frame } from '../../../src/revocation/journal/record-codec.ts';
import { SegmentWriter } from '../../../src/revocation/journal/segment-writer.ts';
import { StateFolder } from '../../../src/revocation/journal/state-folder.ts';
import { Turns } from '../../../src/revocation/journal/turns.ts';
import { recordedLog } from '../../support/recorded-log.ts';
import { fingerprint, LATER_S, temporaryFolder } from './stage.ts';

/** The writing end of a new folder, with one segment begun. */
async function writing(t: TestContext) {
  const path = temporaryFolder(t);
  const folder = await StateFolder.open(path, 0, recordedLog());
  t.after(() => folder.close());
  const mark = new CommitMark(folder);
  t.after(() => mark.close());
  const writer = new SegmentWriter(folder, mark, 1_000_000, [], { number: 0, bytes: 0 });
  const frame = new Frame();
  frame.token(fingerprint(1), 0, LATER_S, 'broker', 1);
  await writer.commit([frame]);
  const segments = (): string[] => readdirSync(path).filter((name) => name.startsWith('segment-'));
  return { folder, writer, frame, segments };
}

test('a writer that was closed writes nothing and begins no segment', async (t) => {
  const { writer, frame, segments } = await writing(t);
  await writer.close();
  await assert.rejects(writer.commit([frame]), /let go of/);
  await assert.rejects(writer.rotate(), /let go of/);
  assert.deepEqual(segments(), ['segment-0000000001']);
});

test('a compaction that was closed begins no segment for a merge that is asked for afterwards', async (t) => {
  const { folder, writer, segments } = await writing(t);
  const compaction = new Compaction({
    folder,
    writer,
    readers: new Turns(),
    log: recordedLog(),
    snapshotBytes: 0,
    goneBeforeSeconds: () => 0,
  });
  assert.equal(compaction.due, true);
  await compaction.close();
  assert.equal(compaction.due, false);
  await assert.rejects(compaction.run(), { name: 'AbortError' });
  await assert.rejects(compaction.salvage(), { name: 'AbortError' });
  assert.deepEqual(segments(), ['segment-0000000001']);
  await writer.close();
});
