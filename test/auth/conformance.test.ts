import assert from 'node:assert/strict';
import { createHmac, createPublicKey } from 'node:crypto';
import { test } from 'node:test';
import { SignJWT, exportJWK } from 'jose';
import { decodeJws, isSignedBy, tokenShape } from '../../src/auth/jws.ts';
import { readKeySet } from '../../src/auth/key-set.ts';
import { GatewayFault } from '../../src/errors.ts';
import {
  ALGORITHMS,
  ISSUER,
  Stage,
  conformance,
  encode,
  goodClaims,
  jsonAnswer,
  keyPair,
} from './stage.ts';

interface Jwk {
  readonly kty?: string;
  readonly alg?: string;
  readonly k?: string;
  readonly [name: string]: unknown;
}
interface JoseGroup {
  readonly public?: Jwk;
  readonly private?: Jwk;
  readonly tests: readonly {
    readonly tcId: number;
    readonly jws: string;
    readonly result: string;
  }[];
}
interface SignatureGroup {
  readonly publicKeyPem: string;
  readonly tests: readonly {
    readonly tcId: number;
    readonly msg: string;
    readonly sig: string;
    readonly result: string;
  }[];
}

const SIGNATURES = 'wycheproof/json_web_signature_test.json';

function groups(path: string): unknown {
  return (conformance(path) as { readonly testGroups: unknown } | undefined)?.testGroups;
}

/** What the gateway's verifier makes of a token and a key set, below the claims. */
function verifies(token: string, keySet: unknown, algorithms?: readonly string[]): boolean {
  try {
    const jws = decodeJws(token);
    const { set } = readKeySet(JSON.stringify(keySet), algorithms);
    const lookup = set.lookUp(jws.algorithm, jws.kid);
    return lookup.outcome === 'key' && isSignedBy(jws, lookup.key);
  } catch (error) {
    if (error instanceof GatewayFault || (error as Error).message.startsWith('the set'))
      return false;
    throw error;
  }
}

/** The gateway has no symmetric keys; their cases still say what the decoder in front of every signature must make of a spelling. */
function macMatches(token: string, key: Jwk): boolean {
  try {
    const jws = decodeJws(token);
    const mac = createHmac('sha256', Buffer.from(key.k ?? '', 'base64url'));
    return jws.algorithm === 'HS256' && mac.update(jws.signingInput).digest().equals(jws.signature);
  } catch (error) {
    if (error instanceof GatewayFault) return false;
    throw error;
  }
}

test('agrees with Wycheproof on every JWS but the eight cases that are wrong or contradict their key', (t) => {
  const all = groups(SIGNATURES) as readonly JoseGroup[] | undefined;
  if (all === undefined) return t.skip('no vectors');
  const disagreements = new Map<number, string>();
  let count = 0;
  for (const group of all)
    for (const { tcId, jws, result } of group.tests) {
      count += 1;
      const key = group.public ?? group.private ?? {};
      const accepted = key.kty === 'oct' ? macMatches(jws, key) : verifies(jws, { keys: [key] });
      if (accepted !== (result === 'valid'))
        disagreements.set(tcId, accepted ? 'falsely accepted' : 'refused');
    }
  assert.equal(count, 401);
  assert.deepEqual(
    [...disagreements],
    [
      [346, 'refused'], // the key says PS256, the token PS384
      [347, 'refused'], // the key says "ES521", which is no algorithm
      [350, 'refused'], // as 346
      [351, 'refused'], // as 347
      [367, 'falsely accepted'], // labelled invalid, but byte for byte the valid 357
      [370, 'falsely accepted'], // as 367
      [372, 'refused'], // labelled valid, with a character that base64url does not have
      [373, 'refused'], // as 372
    ],
  );
});

test('verifies no symmetric signature, whatever the key set offers', (t) => {
  const all = groups(SIGNATURES) as readonly JoseGroup[] | undefined;
  if (all === undefined) return t.skip('no vectors');
  const accepted = all
    .filter((group) => group.private?.kty === 'oct')
    .flatMap((group) => group.tests.filter(({ jws }) => verifies(jws, { keys: [group.private] })));
  assert.deepEqual(accepted, []);
});

test('agrees with Wycheproof on key sets: weak, wrong, twofold and secret keys are not used', (t) => {
  const all = groups('wycheproof/json_web_key_test.json') as readonly JoseGroup[] | undefined;
  if (all === undefined) return t.skip('no vectors');
  const accepted = all.flatMap((group) =>
    group.tests
      .filter(({ jws }) => verifies(jws, group.public ?? group.private))
      .map(({ tcId }) => tcId),
  );
  // The other valid ones, 2 and 13 to 15, are symmetric.
  assert.deepEqual(accepted, [5]);
});

