import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { JournalTrouble } from '../../../src/revocation/journal/group-commit.ts';
import { until } from '../../support/until.ts';
import { fingerprint, LATER_S, open, temporaryFolder } from './stage.ts';

/** A folder by the name of the file that is made first: it cannot be written then. */
function inTheWay(folder: string, file: string): { remove(): void } {
  const path = join(folder, `${file}.tmp`);
  mkdirSync(path);
  return { remove: () => rmdirSync(path) };
}

test('gaps that cannot be written are written later, and until then no moment is claimed', async (t) => {
  const [folder, copy] = [temporaryFolder(t), temporaryFolder(t)];
  const gaps = new Map([['topic', 5]]);
  {
    await using opened = await open(folder);
    const { journal, lines } = opened;
    const obstacle = inTheWay(folder, 'gaps');
    await assert.rejects(journal.saveGaps(gaps), /EISDIR/);
    assert.equal(journal.incomplete, true);
    journal.knownAsOf(1_000);
    journal.token(fingerprint(1), 0, LATER_S, 'broker', 1);
    await journal.durable();
    assert.equal(journal.healthy, true, 'what is learnt gets to the disk');
    await until(() => lines.some((line) => /^WARN .* gaps .*EISDIR/.test(line)), 'it is said');
    // Killed here: nobody may take the folder for one that knows of every gap.
    cpSync(folder, copy, { recursive: true });
    obstacle.remove();
    await until(() => !journal.incomplete, 'they are written, though nothing else is learnt');
    assert.deepEqual(await journal.loadGaps(), gaps);
    journal.knownAsOf(3_000);
  }
  {
    await using killed = await open(copy);
    assert.deepEqual([killed.restored.whole, killed.restored.knownAsOfWallMs], [true, undefined]);
  }
  await using again = await open(folder);
  assert.equal(again.restored.knownAsOfWallMs, 3_000);
  assert.deepEqual(await again.journal.loadGaps(), gaps);
});

test('gaps are written with the next commit, or at the latest at the end', async (t) => {
  const folder = temporaryFolder(t);
  const [first, second] = [new Map([['topic', 5]]), new Map([['topic', 6]])];
  {
    await using opened = await open(folder);
    const { journal } = opened;
    const obstacle = inTheWay(folder, 'gaps');
    await assert.rejects(journal.saveGaps(first), /EISDIR/);
    obstacle.remove();
    journal.token(fingerprint(1), 0, LATER_S, 'broker', 1);
    await journal.durable();
    await until(() => !journal.incomplete, 'the commit brings them along');
    assert.deepEqual(await journal.loadGaps(), first);
    const another = inTheWay(folder, 'gaps');
    await assert.rejects(journal.saveGaps(second), /EISDIR/);
    another.remove();
    journal.knownAsOf(1_000);
  }
  await using again = await open(folder);
  assert.deepEqual(await again.journal.loadGaps(), second);
  assert.equal(again.restored.knownAsOfWallMs, 1_000);
});

test('gaps and key sets of the time in which another gateway had the folder are written when it is taken back', async (t) => {
  const folder = temporaryFolder(t);
  const gaps = new Map([['topic', 7]]);
  await using first = await open(folder, { everything: () => [] });
  const { journal } = first;
  await journal.saveKeySet('https://ours', 'old', 1);
  await journal.lend();
  await assert.rejects(journal.saveGaps(gaps), JournalTrouble);
  await assert.rejects(journal.saveKeySet('https://ours', 'new', 2), JournalTrouble);
  await assert.rejects(journal.saveKeySet('https://theirs', 'older', 3), JournalTrouble);
  {
    await using second = await open(folder);
    await second.journal.saveGaps(new Map([['theirs', 9]]));
    await second.journal.saveKeySet('https://theirs', 'newer', 4);
  }
  assert.equal(await journal.takeBack(), true);
  assert.deepEqual(await journal.loadGaps(), gaps);
  const kept = (await journal.loadKeySets()).map(({ issuer, jwks }) => [issuer, jwks]);
  assert.deepEqual(
    new Map(kept as [string, string][]),
    new Map([
      ['https://ours', 'new'],
      ['https://theirs', 'newer'],
    ]),
  );
});

test('a key set that is too large is refused, and not tried again', async (t) => {
  await using opened = await open(temporaryFolder(t));
  const large = 'x'.repeat(1_100_000);
  await assert.rejects(opened.journal.saveKeySet('https://i', large, 1), RangeError);
  await opened.journal.saveKeySet('https://i', 'small', 2);
  assert.deepEqual(
    (await opened.journal.loadKeySets()).map(({ jwks }) => jwks),
    ['small'],
  );
});

test('gaps with a flipped bit anywhere, or of another gateway, are none that are known, and that is said', async (t) => {
  const folder = temporaryFolder(t);
  await using opened = await open(folder);
  const { journal, lines } = opened;
  const path = join(folder, 'gaps');
  await journal.saveGaps(new Map([['topic', 1_795_436_311_712]]));
  const written = readFileSync(path);
  for (let bit = 0; bit < 8 * written.length; bit++) {
    const bytes = Buffer.from(written);
    bytes.writeUInt8(bytes.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
    writeFileSync(path, bytes);
    assert.equal(await journal.loadGaps(), undefined, `bit ${bit}`);
  }
  assert.ok(lines.some((line) => /^WARN .*gaps: is damaged or of another gateway/.test(line)));
  writeFileSync(path, written);
  assert.notEqual(await journal.loadGaps(), undefined);
  const another = temporaryFolder(t);
  await using other = await open(another);
  await other.journal.saveGaps(new Map([['topic', 1]]));
  cpSync(join(another, 'gaps'), path);
  assert.equal(await journal.loadGaps(), undefined);
});
