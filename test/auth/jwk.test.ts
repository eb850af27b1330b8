import assert from 'node:assert/strict';
import { generateKeyPairSync, generatePrimeSync } from 'node:crypto';
import { test } from 'node:test';
import { readJwk } from '../../src/auth/jwk.ts';
import { hasRocaFingerprint } from '../../src/auth/roca.ts';
import { conformance, keyPair, publicJwk } from './stage.ts';

function refusal(jwk: unknown): string | undefined {
  const read = readJwk(jwk);
  return typeof read === 'string' ? read : undefined;
}

function withLeadingZero(text: unknown): string {
  return Buffer.concat([Buffer.alloc(1), Buffer.from(String(text), 'base64url')]).toString(
    'base64url',
  );
}

test('every supported kind of key is read, and serves what it says or else the default of its kind', () => {
  for (const [algorithm, served] of [
    ['RS256', 'RS256'],
    ['ES256', 'ES256'],
    ['ES384', 'ES384'],
    ['ES512', 'ES512'],
    ['EdDSA', 'EdDSA'],
  ] as const) {
    const read = readJwk(publicJwk(algorithm, { kid: 'k' }));
    assert.ok(typeof read !== 'string');
    assert.deepEqual([...read.algorithms], [served]);
    assert.equal(read.kid, 'k');
  }
  const pss = readJwk(publicJwk('RS256', { alg: 'PS512' }));
  assert.ok(typeof pss !== 'string');
  assert.deepEqual([...pss.algorithms], ['PS512']);
  const several = readJwk(publicJwk('RS256'), ['PS256', 'RS512', 'ES256']);
  assert.ok(typeof several !== 'string');
  assert.deepEqual([...several.algorithms], ['PS256', 'RS512']);
});

test('weak RSA keys are not used', () => {
  const short = generateKeyPairSync('rsa', { modulusLength: 1_024 }).publicKey;
  assert.match(refusal(short.export({ format: 'jwk' })) ?? '', /fewer than 2048 bits/);
  for (const e of ['AQ', 'Ag', 'AQAA', 'AQAAAAE'])
    assert.match(refusal(publicJwk('RS256', { e })) ?? '', /exponent/, e);
  assert.equal(refusal(publicJwk('RS256', { e: 'Aw' })), undefined);
  const huge = `${'_'.repeat(2_000)}w`.slice(0, 2_000);
  assert.match(refusal({ kty: 'RSA', n: huge, e: 'AQAB' }) ?? '', /more than 8192 bits/);
});

test('a modulus with the ROCA fingerprint is not used, and sound ones do not have it', (t) => {
  for (let n = 0; n < 20; n += 1) {
    const product =
      generatePrimeSync(256, { bigint: true }) * generatePrimeSync(256, { bigint: true });
    assert.equal(hasRocaFingerprint(product), false);
  }
  const vectors = conformance('wycheproof/json_web_key_test.json') as
    | {
        readonly testGroups: {
          readonly comment: string;
          readonly public?: { readonly keys: unknown[] };
        }[];
      }
    | undefined;
  if (vectors === undefined) return t.skip('no vectors');
  const group = vectors.testGroups.find(({ comment }) => comment.includes('roca'));
  assert.match(refusal(group?.public?.keys[0]) ?? '', /ROCA/);
});

test('keys that are odd in any other way are not used, and reading them never throws', () => {
  const rsa = publicJwk('RS256');
  const ec = publicJwk('ES256');
  const okp = publicJwk('EdDSA');
  const n = String(rsa['n']);
  for (const jwk of [
    undefined,
    null,
    7,
    'key',
    [],
    {},
    { ...rsa, kty: 'rsa' },
    { ...rsa, kty: ['RSA'] },
    { ...rsa, kty: 'EC' },
    { ...rsa, n: undefined },
    { ...rsa, n: `${n}=` },
    { ...rsa, n: ` ${n}` },
    { ...rsa, n: n.replace(/.$/, 'B') },
    { ...rsa, n: '' },
    { ...rsa, n: 7 },
    { ...rsa, e: '' },
    { ...rsa, kid: 7 },
    { ...rsa, use: 'enc' },
    { ...rsa, use: 7 },
    { ...rsa, key_ops: [] },
    { ...rsa, key_ops: ['sign'] },
    { ...rsa, key_ops: 'verify' },
    { ...rsa, alg: 'ES256' },
    { ...rsa, alg: 'HS256' },
    { ...rsa, alg: 'none' },
    { ...rsa, alg: 'RSA-OAEP' },
    { ...rsa, alg: null },
    { ...ec, crv: 'P-384' },
    { ...ec, crv: 'secp256k1' },
    { ...ec, alg: 'ES384' },
    { ...ec, alg: 'ES256K' },
    { ...ec, x: ec['y'], y: ec['x'] },
    { ...ec, x: withLeadingZero(ec['x']) },
    { ...okp, x: withLeadingZero(okp['x']) },
    { ...okp, crv: 'Ed448' },
    { ...okp, crv: 'X25519' },
    { ...okp, x: 'AAAA' },
    { kty: 'oct', k: 'A'.repeat(43) },
    { kty: 'AKP' },
    { ...keyPair('RS256').privateKey.export({ format: 'jwk' }) },
    { ...keyPair('ES256').privateKey.export({ format: 'jwk' }) },
    { ...keyPair('EdDSA').privateKey.export({ format: 'jwk' }) },
    JSON.parse('{"kty":"RSA","__proto__":{"n":"AQAB","e":"AQAB"}}'),
  ])
    assert.equal(typeof refusal(jwk), 'string', JSON.stringify(jwk));
});
