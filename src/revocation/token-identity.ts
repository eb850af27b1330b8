import { canonicalEcdsa } from './signature.ts';
import { digestOf, digestOfBytes, keyOfDigest, keyOfText, type TokenKeyKind } from './token-key.ts';

/**
 * Everything under which one verified token may have been revoked. Computed once when the token is verified and kept with it, so that a
 * request costs a few look-ups and no hashing. Holds no token text.
 */
export interface TokenIdentity {
  readonly keys: readonly string[];
  /** End of the token's own life, epoch milliseconds: a revocation that matches is kept at least until then. */
  readonly expiresAtMs: number;
  /** What rules are matched with: the issuers that it counts for, and its claims. Absent: nothing is known of it but its text. */
  readonly issuers?: readonly string[];
  readonly claims?: TokenClaims;
  /** Computed by the first check that needs it, and kept: the fingerprint of each of `keys`, and of what the rules in use could name this token by. */
  prints?: (Uint32Array | undefined)[];
  rulePrints?: { readonly version: number; readonly prints: Uint32Array };
}

/** Claims of a verified JWT or of an introspection answer, as they are in the JSON. */
export type TokenClaims = Readonly<Record<string, unknown>>;

/** What {@link jwtIdentity} needs of a JWT that was verified. */
export interface JwtParts {
  readonly issuer: string;
  /** Absent for tokens without the claim: the signing input then is their only name beside the signature. */
  readonly jti?: string;
  /** First two parts and their dot, canonical (no padding). */
  readonly signingInput: string;
  /** Decoded third part. */
  readonly signature: Uint8Array;
  /** JWS `alg` (RFC 7518 section 3.1). */
  readonly algorithm: string;
  readonly claims?: TokenClaims;
  /** Epoch milliseconds. */
  readonly expiresAtMs: number;
}

/** Identity of a verified JWT: its (`iss`, `jti`), its signature and its signing input, for this issuer and for events that name none. */
export function jwtIdentity(jwt: JwtParts): TokenIdentity {
  const signature = jwt.algorithm.startsWith('ES') ? canonicalEcdsa(jwt.signature) : jwt.signature;
  const digests: (readonly [TokenKeyKind, string])[] = [
    ['signature', digestOfBytes(signature)],
    ['input', digestOf(jwt.signingInput)],
  ];
  if (jwt.jti !== undefined) digests.unshift(['id', digestOf(jwt.jti)]);
  const keys: string[] = [];
  for (const issuer of [null, jwt.issuer])
    for (const [kind, digest] of digests) keys.push(keyOfDigest(kind, issuer, digest));
  const { issuer, claims, expiresAtMs } = jwt;
  return { keys, expiresAtMs, issuers: [issuer], ...(claims === undefined ? {} : { claims }) };
}

/** What {@link opaqueIdentity} needs of an opaque token. */
export interface OpaqueParts {
  readonly token: string;
  /** `iss` of the introspection answer, or the configured issuer of the key manager. */
  readonly issuer?: string;
  /** `jti` of the introspection answer (RFC 7662 section 2.2). */
  readonly jti?: string;
  /** Epoch milliseconds. */
  readonly expiresAtMs: number;
}

/** Identity of an opaque token: its digest, and the `jti` that introspection gave. */
export function opaqueIdentity(opaque: OpaqueParts): TokenIdentity {
  const keys: string[] = [];
  for (const issuer of opaque.issuer === undefined ? [null] : [null, opaque.issuer]) {
    keys.push(keyOfText('id', issuer, opaque.token));
    if (opaque.jti !== undefined) keys.push(keyOfText('id', issuer, opaque.jti));
  }
  return { keys, expiresAtMs: opaque.expiresAtMs };
}
