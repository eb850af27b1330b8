import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { jwtIdentity, keysOf } from '../../src/revocation/token-identity.ts';
import {
  ALGORITHMS,
  ISSUER,
  NOW_MS,
  Stage,
  goodClaims,
  jsonAnswer,
  keyPair,
  makeToken,
  padded,
  publicPem,
  signBytes,
  twinOf,
  encode,
} from './stage.ts';

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const JTI = String(goodClaims()['jti']);

/** Introspection is there and calls everything active, so that a spelling which slipped past the JWT path would be admitted. */
function stageFor(algorithm: string): Stage {
  return new Stage(
    {
      issuers: [
        {
          issuer: ISSUER,
          keys: { kind: 'certificate', pem: publicPem(algorithm) },
          algorithms: [algorithm],
        },
      ],
      introspection: {
        url: 'https://km.example/introspect',
        username: 'a',
        password: 'b',
        maxAgeMs: 1,
      },
    },
    () => jsonAnswer({ active: true }),
  );
}

/** A stage where the token was admitted (so it is cached) and then revoked by its `jti`, by its signature, or as a whole. */
async function revokedStage(
  algorithm: string,
  token: string,
  by: 'jti' | 'identity',
): Promise<Stage> {
  const stage = stageFor(algorithm);
  const caller = await stage.present(token);
  if (by === 'jti') stage.revocations.revoke(JTI);
  // Everything but the jti: the signature and the signing input.
  else for (const key of keysOf(caller.identity).slice(1, 3)) stage.revocations.revoked.add(key);
  assert.equal(await stage.outcome(token), 'invalidCredentials');
  return stage;
}

for (const algorithm of ALGORITHMS) {
  test(`${algorithm}: no last character with the same bits, padding or white space lets a revoked token through`, async () => {
    const token = makeToken({ algorithm });
    for (const by of ['jti', 'identity'] as const) {
      const stage = await revokedStage(algorithm, token, by);
      for (const end of ALPHABET)
        assert.notEqual(await stage.outcome(`${token.slice(0, -1)}${end}`), 'admitted', end);
      for (const more of ['=', '==', '===', '.', ' ', '\t', '\n', '\r\n', '\0', '~', '%3D', 'A'])
        for (const variant of [`${token}${more}`, `${more}${token}`])
          if (!variant.startsWith('.') && !variant.startsWith('A') && !/^[~%=]/.test(variant))
            assert.notEqual(await stage.outcome(variant), 'admitted', JSON.stringify(more));
      assert.equal(stage.http.requests.length, 0);
    }
  });
}

test('any change of one character is refused, or is the same token', async () => {
  const token = makeToken({ algorithm: 'ES256' });
  const stage = await revokedStage('ES256', token, 'identity');
  await fc.assert(
    fc.asyncProperty(
      fc.nat(token.length),
      fc.constantFrom('replace', 'insert', 'remove'),
      fc.constantFrom(...`${ALPHABET}=+/~. \t\n`.split('')),
      async (at, how, character) => {
        const tail = token.slice(how === 'insert' ? at : at + 1);
        const variant = token.slice(0, at) + (how === 'remove' ? '' : character) + tail;
        // A first part that no longer decodes to an object with alg makes an opaque token: another one, by its whole text.
        const outcome = await stage.outcome(variant);
        if (outcome === 'admitted')
          assert.equal((await stage.present(variant)).tokenType, 'opaque');
      },
    ),
    { numRuns: 1_500 },
  );
});

for (const algorithm of ['ES256', 'ES384', 'ES512'])
  test(`${algorithm}: the twin signature with n-s verifies, and is the same token`, async () => {
    const token = makeToken({ algorithm });
    const twin = twinOf(algorithm, token);
    assert.notEqual(twin, token);
    assert.equal(await stageFor(algorithm).outcome(twin), 'admitted');
    const caller = await stageFor(algorithm).present(token);
    const twinCaller = await stageFor(algorithm).present(twin);
    assert.deepEqual(twinCaller.identity, caller.identity);
    for (const by of ['jti', 'identity'] as const)
      assert.equal(
        await (await revokedStage(algorithm, token, by)).outcome(twin),
        'invalidCredentials',
      );
  });

test('exactly the padding that each part calls for is taken, and makes no other token of it', async () => {
  for (const extra of ['', 'x', 'xx']) {
    const token = makeToken({
      claims: goodClaims({ extra }),
      header: { alg: 'RS256', kid: `k${extra}` },
    });
    const [h = '', p = '', s = ''] = token.split('.');
    const spellings = [
      `${padded(h)}.${p}.${s}`,
      `${h}.${padded(p)}.${s}`,
      `${h}.${p}.${padded(s)}`,
      `${padded(h)}.${padded(p)}.${padded(s)}`,
    ];
    for (const spelling of spellings) {
      const stage = stageFor('RS256');
      const caller = await stage.present(spelling);
      assert.deepEqual(caller.identity, (await stageFor('RS256').present(token)).identity);
      const again = stage.present(token);
      assert.ok(!(again instanceof Promise));
      assert.equal(again, caller, 'one entry in the cache for all spellings');
      stage.revocations.revoke(JTI);
      assert.equal(await stage.outcome(spelling), 'invalidCredentials');
    }
    for (const spelling of [
      `${h}=.${p}.${s}`,
      `${h}.${p}=.${s}`,
      `${h}.${p}.${padded(s)}=`,
      `${h}.${p}.${s}===`,
    ])
      if (!spellings.includes(spelling))
        assert.equal(await stageFor('RS256').outcome(spelling), 'invalidCredentials', spelling);
  }
});

test("WSO2's own tokens, signed over the padded spelling, are verified as such and known by the canonical one", async () => {
  const header = padded(encode({ typ: 'JWT', alg: 'RS256', x5t: 'x' }));
  const payload = padded(encode(goodClaims({ iat: NOW_MS - 1_000 })));
  assert.ok(header.endsWith('=') || payload.endsWith('='));
  const input = `${header}.${payload}`;
  const signature = signBytes('RS256', keyPair('RS256').privateKey, input).toString('base64url');
  const token = `${input}.${padded(signature)}`;
  const stage = stageFor('RS256');
  const caller = await stage.present(token);
  const bare = jwtIdentity({
    issuer: ISSUER,
    jti: JTI,
    signingInput: input.replaceAll('=', ''),
    signature: Buffer.from(signature, 'base64url'),
    algorithm: 'RS256',
    expiresAtMs: caller.identity.expiresAtMs,
  });
  assert.deepEqual(keysOf(caller.identity), keysOf(bare));
  assert.ok(!(stage.present(token) instanceof Promise));
  stage.revocations.revoke(JTI);
  for (const spelling of [token, token.replaceAll('=', ''), `${input}.${signature}`])
    assert.equal(await stage.outcome(spelling), 'invalidCredentials');
});
