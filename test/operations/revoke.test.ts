import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BY, operating } from './stage.ts';

test('whoever revokes is told what holds, not what was asked for, where more was known', async (t) => {
  const { operations, revokeSubject, acting } = await operating(t);
  const now = Date.now();
  const first = await revokeSubject('kim', { issuedBefore: now });
  assert.deepEqual([first.applied, first.issuedBeforeMs], ['added', now]);

  for (const times of [
    { issuedBefore: now - 60_000 },
    { issuedBefore: now - 50_000, endsAt: now + 1_000 },
    { issuedBefore: now },
  ]) {
    const again = await revokeSubject('kim', times);
    assert.deepEqual(again, { ...first, applied: 'known' });
  }
  assert.equal((await operations.revocation(first.id))?.kind, 'subject');

  const later = await revokeSubject('kim', { issuedBefore: now + 1 });
  assert.deepEqual([later.applied, later.issuedBeforeMs], ['extended', now + 1]);
  assert.ok(later.endsAtMs >= first.endsAtMs);
  assert.deepEqual(
    acting.map(({ applied }) => applied),
    ['added', 'known', 'known', 'known', 'extended'],
  );

  await operations.lift(first.id, 'she is back', BY);
  const anew = await revokeSubject('kim', { issuedBefore: Date.now() + 2 });
  assert.equal(anew.applied, 'added');
});
