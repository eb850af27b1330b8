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
