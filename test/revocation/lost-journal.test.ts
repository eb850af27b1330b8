import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock, type Clock } from '../../src/revocation/clock.ts';
import { until } from '../support/until.ts';
import { openCore } from './core.ts';
import { open, temporaryFolder } from './journal/stage.ts';
import { keysNamed, named } from './stage.ts';

/** A gateway whose operator is the only one who revokes. */
async function started(t: TestContext, folder: string, clock: Clock = systemClock) {
  const core = await openCore(folder, { clock });
  core.revocations.start();
  t.after(core.close);
  return core;
}

async function revokedAndEnded(t: TestContext): Promise<string> {
  const folder = temporaryFolder(t);
  const { revocations, close } = await started(t, folder);
  assert.equal(revocations.ready, true, 'nothing was ever revoked');
  revocations.list.addToken(
    { keys: keysNamed('dead'), endsAtMs: Date.now() + 3_600_000 },
    'operator',
  );
  await revocations.list.durable();
  await close();
  return folder;
}

test('without a required source, what a damaged journal held is said by nobody: closed until the next start', async (t) => {
  const folder = await revokedAndEnded(t);
  rmSync(join(folder, 'secret'));
  const damaged = await started(t, folder);
  assert.equal(damaged.revocations.reader.knowledge(), 'never');
  assert.equal(damaged.revocations.ready, false);
  assert.deepEqual(
    damaged.revocations.doubts().map(({ code }) => code),
    ['journal'],
  );
  await until(() => !damaged.journal.incomplete, 'the journal is whole again');
  assert.equal(damaged.revocations.ready, false, 'what was lost is lost all the same');
  await damaged.close();

  const again = await started(t, folder);
  assert.equal(again.revocations.ready, true);
  await again.close();
});

test('the same goes for what a gateway that took over has acknowledged, and that is damaged when the journal comes back', async (t) => {
  const folder = temporaryFolder(t);
  const { revocations, journal, close } = await started(t, folder);
  await journal.lend();
  {
    const other = await started(t, folder);
    other.revocations.list.addToken(
      { keys: keysNamed('theirs'), endsAtMs: Date.now() + 3_600_000 },
      'operator',
    );
    await other.revocations.list.durable();
    await other.close();
  }
  assert.equal(revocations.ready, true);
  for (const name of ['committed', 'segment-0000000001'])
    writeFileSync(join(folder, name), 'damaged');
  assert.equal(await journal.takeBack(), true);
  assert.equal(revocations.reader.knowledge(), 'never');
  assert.equal(revocations.ready, false);
  await until(() => journal.healthy && !journal.incomplete, 'the journal is whole again');
  assert.deepEqual(
    revocations.doubts().map(({ code }) => code),
    ['journal'],
  );
  assert.equal(revocations.ready, false, 'what was lost is lost all the same');
  await close();
  await using files = await open(folder);
  assert.deepEqual([files.restored.whole, files.restored.knownAsOfWallMs], [true, undefined]);
});

test('without a required source, a whole journal is all that there is to know', async (t) => {
  const again = await started(t, await revokedAndEnded(t));
  assert.equal(again.revocations.reader.knowledge(), 'fresh');
  assert.equal(
    again.revocations.reader.revokedBy({ ...named('dead'), expiresAtMs: Date.now() }),
    'token',
  );
  await again.close();
});

test('what a clock that was ahead had forgotten is known again by the next start, and no token counts as expired for it', async (t) => {
  const folder = await revokedAndEnded(t);
  const inThreeDays = (): number => Date.now() + 3 * 86_400_000;
  const ahead = await started(t, folder, { latest: inThreeDays, earliest: inThreeDays });
  ahead.revocations.list.sweep();
  assert.equal(ahead.revocations.list.size, 0);
  assert.ok(ahead.revocations.reader.now() > Date.now() + 3_000_000);
  assert.deepEqual(
    ahead.revocations.doubts().map(({ code }) => code),
    ['clock'],
  );
  await ahead.close();

  const again = await started(t, folder);
  assert.ok(again.revocations.reader.now() <= Date.now());
  const dead = { ...named('dead'), expiresAtMs: Date.now() };
  assert.equal(again.revocations.reader.revokedBy(dead), 'token');
  assert.deepEqual(again.revocations.doubts(), []);
  await again.close();
});
