import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateKeyPairSync } from 'node:crypto';
import type { Caller } from '../../src/auth/caller.ts';
import { TokenCache } from '../../src/auth/token-cache.ts';
import type { VerifiedToken } from '../../src/auth/verified-token.ts';
import {
  ISSUER,
  NOW,
  NOW_MS,
  Stage,
  encode,
  goodClaims,
  makeToken,
  publicPem,
  refusalOf,
} from './stage.ts';

const CALLER: Caller = {
  tokenType: 'jwt',
  issuer: ISSUER,
  subject: 'admin',
  clientId: undefined,
  scopes: new Set(),
  keyType: 'PRODUCTION',
  identity: { digests: [], scopes: [], expiresAtMs: NOW_MS + 1_000 },
  expiresAtMs: NOW_MS + 1_000,
};

function verified(extra: Partial<VerifiedToken> = {}): VerifiedToken {
  return {
    caller: CALLER,
    hasJti: true,
    verifiedAtMs: NOW_MS,
    countsUntilMs: NOW_MS + 1_000_000,
    generation: 0,
    ...extra,
  };
}

test('a verified token is answered at once, and every time the revocation list is asked', () => {
  const stage = new Stage();
  const token = makeToken();
  const first = stage.present(token);
  const second = stage.present(token);
  assert.ok(!(first instanceof Promise) && !(second instanceof Promise));
  assert.equal(second, first, 'from the cache');
  assert.equal(stage.revocations.checks, 2);
});

test('a revocation ends a cached token with the very next request', async () => {
  const stage = new Stage();
  const token = makeToken();
  assert.equal(await stage.outcome(token), 'admitted');
  stage.revocations.revoke(String(goodClaims()['jti']));
  const refusal = await stage.refusal(token);
  assert.equal(refusal?.fault, 'invalidCredentials');
  assert.equal(refusal.challenge?.error, 'invalid_token');
});

test('while the list may be incomplete a good token is 503 with Retry-After, a revoked one still 401, a bad one too', async () => {
  const stage = new Stage();
  stage.revocations.complete = false;
  const refusal = await stage.refusal(makeToken());
  assert.equal(refusal?.fault, 'revocationStatusUnknown');
  assert.ok((refusal.retryAfterSeconds ?? 0) > 0);
  assert.equal(refusal.challenge, undefined);
  const revoked = makeToken({ claims: goodClaims({ jti: 'dead' }) });
  stage.revocations.revoke('dead');
  assert.equal(await stage.outcome(revoked), 'invalidCredentials');
  assert.equal(await stage.outcome(`${revoked}x`), 'invalidCredentials');
  stage.revocations.complete = true;
  assert.equal(await stage.outcome(makeToken()), 'admitted');
});

test('a cached token ends with its exp and the clock skew, and its revocations are kept until then', async () => {
  const stage = new Stage();
  const token = makeToken();
  const caller = await stage.present(token);
  assert.equal(caller.expiresAtMs, (NOW + 3_600) * 1_000);
  assert.equal(caller.identity.expiresAtMs, caller.expiresAtMs + 5_000);
  stage.nowMs = caller.expiresAtMs + 4_999;
  assert.equal(await stage.outcome(token), 'admitted');
  stage.nowMs += 1;
  assert.equal(await stage.outcome(token), 'invalidCredentials');
});

test('a certificate out of its own validity verifies nothing, not even what it verified before', () => {
  const cache = new TokenCache({ maxEntries: 10, maxAgeMs: 1_000_000 });
  cache.add('a', verified({ countsUntilMs: NOW_MS + 10 }), NOW_MS);
  assert.ok(cache.get('a', NOW_MS + 9));
  assert.equal(cache.get('a', NOW_MS + 10), undefined);
});

test('an entry is verified anew after its age, and when the clock was set back behind its verification', () => {
  const cache = new TokenCache({ maxEntries: 10, maxAgeMs: 1_000 });
  cache.add('a', verified(), NOW_MS);
  assert.ok(cache.get('a', NOW_MS + 999));
  assert.equal(cache.get('a', NOW_MS + 1_000), undefined);
  assert.equal(cache.size, 0);
  cache.add('a', verified(), NOW_MS);
  assert.equal(cache.get('a', NOW_MS - 1), undefined);
});

test('the cache holds no more than it may, and what was used lately stays', () => {
  const cache = new TokenCache({ maxEntries: 4, maxAgeMs: 1_000_000 });
  for (const digest of ['a', 'b', 'c', 'd']) cache.add(digest, verified(), NOW_MS);
  assert.ok(cache.get('a', NOW_MS));
  assert.ok(cache.get('c', NOW_MS));
  cache.add('e', verified(), NOW_MS);
  cache.add('f', verified(), NOW_MS);
  assert.equal(cache.size, 4);
  assert.ok(cache.get('a', NOW_MS));
  assert.ok(cache.get('c', NOW_MS));
  assert.equal(cache.get('b', NOW_MS), undefined);
  assert.equal(cache.get('d', NOW_MS), undefined);
  for (let n = 0; n < 1_000; n += 1) {
    cache.add(`more ${n}`, verified(), NOW_MS);
    assert.ok(cache.get(`more ${n}`, NOW_MS));
    assert.equal(cache.size, 4);
  }
});

