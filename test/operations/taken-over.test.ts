import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { ApiRefusal } from '../../src/errors.ts';
import type { Revoked } from '../../src/admin/operations.ts';
import { GatewayOperations } from '../../src/operations/operations.ts';
import { Publishing } from '../../src/operations/publish.ts';
import type { ThreadsView } from '../../src/operations/status.ts';
import { opaqueIdentity } from '../../src/revocation/token-identity.ts';
import { openCore } from '../revocation/core.ts';
import { temporaryFolder } from '../revocation/journal/stage.ts';
import { POLICY } from '../revocation/stage.ts';

const BY = { name: 'operator token', address: '127.0.0.1' };

/** The operations over a real list and a real journal, without data-plane threads; every text is a token that is called by it. */
async function operating(t: TestContext) {
  const { revocations, journal, close } = await openCore(temporaryFolder(t));
  t.after(close);
  const operations = new GatewayOperations({
    revocations,
    journal,
    publishing: new Publishing([]),
    verifier: { verifyJwt: (token) => Promise.resolve(verified(token)) },
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
    acting,
    revokeToken: (token: string) =>
      operations.revoke({ what: { token: { token } } }, BY, (one) => acting.push(one)),
    revokeSubject: (sub: string) =>
      operations.revoke(
        {
          what: { rule: { action: 'revoke', claims: { sub }, issuedBefore: Date.now() } },
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

function refusedAs(code: string): (error: unknown) => boolean {
  return (error) => error instanceof ApiRefusal && error.code === code;
}

test('while another gateway has the journal, whoever asks what is in it is sent there, and nothing is lifted here', async (t) => {
  const { operations, journal, revokeToken, revokeSubject } = await operating(t);
  const token = await revokeToken('dead');
  const rule = await revokeSubject('kim');
  assert.equal((await operations.explain('dead')).revocation?.id, token.id);
  await journal.lend();
  for (const asked of [
    () => operations.revocations({ limit: 10 }),
    () => operations.revocation(token.id),
    () => operations.revocation(rule.id),
    () => operations.lift(rule.id, 'she is back', BY),
    () => operations.explain('dead'),
  ])
    await assert.rejects(asked(), refusedAs('taken_over'));
  const { reason } = await operations.explain('alive');
  assert.equal(reason, 'valid', 'what nothing denies is not in the journal');

  assert.equal(await journal.takeBack(), true);
  assert.equal((await operations.revocations({ limit: 10 })).records.length, 2);
  assert.equal((await operations.revocation(rule.id))?.kind, 'subject');
  assert.equal((await operations.explain('dead')).revocation?.id, token.id);
});

test('what acts is told before it is tried to have it on the disk', async (t) => {
  const { journal, revokeToken, revokeSubject, acting } = await operating(t);
  const { id, applied } = await revokeToken('before');
  assert.deepEqual(acting.splice(0), [{ id, applied }]);
  await journal.lend();
  await assert.rejects(revokeToken('meanwhile'), refusedAs('not_durable'));
  await assert.rejects(revokeSubject('kim'), refusedAs('not_durable'));
  assert.deepEqual(
    acting.map((one) => [one.id.slice(0, 2), one.applied]),
    [
      ['t-', 'added'],
      ['r-', 'added'],
    ],
  );
});
