import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scopesOf } from '../../src/auth/claims.ts';
import { jwtIdentity, keysOf } from '../../src/revocation/token-identity.ts';
import type { IssuerOptions } from '../../src/auth/authenticator-options.ts';
import { issueCertificate } from '../../src/tls/certificate.ts';
import { createPrivateKey } from 'node:crypto';
import { DAY_MS, ISSUER, NOW, NOW_MS, Stage, goodClaims, makeToken, publicPem } from './stage.ts';

function stageWith(rules: Partial<IssuerOptions> = {}): Stage {
  const keys = { kind: 'certificate', pem: publicPem('RS256') } as const;
  return new Stage({ issuers: [{ issuer: ISSUER, keys, ...rules }] });
}

function tokenWith(extra: object): string {
  return makeToken({ claims: goodClaims(extra) });
}

for (const [claim, rules] of [
  ['sub', { requireSub: false }],
  ['aud', { requireAud: false }],
  ['exp', { requireExp: false }],
  ['jti', { requireJti: false }],
] as const)
  test(`${claim} is required, unless its issuer says otherwise; then the others still are`, async () => {
    const token = tokenWith({ [claim]: undefined });
    assert.equal(await stageWith().outcome(token), 'invalidCredentials');
    assert.equal(await stageWith(rules).outcome(token), 'admitted');
    for (const other of ['sub', 'aud', 'exp', 'jti'].filter((name) => name !== claim))
      assert.equal(
        await stageWith(rules).outcome(tokenWith({ [other]: undefined })),
        'invalidCredentials',
        other,
      );
    const odd = tokenWith({ [claim]: { a: 1 } });
    assert.equal(await stageWith(rules).outcome(odd), 'invalidCredentials', 'there, but no text');
  });

test('iat is required only where its issuer says so: a token then shows its whole life', async () => {
  const token = tokenWith({ iat: undefined });
  assert.equal(await stageWith().outcome(token), 'admitted');
  assert.equal(await stageWith({ requireIat: false }).outcome(token), 'admitted');
  const strict = stageWith({ requireIat: true });
  assert.equal(await strict.outcome(token), 'invalidCredentials');
  assert.equal(await strict.outcome(tokenWith({ iat: 'soon' })), 'invalidCredentials');
  assert.equal(await strict.outcome(tokenWith({ iat: NOW - 1 })), 'admitted');
});

test('a token without jti is known by its signing input and signature', async () => {
  const token = tokenWith({ jti: undefined });
  const stage = stageWith({ requireJti: false });
  const caller = await stage.present(token);
  const [h = '', p = '', s = ''] = token.split('.');
  assert.deepEqual(
    keysOf(caller.identity),
    keysOf(
      jwtIdentity({
        issuer: ISSUER,
        signingInput: `${h}.${p}`,
        signature: Buffer.from(s, 'base64url'),
        algorithm: 'RS256',
        expiresAtMs: 0,
      }),
    ),
  );
  assert.equal(caller.identity.expiresAtMs, caller.expiresAtMs + 5_000);
  await stage.outcome(token);
  assert.equal(
    stage.log.lines.some((line) => line.includes('jti claim found')),
    false,
  );
});

test('an audience that is configured is compared even where aud is not required', async () => {
  const stage = stageWith({ requireAud: false, audience: ['mine'] });
  assert.equal(await stage.outcome(tokenWith({ aud: undefined })), 'invalidCredentials');
  assert.equal(await stage.outcome(tokenWith({ aud: ['mine'] })), 'admitted');
});

test('times are checked with the clock skew, to the millisecond', async () => {
  for (const [claims, expected] of [
    [{ exp: NOW - 4 }, 'admitted'],
    [{ exp: NOW - 5 }, 'invalidCredentials'],
    [{ nbf: NOW + 5 }, 'admitted'],
    [{ nbf: NOW + 6 }, 'invalidCredentials'],
    [{ iat: NOW + 5 }, 'admitted'],
    [{ iat: NOW + 6 }, 'invalidCredentials'],
    [{ iat: NOW_MS + 5_000 }, 'admitted'],
    [{ iat: NOW_MS + 5_001 }, 'invalidCredentials'],
    [{ iat: NOW_MS - 1_000 }, 'admitted'],
    [{ iat: NOW - 0.5 }, 'admitted'],
    [{ iat: undefined }, 'admitted'],
  ] as const)
    assert.equal(await stageWith().outcome(tokenWith(claims)), expected, JSON.stringify(claims));
});

test('a token that lives longer than a revocation is kept is refused, and the log names its key', async () => {
  const days = (n: number): number => n * 86_400;
  for (const [claims, expected] of [
    [{ iat: NOW, exp: NOW + days(30) }, 'admitted'],
    [{ iat: undefined, exp: NOW + days(30) }, 'admitted'],
    [{ iat: undefined, exp: NOW + days(30) + 1 }, 'invalidCredentials'],
    // Near its end, but it could have been revoked before any entry that is still kept.
    [{ iat: NOW - days(30), exp: NOW + 60 }, 'invalidCredentials'],
    [{ iat: NOW_MS - 30 * DAY_MS, exp: NOW + 60 }, 'invalidCredentials'],
    [{ iat: NOW - days(30), exp: NOW + 5 }, 'admitted'],
  ] as const) {
    const stage = stageWith();
    assert.equal(await stage.outcome(tokenWith(claims)), expected, JSON.stringify(claims));
    const warned = stage.log.lines.filter((line) => line.startsWith('WARN'));
    assert.equal(warned.length, expected === 'admitted' ? 0 : 1);
    if (expected !== 'admitted') {
      assert.match(warned[0] ?? '', /key k1/);
      await stage.outcome(tokenWith(claims));
      assert.equal(stage.log.lines.filter((line) => line.startsWith('WARN')).length, 1, 'once');
    }
  }
});

