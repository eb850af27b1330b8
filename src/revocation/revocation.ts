import { revocationEnd } from './lifetime.ts';
import type { RuleKind } from './rule.ts';
import { canonicalEcdsa, SHORTEST_SIGNATURE } from './signature.ts';
import { keyOfBytes, keyOfDigest, keyOfText } from './token-key.ts';
import { readWholeJwt } from './whole-jwt.ts';

/** How a bare number for a lifetime is to be read. `auto` takes the longest plausible reading. */
export type TtlUnit = 'auto' | 'seconds' | 'milliseconds' | 'epochSeconds' | 'epochMilliseconds';

/**
 * What a source says was revoked, as received: nothing in it is trusted or checked yet. Exactly one of `token` and `digest` is set.
 */
export interface RevocationEvent {
  /** A `jti`, a signature, a whole JWT or an opaque token. */
  readonly token?: string;
  /** SHA-256 of an opaque token, base64url without padding: how the event stream carries them. */
  readonly digest?: string;
  /** Issuer whose tokens are meant. Absent: every issuer's. */
  readonly issuer?: string;
  /** Remaining or absolute life, number or numeric string; see {@link TtlUnit}. */
  readonly ttl?: unknown;
  /** The same, as WSO2's second field. The later end of the two counts. */
  readonly expiryTime?: unknown;
}

/** One revocation as the list keeps it. */
export interface Revocation {
  /** Names in the list (token-key.ts); any one of them denies. */
  readonly keys: readonly string[];
  /** Epoch milliseconds; never before the end of the tokens it denies. */
  readonly endsAtMs: number;
}

/** What a source may say and how its numbers are read. */
export interface SourcePolicy {
  /** Issuers whose tokens this source may deny; absent: all. */
  readonly issuers?: readonly string[];
  readonly ttlUnit: TtlUnit;
  /** Milliseconds; no token lives longer, so no revocation needs to. */
  readonly longestTokenLifeMs: number;
  /** Kinds of rules that it may make. */
  readonly rules: ReadonlySet<RuleKind>;
  /** Milliseconds by which its clock may be ahead of ours: no cut-off lies further in the future. */
  readonly clockSkewMs: number;
}

/** Why an event was not taken: fixed phrases, for counters and logs. */
export type Refusal = 'no token in it' | 'issuer is not for this source to revoke';

const DIGEST = /^[A-Za-z0-9_-]{43}$/;
const BASE64 = /^[A-Za-z0-9+/_-]+={0,2}$/;

/** Checks one event and turns it into what the list keeps, or says why not. `now` is epoch milliseconds. */
export function parseRevocation(
  event: RevocationEvent,
  policy: SourcePolicy,
  now: number,
): Revocation | Refusal {
  const { issuer } = event;
  const allowed = policy.issuers;
  if (issuer !== undefined && allowed !== undefined && !allowed.includes(issuer))
    return 'issuer is not for this source to revoke';
  const scopes = issuer === undefined ? (allowed ?? [null]) : [issuer];

  const keys = keysOf(event, scopes, allowed);
  if (typeof keys === 'string') return keys;
  return {
    keys,
    endsAtMs: revocationEnd(event, policy.ttlUnit, now, policy.longestTokenLifeMs),
  };
}

function keysOf(
  event: RevocationEvent,
  scopes: readonly (string | null)[],
  allowed: readonly string[] | undefined,
): string[] | Refusal {
  if (event.digest !== undefined) {
    const { digest } = event;
    if (!DIGEST.test(digest)) return 'no token in it';
    return scopes.map((scope) => keyOfDigest('id', scope, digest));
  }
  if (event.token === undefined || event.token === '') return 'no token in it';
  const { token } = event;
  const jwt = readWholeJwt(token);
  if (jwt === undefined) return scopes.flatMap((scope) => keysOfBareValue(scope, token));

  // A whole JWT names its issuer itself: it counts for that one, also where the event says nothing.
  if (jwt.issuer !== undefined && allowed !== undefined && !allowed.includes(jwt.issuer))
    return 'issuer is not for this source to revoke';
  const keys = scopes.map((scope) => keyOfText('input', scope, jwt.signingInput));
  if (jwt.issuer !== undefined && jwt.jti !== undefined)
    keys.push(keyOfText('id', jwt.issuer, jwt.jti));
  return keys;
}

/** A bare value may be a jti, an opaque token or a signature: it counts as each of them. */
function keysOfBareValue(scope: string | null, value: string): string[] {
  const keys = [keyOfText('id', scope, value)];
  const text = value.trim();
  // A line feed behind an id comes from a file or a hand. An id that really ends in one is still denied by the exact key.
  if (text !== value && text !== '') keys.push(keyOfText('id', scope, text));
  if (BASE64.test(text)) {
    const bytes = Buffer.from(text, 'base64url');
    if (bytes.length >= SHORTEST_SIGNATURE) {
      keys.push(keyOfBytes('signature', scope, bytes));
      const canonical = canonicalEcdsa(bytes);
      if (canonical !== bytes) keys.push(keyOfBytes('signature', scope, canonical));
    }
  }
  return keys;
}
