import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { JournalTrouble } from '../../../src/revocation/journal/group-commit.ts';
import {
  type Journal,
  openJournal,
  type RestoreResult,
} from '../../../src/revocation/journal/journal.ts';
import { JournalLeft } from '../../../src/revocation/journal/journal-files.ts';
import { fingerprintText, type Known } from '../../../src/revocation/journal/record.ts';
import { nameOfRule } from '../../../src/revocation/rule.ts';
import { recordedLog } from '../../support/recorded-log.ts';
import { until } from '../../support/until.ts';
import { fingerprint, LATER_S, open, subjectRule, temporaryFolder } from './stage.ts';

function learn(journal: Journal, from: number, to: number): void {
  for (let i = from; i < to; i++) journal.token(fingerprint(i), 0, LATER_S, 'broker', 1);
}

/** Flips a bit of the newest segment, within what was acknowledged. */
function damageNewestSegment(folder: string): void {
  const [newest = ''] = readdirSync(folder)
    .filter((name) => name.startsWith('segment-'))
    .sort()
    .reverse();
  const bytes = readFileSync(join(folder, newest));
  bytes[bytes.length - 100] = (bytes[bytes.length - 100] ?? 0) ^ 1;
  writeFileSync(join(folder, newest), bytes);
}

/** What a list would say that holds the tokens of these numbers. */
function list(held: readonly [from: number, to: number][]): () => Iterable<Known> {
  return function* () {
    for (const [from, to] of held)
      for (let i = from; i < to; i++)
        yield { kind: 'token', fingerprints: fingerprint(i), at: 0, endSeconds: LATER_S };
  };
}

test('while another gateway has the folder nothing is written and nobody acknowledged; afterwards both have written', async (t) => {
  const folder = temporaryFolder(t);
  let told = 0;
  {
    await using first = await open(folder, { everything: () => [], onChange: () => told++ });
    const { journal } = first;
    learn(journal, 0, 100);
    await journal.saveGaps(new Map([['topic', 5]]));
    journal.rule(subjectRule('kim', 1_000), 'operator', 1, 'me', 'left');
    await journal.lend();
    assert.equal(told, 1);
    assert.match(journal.trouble ?? '', /left to another gateway/);
    assert.equal(journal.incomplete, true);

    await using second = await open(folder);
    assert.equal(second.memory.tokens.size, 100, 'what was learnt before is on the disk');
    assert.equal(await journal.takeBack(), false);
    learn(journal, 100, 200);
    await assert.rejects(journal.durable(), JournalTrouble);
    await assert.rejects(journal.saveGaps(new Map([['topic', 7]])), JournalTrouble);
    await assert.rejects(journal.saveKeySet('https://i', '{"keys":[]}', 1), JournalTrouble);
    learn(second.journal, 200, 300);
    second.journal.rule(subjectRule('lee', 2_000), 'operator', 2, 'they', 'gone');
    await second.journal.durable();
    await second.journal.snapshot();
    await second.journal.saveGaps(new Map([['theirs', 9]]));
    await second.journal.close();

    assert.equal(await journal.takeBack(), true);
    assert.equal(first.memory.tokens.size, 200, 'this one knows what that one has written');
    assert.ok(first.memory.rules.has(nameOfRule(subjectRule('lee', 2_000))));
    await until(() => journal.healthy, 'all of it is written');
    learn(journal, 300, 400);
    await journal.durable();
    assert.deepEqual(await journal.loadGaps(), new Map([['topic', 7]]));
    const kept = await journal.find(fingerprint(150), 0);
    assert.deepEqual([kept?.source, kept?.learntAtMs], ['broker', 1]);
    const { rules } = await journal.rules();
    assert.deepEqual(new Set(rules.map(({ by }) => by)), new Set(['me', 'they']));
    await assert.rejects(open(folder), /another gateway is using this state folder/);
  }
  await using third = await open(folder);
  assert.equal(third.restored.whole, true);
  assert.equal(third.memory.tokens.size, 400);
});

