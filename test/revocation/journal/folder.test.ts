import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { OperatorError } from '../../../src/errors.ts';
import { JournalTrouble } from '../../../src/revocation/journal/group-commit.ts';
import type { Journal } from '../../../src/revocation/journal/journal.ts';
import { until } from '../../support/until.ts';
import { fingerprint, LATER_S, open, temporaryFolder } from './stage.ts';

function everything(count: number) {
  return () =>
    Array.from(
      { length: count },
      (_, i) =>
        ({ kind: 'token', fingerprints: fingerprint(i), at: 0, endSeconds: LATER_S }) as const,
    );
}

async function learn(journal: Journal, from: number, to: number): Promise<void> {
  for (let i = from; i < to; i++) journal.token(fingerprint(i), 0, LATER_S, 'broker', 1);
  await journal.durable();
}

function refusedFolder(error: unknown): boolean {
  return error instanceof OperatorError && error.code === 'ERR_STATE_FOLDER';
}

test('a second gateway on one folder is refused, and let in when the first ends', async (t) => {
  const folder = temporaryFolder(t);
  {
    await using first = await open(folder);
    await assert.rejects(open(folder), refusedFolder);
    await learn(first.journal, 0, 5);
  }
  await using second = await open(folder);
  assert.equal(second.memory.tokens.size, 5);
});

test('a takeover waits for the first to let go, and not for ever', async (t) => {
  const folder = temporaryFolder(t);
  const first = await open(folder);
  await assert.rejects(open(folder, { takeoverMs: 120 }), /did not let go of it within 120 ms/);
  const waiting = open(folder, { takeoverMs: 30_000 });
  await learn(first.journal, 0, 5);
  await first.journal.close();
  await using second = await waiting;
  assert.equal(second.memory.tokens.size, 5);
});

test('a folder that cannot be one is refused with its path', async (t) => {
  const file = join(temporaryFolder(t), 'file');
  writeFileSync(file, '');
  await assert.rejects(open(file), (error) => refusedFolder(error) && String(error).includes(file));
  await assert.rejects(open(join(file, 'below')), refusedFolder);
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'lock'), 'something else');
  await assert.rejects(open(folder), refusedFolder);
});

test('nothing is written through a link that somebody put there', async (t) => {
  const victim = join(temporaryFolder(t), 'victim');
  writeFileSync(victim, 'precious');
  for (const name of ['secret', 'installation']) {
    const folder = temporaryFolder(t);
    symlinkSync(victim, join(folder, `${name}.tmp`));
    await assert.rejects(open(folder), refusedFolder);
  }
  const folder = temporaryFolder(t);
  {
    await using first = await open(folder);
    await learn(first.journal, 0, 5);
  }
  const committed = join(folder, 'committed.tmp');
  symlinkSync(victim, committed);
  for (const name of ['segment', 'snapshot']) symlinkSync(victim, join(folder, `${name}.tmp`));
  {
    await using first = await open(folder);
    await assert.rejects(learn(first.journal, 5, 6), JournalTrouble);
  }
  rmSync(committed);
  {
    await using second = await open(folder);
    await learn(second.journal, 5, 10);
    await second.journal.snapshot();
  }
  assert.equal(readFileSync(victim, 'utf8'), 'precious');
  await using third = await open(folder);
  assert.equal(third.memory.tokens.size, 10);
});

test('files that were never finished are removed at the start', async (t) => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'segment.tmp'), 'x');
  writeFileSync(join(folder, 'snapshot.tmp'), 'x');
  await using opened = await open(folder);
  assert.equal(opened.restored.whole, true);
  assert.ok(!readdirSync(folder).some((name) => /^(segment|snapshot)\.tmp$/.test(name)));
});

test('a folder removed under way is said, made again with the same secret, and filled from the list', async (t) => {
  const folder = temporaryFolder(t);
  let secret: Uint8Array;
  {
    await using opened = await open(folder, { everything: everything(3000) });
    const { journal } = opened;
    ({ secret } = journal);
    await learn(journal, 0, 1000);
    await journal.snapshot();
    await learn(journal, 1000, 2000);
    rmSync(folder, { recursive: true });
    await assert.rejects(learn(journal, 2000, 3000), JournalTrouble);
    assert.equal(journal.healthy, false);
    await until(() => journal.healthy && !journal.incomplete, 'the journal recovers');
    await journal.durable();
    journal.knownAsOf(5000);
    assert.equal((await journal.find(fingerprint(5), 0))?.endSeconds, LATER_S);
    await assert.rejects(open(folder), refusedFolder, 'it is held again');
  }
  await using again = await open(folder);
  assert.deepEqual(again.restored.damage, []);
  assert.deepEqual(again.journal.secret, secret);
  assert.equal(again.memory.tokens.size, 3000);
  assert.equal(again.restored.knownAsOfWallMs, 5000);
});

test('without a way to ask the list, a journal whose folder was removed stays in trouble', async (t) => {
  const folder = temporaryFolder(t);
  {
    await using opened = await open(folder);
    await learn(opened.journal, 0, 10);
    rmSync(folder, { recursive: true });
    await assert.rejects(learn(opened.journal, 10, 20), JournalTrouble);
    await until(() => existsSync(join(folder, 'snapshot')), 'the folder is made again');
    await assert.rejects(opened.journal.durable(), JournalTrouble);
    opened.journal.knownAsOf(5000);
  }
  await using again = await open(folder);
  assert.equal(again.restored.knownAsOfWallMs, undefined, 'nothing is claimed to be known');
});

test('a segment removed under way is said and made good', async (t) => {
  const folder = temporaryFolder(t);
  {
    await using opened = await open(folder, { everything: everything(30) });
    await learn(opened.journal, 0, 10);
    rmSync(join(folder, 'segment-0000000001'));
    await assert.rejects(learn(opened.journal, 10, 30), /was removed/);
    await until(() => opened.journal.healthy && !opened.journal.incomplete, 'it recovers');
  }
  await using again = await open(folder);
  assert.deepEqual(again.restored.damage, []);
  assert.equal(again.memory.tokens.size, 30);
});

test('a folder replaced by that of another gateway is left alone', async (t) => {
  const folder = join(temporaryFolder(t), 'state');
  const other = join(temporaryFolder(t), 'state');
  {
    await using theirs = await open(other);
    await learn(theirs.journal, 0, 10);
  }
  const before = readFileSync(join(other, 'segment-0000000001'));
  await using opened = await open(folder, { everything: everything(20) });
  await learn(opened.journal, 0, 10);
  renameSync(folder, `${folder}.old`);
  cpSync(other, folder, { recursive: true });
  await assert.rejects(learn(opened.journal, 10, 20), JournalTrouble);
  await until(() => /with another secret/.test(opened.journal.trouble ?? ''), 'it says why');
  assert.deepEqual(readFileSync(join(folder, 'segment-0000000001')), before);
});

test('a restore lets other work go on', async (t) => {
  const folder = temporaryFolder(t);
  {
    await using opened = await open(folder);
    await learn(opened.journal, 0, 200_000);
    await opened.journal.snapshot();
    await learn(opened.journal, 200_000, 400_000);
  }
  let turns = 0;
  const counting = setInterval(() => turns++, 1);
  t.after(() => clearInterval(counting));
  const at = turns;
  await using opened = await open(folder);
  assert.equal(opened.memory.tokens.size, 400_000);
  assert.ok(turns - at > 5, `${turns - at} turns of the event loop`);
});
