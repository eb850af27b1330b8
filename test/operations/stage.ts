import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { Revoked } from '../../src/admin/operations.ts';
import { GatewayOperations } from '../../src/operations/operations.ts';
import { Publishing } from '../../src/operations/publish.ts';
import type { ThreadsView } from '../../src/operations/status.ts';
import { opaqueIdentity } from '../../src/revocation/token-identity.ts';
import { openCore } from '../revocation/core.ts';
import { temporaryFolder } from '../revocation/journal/stage.ts';
import { POLICY } from '../revocation/stage.ts';

export const BY = { name: 'operator token', address: '127.0.0.1' };

/** The operations over a real list and a real journal, without data-plane threads; every text is a token that is called by it. */
export async function operating(t: TestContext) {
  const { revocations, journal, close } = await openCore(temporaryFolder(t));
  t.after(close);
  const operations = new GatewayOperations({
    revocations,
    journal,
    publishing: new Publishing([]),
    verifier: {
      identityBefore: () => undefined,
      verify: (token) => Promise.resolve(verified(token)),
    },
    threads: new Proxy({} as ThreadsView, { get: () => assert.fail('no thread is asked here') }),
    reloads: { counts: { done: 0, failed: 0 } },
    startedAtMs: 0,
    policy: { maxStalenessMs: 60_000, whenStale: 'deny', maxEntries: 10_000 },
    sources: new Map(),
    draining: () => false,
    longestTokenLifeMs: POLICY.longestTokenLifeMs,
    clockSkewMs: POLICY.clockSkewMs,
    consumerKeyClaims: [],
  });
  const acting: Pick<Revoked, 'id' | 'applied'>[] = [];
  return {
    operations,
    journal,
    list: revocations.list,
    acting,
    revokeToken: (token: string, endsAtMs?: number) =>
      operations.revoke({ what: { token: { token, expiryTime: endsAtMs } } }, BY, (one) =>
        acting.push(one),
      ),
    revokeSubject: (sub: string, times: { issuedBefore?: number; endsAt?: number } = {}) =>
      operations.revoke(
        {
          what: {
            rule: { action: 'revoke', claims: { sub }, issuedBefore: Date.now(), ...times },
          },
          reason: 'left',
        },
        BY,
        (one) => acting.push(one),
      ),
  };
}

function verified(token: string) {
  const expiresAtMs = Date.now() + 60_000;
  const identity = opaqueIdentity({ token, expiresAtMs });
  return {
    caller: {
      tokenType: 'jwt',
      issuer: undefined,
      subject: undefined,
      clientId: undefined,
      scopes: new Set<string>(),
      keyType: 'PRODUCTION',
      identity,
      expiresAtMs,
    },
    hasJti: true,
    verifiedAtMs: Date.now(),
    countsUntilMs: expiresAtMs,
    generation: 0,
  } as const;
}