test('what finds no room in memory meanwhile, and what became of the files, is made good from the list', async (t) => {
  const folder = temporaryFolder(t);
  {
    await using first = await open(folder, {
      bufferBytes: 2_097_152,
      everything: list([[0, 200_000]]),
    });
    const { journal } = first;
    learn(journal, 0, 10);
    await journal.lend();
    learn(journal, 10, 200_000);
    assert.ok(journal.stats().pendingBytes < 2_097_152);
    {
      await using second = await open(folder);
      await second.journal.durable();
    }
    for (const name of ['committed', 'segment-0000000001'])
      writeFileSync(join(folder, name), 'damaged');
    assert.equal(await journal.takeBack(), true);
    await until(() => journal.healthy && !journal.incomplete, 'the journal is whole', 30_000);
    assert.ok(first.lines.some((line) => line.includes('segment-0000000001')));
    journal.knownAsOf(1_234);
  }
  await using third = await open(folder);
  assert.deepEqual([third.restored.whole, third.memory.tokens.size], [true, 200_000]);
  assert.equal(third.restored.knownAsOfWallMs, 1_234);
});

test('an older copy that was put there meanwhile gets all that the list holds', async (t) => {
  const [folder, copy] = [temporaryFolder(t), temporaryFolder(t)];
  {
    await using first = await open(folder, { everything: list([[0, 200]]) });
    learn(first.journal, 0, 100);
    await first.journal.lend();
    cpSync(folder, copy, { recursive: true });
    assert.equal(await first.journal.takeBack(), true);
    learn(first.journal, 100, 200);
    await first.journal.lend();
    for (const name of readdirSync(folder))
      if (/^(segment|committed|snapshot)/.test(name)) rmSync(join(folder, name));
    cpSync(copy, folder, { recursive: true });
    assert.equal(await first.journal.takeBack(), true);
    await until(() => first.journal.healthy, 'all of it is written');
  }
  await using second = await open(folder);
  assert.deepEqual([second.restored.whole, second.memory.tokens.size], [true, 200]);
});

test('no moment is claimed for which the files lack something', async (t) => {
  const folder = temporaryFolder(t);
  {
    await using first = await open(folder, { everything: list([[0, 10]]) });
    first.journal.knownAsOf(1_000);
    await first.journal.durable();
    await first.journal.lend();
    learn(first.journal, 0, 10);
    first.journal.knownAsOf(2_000);
  }
  await using second = await open(folder);
  assert.deepEqual([second.restored.knownAsOfWallMs, second.memory.tokens.size], [1_000, 0]);
});

test('a folder with another secret by now is left alone', async (t) => {
  const folder = temporaryFolder(t);
  await using first = await open(folder, { everything: () => [] });
  learn(first.journal, 0, 10);
  await first.journal.lend();
  rmSync(folder, { recursive: true });
  {
    await using second = await open(folder);
    learn(second.journal, 10, 20);
    await second.journal.durable();
  }
  const secret = readFileSync(join(folder, 'secret'));
  await assert.rejects(first.journal.takeBack(), /replaced by one with another secret/);
  assert.match(first.journal.trouble ?? '', /left to another gateway/);
  assert.deepEqual(readFileSync(join(folder, 'secret')), secret);
  await using third = await open(folder);
  assert.ok(third.memory.tokens.has(fingerprintText(fingerprint(12), 0)));
  assert.equal(third.memory.tokens.size, 10);
});

