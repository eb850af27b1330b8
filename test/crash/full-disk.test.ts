/** A full disk and a read-only one: small file systems of the test's own, which only root may mount. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { OperatorError } from '../../src/errors.ts';
import { JournalTrouble } from '../../src/revocation/journal/group-commit.ts';
import { fingerprintText } from '../../src/revocation/journal/record.ts';
import { fingerprint, LATER_S, open, subjectRule } from '../revocation/journal/stage.ts';
import {
  fillUp,
  hasOwnMounts,
  mount,
  mountSmallDisk,
  testWithOwnMounts,
} from '../support/small-disk.ts';
import { until } from '../support/until.ts';

/** A small file system that is gone with the test. */
function smallDisk(t: TestContext): string {
  const disk = mountSmallDisk();
  t.after(() => disk.unmount());
  return disk.folder;
}

if (!hasOwnMounts) testWithOwnMounts('a disk that is full or read-only', import.meta.url, 120_000);
else {
  test('with the disk full nothing is acknowledged, all is found, and it goes on when there is room', async (t) => {
    const disk = smallDisk(t);
    const folder = join(disk, 'state');
    const filler = join(disk, 'filler');
    let told = 0;
    {
      await using opened = await open(folder, { onChange: () => told++ });
      const { journal } = opened;
      journal.token(fingerprint(1), 0, LATER_S, 'broker', 1);
      await journal.durable();
      fillUp(filler);
      for (let i = 0; i < 1000; i++) journal.token(fingerprint(10 + i), 0, LATER_S, 'broker', 2);
      await assert.rejects(journal.durable(), JournalTrouble);
      assert.match(journal.trouble ?? '', /ENOSPC/);
      assert.equal(journal.healthy, false);
      assert.equal(told, 1);
      assert.equal((await journal.find(fingerprint(10), 0))?.source, 'broker');
      assert.equal((await journal.find(fingerprint(1), 0))?.source, 'broker');
      await assert.rejects(journal.saveKeySet('https://issuer.example', '{}', 1), /ENOSPC/);
      assert.equal(journal.incomplete, false, 'all of it fits in memory');

      rmSync(filler);
      await until(() => journal.healthy, 'the journal recovers');
      assert.equal(told, 2);
      await journal.durable();
    }
    await using again = await open(folder);
    assert.deepEqual(again.restored.damage, []);
    assert.equal(again.memory.tokens.size, 1001);
  });

  test('what memory does not hold either is written again from the list', async (t) => {
    const disk = smallDisk(t);
    const folder = join(disk, 'state');
    const filler = join(disk, 'filler');
    const rule = subjectRule('alice', 5);
    const list: Uint32Array[] = [];
    {
      await using opened = await open(folder, {
        bufferBytes: 2_097_152,
        everything: function* () {
          for (const fingerprints of list)
            yield { kind: 'token', fingerprints, at: 0, endSeconds: LATER_S } as const;
        },
      });
      const { journal } = opened;
      const learn = (number: number): void => {
        list.push(fingerprint(number));
        journal.token(fingerprint(number), 0, LATER_S, 'broker', 1);
      };
      learn(0);
      journal.knownAsOf(1000);
      await journal.durable();
      fillUp(filler);
      for (let i = 1; i < 150_000; i++) learn(i);
      journal.rule(rule, 'broker', 1);
      journal.knownAsOf(999_000);
      await assert.rejects(journal.durable(), JournalTrouble);
      assert.equal(journal.incomplete, true);
      assert.ok(journal.stats().pendingBytes <= 2_097_152);

      rmSync(filler);
      await until(() => journal.healthy, 'the journal recovers', 60_000);
      assert.equal(journal.incomplete, false);
      await journal.durable();
    }
    await using again = await open(folder);
    assert.deepEqual(again.restored.damage, []);
    assert.equal(again.memory.tokens.size, 150_000);
    for (const fingerprints of list)
      assert.ok(again.memory.tokens.has(fingerprintText(fingerprints, 0)));
    assert.deepEqual([...again.memory.rules.values()], [rule], 'a rule had room');
    assert.equal(again.restored.knownAsOfWallMs, 999_000, 'claimed only once it was true');
  });

  test('killed while the disk is full: it claims nothing that was learnt only in memory', async (t) => {
    const disk = smallDisk(t);
    const folder = join(disk, 'state');
    const opened = await open(folder);
    opened.journal.token(fingerprint(1), 0, LATER_S, 'broker', 1);
    opened.journal.knownAsOf(1000);
    await opened.journal.durable();
    fillUp(join(disk, 'filler'));
    for (let i = 2; i < 2000; i++) opened.journal.token(fingerprint(i), 0, LATER_S, 'broker', 1);
    opened.journal.knownAsOf(2000);
    await assert.rejects(opened.journal.durable(), JournalTrouble);
    await opened.journal.close();
    assert.ok(
      opened.lines.some((line) => line.includes('not all that was learnt could be written')),
    );

    // Also on a disk that is still full a start reads what there is.
    await using again = await open(folder);
    assert.equal(again.restored.knownAsOfWallMs, 1000);
    assert.equal(again.memory.tokens.size, 1);
    for (let i = 2; i < 2000; i++) again.journal.token(fingerprint(i), 0, LATER_S, 'broker', 1);
    await assert.rejects(again.journal.durable(), /ENOSPC/);
  });

  test('a start on a disk that is read-only is refused', async (t) => {
    const disk = smallDisk(t);
    const folder = join(disk, 'state');
    {
      await using opened = await open(folder);
      opened.journal.token(fingerprint(1), 0, LATER_S, 'broker', 1);
      await opened.journal.durable();
    }
    mount('-o', 'remount,ro', disk);
    await assert.rejects(
      open(folder),
      (error) => error instanceof OperatorError && error.code === 'ERR_STATE_FOLDER',
    );
    mount('-o', 'remount,rw', disk);
    await using again = await open(folder);
    assert.equal(again.memory.tokens.size, 1);
  });
}