test('a cache of no entries keeps none', () => {
  const cache = new TokenCache({ maxEntries: 0, maxAgeMs: 1_000_000 });
  cache.add('a', verified(), NOW_MS);
  assert.equal(cache.size, 0);
});

test('junk pushes no good token out of the cache', async () => {
  const stage = new Stage({ cache: { maxEntries: 1, maxAgeMs: 900_000 } });
  const token = makeToken();
  const first = await stage.present(token);
  const [h = '', , s = ''] = token.split('.');
  for (let n = 0; n < 200; n += 1) {
    const junk = `${h}.${encode(goodClaims({ jti: `junk ${n}` }))}.${s}`;
    assert.equal(await stage.outcome(junk), 'invalidCredentials');
  }
  assert.equal(stage.present(token), first);
});

test('any one of the scopes is enough; without one it is 403 and the challenge names them', async () => {
  const stage = new Stage();
  const token = makeToken();
  assert.equal(await stage.outcome(token, ['admin', 'write']), 'admitted');
  const refusal = await stage.refusal(token, ['admin', 'wri']);
  assert.equal(refusal?.fault, 'insufficientScope');
  assert.deepEqual(refusal.challenge, { error: 'insufficient_scope', scope: 'admin wri' });
  stage.revocations.revoke(String(goodClaims()['jti']));
  assert.equal(await stage.outcome(token, ['admin']), 'invalidCredentials', '401 comes before 403');
});

test('a revoked call is traced in the words of 3.2, with the request id, and without a token', async () => {
  const stage = new Stage();
  const token = makeToken();
  await stage.outcome(token);
  const says = (lines: readonly string[]): string[] =>
    lines.map((line) => `DEBUG [JWTAuthProvider] [request-1] ${line}`);
  const checking = [
    'jti claim found in the jwt',
    'Checking for the JTI in the gateway invalid revoked token map.',
    'Checking for the Signature in the gateway invalid revoked token map.',
  ];
  assert.deepEqual(
    stage.log.lines.splice(0),
    says([
      ...checking,
      'JTI or Signature not found in the invalid token map.',
      'JWT Authentication Handler value for, is token revoked : false',
    ]),
  );
  stage.revocations.revoke(String(goodClaims()['jti']));
  await stage.outcome(token);
  assert.deepEqual(
    stage.log.lines,
    says([
      'jwt found from the jwt cache',
      ...checking,
      'JTI or Signature found in the invalid token map.',
      'JWT Authentication Handler value for, is token revoked : true',
      'JWT Token is revoked',
    ]),
  );
});

test('an issuer that is configured twice, badly or with a weak key stops the start', () => {
  const certificate = { kind: 'certificate', pem: publicPem('RS256') } as const;
  const weak = generateKeyPairSync('rsa', { modulusLength: 1_024 });
  const weakPem = weak.publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const secret = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' });
  for (const [issuers, code] of [
    [
      [
        { issuer: ISSUER, keys: certificate },
        { issuer: ISSUER, keys: certificate },
      ],
      'ERR_ISSUER_TWICE',
    ],
    [[{ issuer: ISSUER, keys: certificate, algorithms: ['HS256'] }], 'ERR_ISSUER_ALGORITHM'],
    [[{ issuer: ISSUER, keys: certificate, algorithms: ['none'] }], 'ERR_ISSUER_ALGORITHM'],
    [[{ issuer: ISSUER, keys: certificate, algorithms: ['ES256'] }], 'ERR_ISSUER_KEY'],
    [[{ issuer: ISSUER, keys: { kind: 'certificate', pem: weakPem } }], 'ERR_ISSUER_KEY'],
    [[{ issuer: ISSUER, keys: { kind: 'certificate', pem: secret.toString() } }], 'ERR_ISSUER_KEY'],
    [[{ issuer: ISSUER, keys: { kind: 'certificate', pem: 'x' } }], 'ERR_ISSUER_KEY'],
    [[{ issuer: ISSUER, keys: { kind: 'jwks', url: 'x' } }], 'ERR_ISSUER_KEY'],
  ] as const)
    assert.throws(() => new Stage({ issuers }), { name: 'OperatorError', code });
  const introspection = { url: 'x', username: 'a', password: 'b', maxAgeMs: 1 };
  assert.throws(() => new Stage({ introspection }), { code: 'ERR_INTROSPECTION' });
});

test('an address without TLS is warned of, unless it is this machine', async () => {
  for (const [url, warned] of [
    ['http://issuer.example/jwks', true],
    ['https://issuer.example/jwks', false],
    ['http://127.0.0.1:1/jwks', false],
    ['http://[::1]:1/jwks', false],
    ['http://localhost/jwks', false],
    ['http://localhost.example/jwks', true],
  ] as const) {
    const stage = new Stage({ issuers: [{ issuer: ISSUER, keys: { kind: 'jwks', url } }] });
    assert.equal(
      stage.log.lines.some((line) => line.includes('without TLS')),
      warned,
      url,
    );
    await stage.authenticator.close();
  }
});

test('concurrent requests never share more than the verification: one that lacks the scope is refused alone', async () => {
  const stage = new Stage();
  const token = makeToken();
  const outcomes = await Promise.all([stage.outcome(token), stage.outcome(token, ['admin'])]);
  assert.deepEqual(outcomes, ['admitted', 'insufficientScope']);
  assert.equal((await refusalOf(() => stage.present(token))) === undefined, true);
});