test('a folder that is to be repaired is left to the other gateway at once and for good', async (t) => {
  const folder = temporaryFolder(t);
  {
    await using before = await open(folder);
    learn(before.journal, 0, 100);
    await before.journal.durable();
  }
  damageNewestSegment(folder);
  // No snapshot can be made: what is tried every second begins with the next segment.
  const obstacle = join(folder, 'snapshot.tmp');
  mkdirSync(obstacle);
  await using first = await open(folder, { everything: list([[0, 10]]) });
  const { journal, lines } = first;
  const tries = (): number =>
    lines.filter((line) => line.includes('could not be made whole')).length;
  await until(() => tries() === 1, 'it was tried');
  // Something to write before the folder is let go of: whatever is written has the repair go on.
  learn(journal, 500, 510);
  await journal.lend();
  assert.equal(tries(), 1, 'letting go of it begins nothing');
  const left = readdirSync(folder).sort();
  await using second = await open(folder);
  learn(second.journal, 600, 610);
  await second.journal.durable();
  const theirs = readdirSync(folder).filter((name) => !left.includes(name));
  assert.ok(theirs.length > 0 && theirs.every((name) => name.startsWith('segment-')));
  await assert.rejects(journal.snapshot(), /closed/);

  rmSync(obstacle, { recursive: true });
  await second.journal.close();
  assert.equal(await journal.takeBack(), true);
  await until(() => journal.healthy && !journal.incomplete, 'it goes on with the repair', 20_000);
  await journal.close();
  await using third = await open(folder);
  assert.equal(third.restored.whole, true);
  assert.ok(third.memory.tokens.has(fingerprintText(fingerprint(605), 0)));
});

test('what is being written again is given up when the folder is lent once more', async (t) => {
  const folder = temporaryFolder(t);
  let begun = 0;
  await using first = await open(folder, {
    *everything(): Generator<Known> {
      begun++;
      yield* list([[0, 200_000]])();
    },
  });
  const { journal } = first;
  learn(journal, 0, 10);
  await journal.lend();
  assert.equal(await journal.takeBack(), true);
  await until(() => begun === 1, 'it is begun');
  learn(journal, 10, 20);
  await journal.lend();
  assert.equal(begun, 1, 'and not anew by what is written before the folder is let go of');
  await using second = await open(folder);
  assert.ok(second.memory.tokens.has(fingerprintText(fingerprint(15), 0)));
});

test('nobody reads the journal while another gateway writes it', async (t) => {
  const folder = temporaryFolder(t);
  await using first = await open(folder, { everything: () => [] });
  const { journal } = first;
  learn(journal, 0, 10);
  await journal.lend();
  {
    await using second = await open(folder);
    await second.journal.snapshot();
    for (const read of [
      () => journal.find(fingerprint(5), 0),
      () => journal.rules(),
      () => journal.list(),
    ])
      await assert.rejects(read(), JournalLeft);
  }
  assert.equal(await journal.takeBack(), true);
  assert.equal((await journal.find(fingerprint(5), 0))?.source, 'broker');
});

test('damage that is found when the folder is taken back is told, and no moment from before is claimed', async (t) => {
  const folder = temporaryFolder(t);
  const found: RestoreResult[] = [];
  const journal = await openJournal({ folder, log: recordedLog(), everything: list([[0, 100]]) });
  t.after(() => journal.close());
  const target = { token() {}, rule() {}, lift() {}, forgottenUntil() {} };
  await journal.restore(target, (result) => {
    found.push(result);
    assert.equal(journal.healthy, false, 'before anything is acknowledged again');
  });
  learn(journal, 0, 100);
  await journal.lend();
  {
    await using second = await open(folder);
    learn(second.journal, 100, 200);
    await second.journal.durable();
  }
  journal.knownAsOf(2_000);
  damageNewestSegment(folder);
  assert.equal(await journal.takeBack(), true);
  assert.deepEqual(
    found.map(({ whole }) => whole),
    [false],
  );
  await until(() => journal.healthy && !journal.incomplete, 'what there is is saved');
  await journal.lend();
  {
    await using second = await open(folder);
    assert.deepEqual(
      [second.restored.whole, second.restored.knownAsOfWallMs],
      [true, undefined],
      'what the other one had acknowledged is in no file',
    );
  }
  assert.equal(await journal.takeBack(), true);
  assert.equal(found.at(-1)?.whole, true);
});
