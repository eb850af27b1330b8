import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRevocation } from '../../src/revocation/revocation.ts';
import { POLICY } from '../revocation/stage.ts';
import { BY, operating } from './stage.ts';

const HOUR_MS = 3_600_000;

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

test('whoever revokes a token is told the end that is held, where a later one was known', async (t) => {
  const { operations, list, revokeToken } = await operating(t);
  const now = Date.now();
  const inAnHour = now + HOUR_MS;
  const first = await revokeToken('mine', inAnHour);
  assert.deepEqual([first.applied, first.endsAtMs], ['added', inAnHour]);
  // The steps in which ends are kept are no later end.
  assert.deepEqual(await revokeToken('mine', inAnHour), { ...first, applied: 'known' });

  const event = { token: 'theirs', expiryTime: now + 20 * HOUR_MS };
  const revocation = parseRevocation(event, POLICY, now);
  assert.ok(typeof revocation !== 'string');
  list.addToken(revocation, 'store');
  const known = await revokeToken('theirs', inAnHour);
  assert.equal(known.applied, 'known');
  assert.ok(known.endsAtMs >= event.expiryTime, 'what the store said is held');
  const record = await operations.revocation(known.id);
  assert.equal(known.endsAtMs, record?.endsAtMs, 'as it is listed');

  const later = await revokeToken('theirs', now + 22 * HOUR_MS);
  assert.deepEqual([later.applied, later.endsAtMs], ['extended', now + 22 * HOUR_MS]);
});

test('the latest end of any of its names counts', async (t) => {
  const { list, revokeToken } = await operating(t);
  const now = Date.now();
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const jwt = `${part({ alg: 'RS256' })}.${part({ iss: 'https://a', jti: 'one' })}.AAAA`;
  const event = { token: 'one', issuer: 'https://a', expiryTime: now + 20 * HOUR_MS };
  const revocation = parseRevocation(event, POLICY, now);
  assert.ok(typeof revocation !== 'string');
  list.addToken(revocation, 'store');
  const { applied, endsAtMs } = await revokeToken(jwt, now + HOUR_MS);
  assert.equal(applied, 'added', 'its signing input is news');
  assert.ok(endsAtMs >= event.expiryTime);
});