for (const [file, algorithm, cases] of [
  ['ecdsa_secp256r1_sha256_p1363_test.json', 'ES256', 262],
  ['ecdsa_secp384r1_sha384_p1363_test.json', 'ES384', 280],
  ['ecdsa_secp521r1_sha512_p1363_test.json', 'ES512', 318],
  ['ed25519_test.json', 'EdDSA', 151],
  ['rsa_signature_2048_sha256_test.json', 'RS256', 259],
  ['rsa_pss_2048_sha256_mgf1_32_test.json', 'PS256', 108],
] as const)
  test(`agrees with Wycheproof on every ${algorithm} signature`, (t) => {
    const all = groups(`wycheproof/${file}`) as readonly SignatureGroup[] | undefined;
    if (all === undefined) return t.skip('no vectors');
    const wrong: string[] = [];
    let count = 0;
    for (const group of all) {
      const jwk = createPublicKey(group.publicKeyPem).export({ format: 'jwk' });
      const { set } = readKeySet(JSON.stringify({ keys: [{ ...jwk, alg: algorithm }] }));
      const lookup = set.lookUp(algorithm, undefined);
      assert.equal(lookup.outcome, 'key');
      for (const { tcId, msg, sig, result } of group.tests) {
        count += 1;
        const signature = Buffer.from(sig, 'hex');
        const signed = withSignature(algorithm, signature, Buffer.from(msg, 'hex'));
        if (lookup.outcome === 'key' && isSignedBy(signed, lookup.key) !== (result === 'valid'))
          wrong.push(`${tcId} ${result}`);
      }
    }
    assert.equal(count, cases);
    assert.deepEqual(wrong, []);
  });

/** A decoded token over any bytes: the vectors' messages are no JWS signing inputs. */
function withSignature(algorithm: string, signature: Buffer, message: Buffer) {
  const decoded = decodeJws(`${encode({ alg: algorithm })}.${encode('')}.`);
  return { ...decoded, signature, signingInput: message.toString('latin1') };
}

interface CookbookJws {
  readonly input: { readonly key: Jwk | readonly Jwk[]; readonly alg?: string };
  readonly output: { readonly compact?: string };
}

test('verifies the JOSE cookbook signatures that it supports', (t) => {
  for (const [file, algorithm] of [
    ['jws/4_1.rsa_v15_signature.json', undefined],
    ['jws/4_2.rsa-pss_signature.json', 'PS384'],
    ['jws/4_3.ecdsa_signature.json', undefined],
    ['curve25519/jws.json', undefined],
  ] as const) {
    const vector = conformance(`jose-cookbook/${file}`) as CookbookJws | undefined;
    if (vector === undefined) return t.skip('no vectors');
    const { d: _, p: _p, q: _q, dp: _dp, dq: _dq, qi: _qi, ...key } = vector.input.key as Jwk;
    const token = vector.output.compact ?? '';
    const allowed = algorithm === undefined ? undefined : [algorithm];
    assert.equal(verifies(token, { keys: [key] }, allowed), true, file);
    assert.equal(verifies(`${token.slice(0, -8)}AAAAAAAA`, { keys: [key] }, allowed), false, file);
    assert.equal(verifies(token, { keys: [vector.input.key] }, allowed), false, `${file}: private`);
  }
});

test('takes none of the cookbook serialisations that it does not support', (t) => {
  let found = 0;
  for (const file of [
    'jws/4_4.hmac-sha2_integrity_protection.json',
    'jws/4_5.signature_with_detached_content.json',
    'rfc7797/4.2.hmac-sha2_b64_false.json',
    'rfc7797/hmac-sha2_b64_false.json',
    '6.nesting_signatures_and_encryption.json',
    'jwe/5_1.key_encryption_using_rsa_v15_and_aes-hmac-sha2.json',
    'jwe/5_3.key_wrap_using_pbes2-aes-keywrap_with-aes-cbc-hmac-sha2.json',
    'jwe/5_9.compressed_content.json',
  ]) {
    const text = JSON.stringify(conformance(`jose-cookbook/${file}`) ?? null);
    if (text === 'null') return t.skip('no vectors');
    const compact = [...text.matchAll(/"(eyJ[\w-]*(?:\.[\w-]*){2,4})"/g)].map(
      ([, token]) => token ?? '',
    );
    const keys = [...text.matchAll(/\{"kty":[^{}]*\}/g)].map(([jwk]) => JSON.parse(jwk) as Jwk);
    found += compact.length;
    for (const token of compact) {
      if (tokenShape(token) === 'jws') assert.equal(verifies(token, { keys }), false, file);
      else assert.equal(tokenShape(token), 'other-jose', file);
    }
  }
  assert.ok(found >= 6, `${found} tokens`);
});

for (const algorithm of ALGORITHMS)
  test(`${algorithm}: a token that jose made is admitted, with the key set that jose exports`, async () => {
    const { privateKey, publicKey } = keyPair(algorithm);
    const token = await new SignJWT(goodClaims())
      .setProtectedHeader({ alg: algorithm, kid: 'k1' })
      .sign(privateKey);
    const jwk = { ...(await exportJWK(publicKey)), kid: 'k1', alg: algorithm, use: 'sig' };
    const stage = new Stage(
      { issuers: [{ issuer: ISSUER, keys: { kind: 'jwks', url: 'https://issuer.example/jwks' } }] },
      () => jsonAnswer({ keys: [jwk] }),
    );
    assert.equal(await stage.outcome(token), 'admitted');
    await stage.authenticator.close();
  });