test('only a token with a good signature makes the log warn of its life', async () => {
  const stage = stageWith();
  const token = tokenWith({ exp: NOW + 400 * 86_400 });
  await stage.outcome(`${token.slice(0, -6)}AAAAAA`);
  assert.equal(stage.log.lines.length, 0);
});

test('where exp is not required iat is, and bounds the life', async () => {
  const rules = { requireExp: false };
  const token = tokenWith({ exp: undefined });
  const stage = stageWith(rules);
  const caller = await stage.present(token);
  assert.equal(caller.expiresAtMs, (NOW - 10) * 1_000 + 30 * DAY_MS);
  stage.nowMs = caller.expiresAtMs + 4_999;
  assert.equal(await stage.outcome(token), 'admitted');
  stage.nowMs += 1;
  assert.equal(await stage.outcome(token), 'invalidCredentials');
  const neither = tokenWith({ exp: undefined, iat: undefined });
  assert.equal(await stageWith(rules).outcome(neither), 'invalidCredentials');
  assert.equal(await stageWith(rules).outcome(tokenWith({ exp: NOW - 60 })), 'invalidCredentials');
});

test('scopes are a blank-separated text or a list, in scope or else scp; anything else grants nothing', async () => {
  for (const [claims, scopes] of [
    [{ scope: 'a b' }, ['a', 'b']],
    [{ scope: ['a', 'b'] }, ['a', 'b']],
    [{ scope: ' a   b ' }, ['a', 'b']],
    [{ scope: undefined, scp: 'a b' }, ['a', 'b']],
    [{ scope: undefined, scp: ['a'] }, ['a']],
    [{ scope: ['a', 7, null] }, ['a']],
    [{ scope: { a: true } }, []],
    [{ scope: 7 }, []],
    [{ scope: undefined }, []],
  ] as const)
    assert.deepEqual([...(await stageWith().present(tokenWith(claims))).scopes], scopes);
});

test('only keytype SANDBOX, to the letter, makes a sandbox caller', async () => {
  for (const [keytype, expected] of [
    ['SANDBOX', 'SANDBOX'],
    ['PRODUCTION', 'PRODUCTION'],
    ['sandbox', 'PRODUCTION'],
    [['SANDBOX'], 'PRODUCTION'],
    [undefined, 'PRODUCTION'],
  ] as const)
    assert.equal((await stageWith().present(tokenWith({ keytype }))).keyType, expected);
});

test('the client is taken from the configured claim, or from where issuers usually put it', async () => {
  for (const [rules, claims, expected] of [
    [{}, { client_id: 'c', azp: 'z' }, 'c'],
    [{}, { azp: 'z', consumerKey: 'k' }, 'z'],
    [{}, { consumerKey: 'k' }, 'k'],
    [{}, {}, undefined],
    [{ consumerKeyClaim: 'aud' }, { client_id: 'c', aud: ['first', 'second'] }, 'first'],
    [{ consumerKeyClaim: 'constructor' }, {}, undefined],
  ] as const)
    assert.equal((await stageWith(rules).present(tokenWith(claims))).clientId, expected);
});

test('kinds of access token pass, in any case and with the media type spelt out', async () => {
  for (const typ of ['JWT', 'jwt', 'at+jwt', 'application/at+jwt', 'AT+JWT', undefined]) {
    const token = makeToken({ header: { alg: 'RS256', kid: 'k1', typ } });
    assert.equal(await stageWith().outcome(token), 'admitted', typ);
  }
});

test('a certificate verifies within its own validity only, cached tokens included', async () => {
  const { cert, key } = await issueCertificate({
    commonName: 'issuer',
    purpose: 'server',
    notBefore: new Date(NOW_MS - 60_000),
    notAfter: new Date(NOW_MS + 60_000),
  });
  const stage = stageWith({ keys: { kind: 'certificate', pem: cert } });
  const token = makeToken({ key: createPrivateKey(key) });
  assert.equal(await stage.outcome(token), 'admitted');
  stage.nowMs = NOW_MS + 59_999;
  assert.equal(await stage.outcome(token), 'admitted');
  stage.nowMs = NOW_MS + 60_000;
  assert.equal(await stage.outcome(token), 'invalidCredentials');
  const early = makeToken({ key: createPrivateKey(key), claims: goodClaims({ iat: undefined }) });
  stage.nowMs = NOW_MS - 60_001;
  assert.equal(await stage.outcome(early), 'invalidCredentials');
});

test('one set of scopes serves many tokens, and no number of texts is kept', () => {
  const first = scopesOf({ scope: 'read write' });
  assert.deepEqual([...first], ['read', 'write']);
  assert.equal(scopesOf({ scp: 'read write' }), first);
  for (let i = 0; i < 100; i++) scopesOf({ scope: `scope${i}` });
  const later = scopesOf({ scope: 'read write' });
  assert.notEqual(later, first, 'it was forgotten meanwhile');
  assert.deepEqual([...later], ['read', 'write']);
  const long = 'x'.repeat(513);
  assert.notEqual(scopesOf({ scope: long }), scopesOf({ scope: long }), 'a long one is not kept');
  scopesOf({ scope: 'lone \ud800' });
  assert.deepEqual([...scopesOf({ scope: 'lone \ufffd' })], ['lone', '\ufffd'], 'another text');
});
