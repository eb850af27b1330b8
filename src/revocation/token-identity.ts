import { canonicalEcdsa } from './signature.ts';
import { digestOf, digestOfBytes, keyOfDigest, type TokenKeyKind } from './token-key.ts';

/** Something that a token may have been revoked by: its kind, and SHA-256 of its value (token-key.ts). */
export interface TokenDigest {
  readonly kind: TokenKeyKind;
  readonly digest: string;
}

/**
 * Everything under which one verified token may have been revoked. Computed once when the token is verified and kept with it, so that a
 * request costs a few look-ups and no hashing. Holds no token text. It is kept with each of thousands of tokens: so its names, which are
 * each of `digests` with each of `scopes`, are made only when they are asked for.
 */
export interface TokenIdentity {
  readonly digests: readonly TokenDigest[];
  /** Issuers that it counts for, and null for events that name none. */
  readonly scopes: readonly (string | null)[];
  /** End of the token's own life, epoch milliseconds: a revocation that matches is kept at least until then. */
  readonly expiresAtMs: number;
  /** What rules are matched with: the issuers that it counts for, and its claims. Absent: nothing is known of it but its text. */
  readonly issuers?: readonly string[];
  readonly claims?: TokenClaims;
  /** Computed by the first check that needs it, and kept: the fingerprint of each name in the order of {@link keysOf}, zeros where it was not needed yet. */
  prints?: Uint32Array;
  /** The same of what the rules in use could name this token by. */
  rulePrints?: { readonly version: number; readonly prints: Uint32Array };
}

/** Names of a token in the list: all digests for the first scope, then for the next. */
export function keysOf({ digests, scopes }: TokenIdentity): string[] {
  return scopes.flatMap((scope) =>
    digests.map(({ kind, digest }) => keyOfDigest(kind, scope, digest)),
  );
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
  const digests: TokenDigest[] = [
    { kind: 'signature', digest: digestOfBytes(signature) },
    { kind: 'input', digest: digestOf(jwt.signingInput) },
  ];
  if (jwt.jti !== undefined) digests.unshift({ kind: 'id', digest: digestOf(jwt.jti) });
  if (jwt.issuer !== last.issuers[0]) last = { issuers: [jwt.issuer], scopes: [null, jwt.issuer] };
  const { issuers, scopes } = last;
  const { claims, expiresAtMs } = jwt;
  return { digests, scopes, expiresAtMs, issuers, ...(claims === undefined ? {} : { claims }) };
}

/** Of the JWT before: what is the same for all tokens of an issuer is kept once. */
let last: Required<Pick<TokenIdentity, 'issuers' | 'scopes'>> = {
  issuers: [''],
  scopes: [null, ''],
};

/** What {@link opaqueIdentity} needs of an opaque token. */
export interface OpaqueParts {
  readonly token: string;
  /** `iss` of the introspection answer, and the configured issuer of the key manager. */
  readonly issuers?: readonly string[];
  /** `jti` of the introspection answer (RFC 7662 section 2.2). */
  readonly jti?: string;
  /** Epoch milliseconds. */
  readonly expiresAtMs: number;
}

/** Identity of an opaque token: its digest, and the `jti` that introspection gave. */
export function opaqueIdentity({ token, issuers, jti, expiresAtMs }: OpaqueParts): TokenIdentity {
  const values = jti === undefined ? [token] : [token, jti];
  return {
    digests: values.map((value) => ({ kind: 'id', digest: digestOf(value) })),
    scopes: [null, ...(issuers ?? [])],
    expiresAtMs,
    ...(issuers === undefined ? {} : { issuers }),
  };
}
