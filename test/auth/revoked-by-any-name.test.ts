import assert from 'node:assert/strict';
import { test } from 'node:test';
import { momentOf } from '../../src/revocation/freshness.ts';
import { parseRevocation } from '../../src/revocation/revocation.ts';
import type { RevocationEvent } from '../../src/revocation/revocation.ts';
import { listAndReader, POLICY } from '../revocation/stage.ts';
import {
  DAY_MS,
  ISSUER,
  NOW_MS,
  Stage,
  goodClaims,
  jsonAnswer,
  makeToken,
  padded,
  publicPem,
  twinOf,
} from './stage.ts';

const LONG_POLICY = { ...POLICY, longestTokenLifeMs: 30 * DAY_MS };

/** A list that everything is known of. */
function freshList(): ReturnType<typeof listAndReader> {
  const made = listAndReader({ latest: () => NOW_MS, earliest: () => NOW_MS }, 60_000);
  const now = momentOf();
  made.list.state.knownAsOf(now.monotonic, now.wall);
  made.list.state.known = true;
  return made;
}

/** A gateway with the real revocation list, which has heard one event. */
function stageAfter(event: RevocationEvent, algorithm: string): Stage {
  const { list, reader } = freshList();
  const revocation = parseRevocation(event, LONG_POLICY, NOW_MS);
  assert.ok(typeof revocation !== 'string');
  list.addToken(revocation, 'test');
  return new Stage(
    {
      revocations: reader,
      issuers: [{ issuer: ISSUER, keys: { kind: 'certificate', pem: publicPem(algorithm) } }],
      introspection: { url: 'https://km.example/', username: 'a', password: 'b', maxAgeMs: 60_000 },
    },
    () => jsonAnswer({ active: true, jti: 'opaque-jti' }),
  );
}

for (const algorithm of ['RS256', 'ES256', 'ES384', 'ES512', 'EdDSA'])
  test(`${algorithm}: a token that is revoked by jti, signature or as a whole, in any spelling, is refused in any spelling`, async () => {
    const token = makeToken({ algorithm });
    const twin = twinOf(algorithm, token);
    const signature = (of: string): string => of.split('.')[2] ?? '';
    for (const named of [
      String(goodClaims()['jti']),
      signature(token),
      signature(twin),
      signature(padded(token)),
      token,
      twin,
      padded(token),
    ])
      for (const issuer of [undefined, ISSUER]) {
        const event = { token: named, ...(issuer === undefined ? {} : { issuer }) };
        for (const shown of [token, twin, padded(token), padded(twin)])
          assert.equal(await stageAfter(event, algorithm).outcome(shown), 'invalidCredentials');
      }
    const other = makeToken({ algorithm, claims: goodClaims({ jti: 'other' }) });
    for (const event of [{ token }, { token: signature(token) }, { token: 'x', issuer: ISSUER }])
      assert.equal(await stageAfter(event, algorithm).outcome(other), 'admitted');
    const elsewhere = { token: String(goodClaims()['jti']), issuer: 'https://other.example' };
    assert.equal(await stageAfter(elsewhere, algorithm).outcome(token), 'admitted');
  });

test('a token without jti is revoked by its signature or as a whole', async () => {
  const token = makeToken({ claims: goodClaims({ jti: undefined }) });
  for (const named of [token, token.split('.')[2] ?? '', padded(token)]) {
    const issuers = [
      { issuer: ISSUER, keys: { kind: 'certificate', pem: publicPem('RS256') }, requireJti: false },
    ] as const;
    const { list, reader } = freshList();
    const stage = new Stage({ issuers, revocations: reader });
    assert.equal(await stage.outcome(token), 'admitted');
    const revocation = parseRevocation({ token: named }, LONG_POLICY, NOW_MS);
    assert.ok(typeof revocation !== 'string');
    list.addToken(revocation, 'test');
    assert.equal(await stage.outcome(token), 'invalidCredentials', 'though it was in the cache');
  }
});

test('an opaque token is revoked by itself, its digest, or the jti that introspection gave', async () => {
  const opaque = '01c82c1e-4a3f-3a6c-a8f5-4f2f0b8a4b1d';
  const digest = Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(opaque)));
  for (const event of [
    { token: opaque },
    { digest: digest.toString('base64url') },
    { token: 'opaque-jti' },
  ])
    assert.equal(await stageAfter(event, 'RS256').outcome(opaque), 'invalidCredentials');
  assert.equal(await stageAfter({ token: 'another' }, 'RS256').outcome(opaque), 'admitted');
});
