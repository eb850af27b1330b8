import { createPublicKey } from 'node:crypto';
import type { JsonWebKey, KeyObject } from 'node:crypto';
import { defaultAlgorithm, fitsAlgorithm, isSupportedAlgorithm } from './algorithm.ts';
import { decodeBase64url } from './base64url.ts';
import type { VerificationKey } from './key-ring.ts';
import { hasRocaFingerprint } from './roca.ts';
import { isJsonObject, member } from '../strict-json.ts';
import type { JsonObject } from '../strict-json.ts';

/** Bits of an RSA modulus: RFC 7518 section 3.3 asks for at least 2,048; beyond the upper bound verifying costs too much. */
const MIN_RSA_BITS = 2_048;
const MAX_RSA_BITS = 8_192;
const MAX_RSA_EXPONENT = 0xffff_ffffn;

/** Members that make a key a public key, with the exact length in bytes of those that have one (RFC 7518 section 6, RFC 8037 section 2). */
const PUBLIC_MEMBERS: ReadonlyMap<string, Readonly<Record<string, number | undefined>>> = new Map([
  ['RSA', { n: undefined, e: undefined }],
  ['EC P-256', { x: 32, y: 32 }],
  ['EC P-384', { x: 48, y: 48 }],
  ['EC P-521', { x: 66, y: 66 }],
  ['OKP Ed25519', { x: 32 }],
]);

/**
 * Reads one public key of a JWK Set (RFC 7517), or says why it is not used. The whole set is never refused for one key.
 * @param algorithms what keys without `alg` serve; absent: the key type's own default
 */
export function readJwk(jwk: unknown, algorithms?: readonly string[]): VerificationKey | string {
  if (!isJsonObject(jwk)) return 'not a JSON object';
  const kid = member(jwk, 'kid');
  if (kid !== undefined && typeof kid !== 'string') return 'kid is not a string';
  const use = member(jwk, 'use');
  if (use !== undefined && use !== 'sig') return 'its use is not sig';
  const operations = member(jwk, 'key_ops');
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify')))
    return 'its key_ops do not have verify';
  if (member(jwk, 'd') !== undefined) return 'it is a private key, so everyone has it';
  const key = importPublic(jwk);
  if (typeof key === 'string') return key;
  const alg = member(jwk, 'alg');
  if (alg !== undefined && !(typeof alg === 'string' && fitsAlgorithm(key, alg)))
    return 'its alg is not supported or does not fit its type';
  const served = servedAlgorithms(key, typeof alg === 'string' ? [alg] : algorithms);
  return served.size === 0
    ? "none of the issuer's algorithms fits it"
    : { kid, key, algorithms: served };
}

/** Which of the allowed algorithms a key can serve; without any allowed: its type's default. */
export function servedAlgorithms(key: KeyObject, allowed?: readonly string[]): ReadonlySet<string> {
  if (allowed !== undefined)
    return new Set(
      allowed.filter((name) => isSupportedAlgorithm(name) && fitsAlgorithm(key, name)),
    );
  const name = defaultAlgorithm(key);
  return new Set(name === undefined ? [] : [name]);
}

/** Why a public key must not be used although it can be read; undefined when it may. RSA only: others have no weak shapes that import lets through. */
export function weakness(key: KeyObject): string | undefined {
  if (key.asymmetricKeyType !== 'rsa') return undefined;
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  if (modulusLength < MIN_RSA_BITS) return `its modulus has fewer than ${MIN_RSA_BITS} bits`;
  if (modulusLength > MAX_RSA_BITS) return `its modulus has more than ${MAX_RSA_BITS} bits`;
  if (publicExponent < 3n || publicExponent % 2n === 0n || publicExponent > MAX_RSA_EXPONENT)
    return 'its public exponent is not odd, at least 3 and at most 32 bits';
  const modulus = Buffer.from(key.export({ format: 'jwk' }).n ?? '', 'base64url');
  return hasRocaFingerprint(BigInt(`0x0${modulus.toString('hex')}`))
    ? 'its modulus has the ROCA fingerprint (CVE-2017-15361)'
    : undefined;
}

/** Takes the public members alone, each in its canonical spelling: node:crypto would also read padded, spaced or misspelt ones. */
function importPublic(jwk: JsonObject): KeyObject | string {
  const kty = member(jwk, 'kty');
  const crv = member(jwk, 'crv');
  if (typeof kty !== 'string') return 'kty is not a string';
  const type = kty === 'RSA' ? kty : `${kty} ${typeof crv === 'string' ? crv : ''}`.trim();
  const names = PUBLIC_MEMBERS.get(type);
  if (names === undefined) return 'its type or curve is not supported';
  const bare: JsonWebKey = { kty };
  if (kty !== 'RSA' && typeof crv === 'string') bare.crv = crv;
  for (const [name, length] of Object.entries(names)) {
    const value = member(jwk, name);
    const bytes = typeof value === 'string' ? decodeBase64url(value) : undefined;
    if (bytes === undefined || bytes.length === 0) return `${name} is not canonical base64url`;
    if (length !== undefined && bytes.length !== length) return `${name} has the wrong length`;
    bare[name] = value;
  }
  try {
    const key = createPublicKey({ key: bare, format: 'jwk' });
    return weakness(key) ?? key;
  } catch {
    return 'it is not a point on its curve, or otherwise unreadable';
  }
}
