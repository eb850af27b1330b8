/**
 * Everything under which one verified token may have been revoked. Computed once when the token is verified and kept with it, so that a
 * request costs a few look-ups and no hashing. Holds no token text.
 */
export interface TokenIdentity {
  readonly keys: readonly string[];
  /** End of the token's own life, epoch milliseconds: a revocation that matches is kept at least until then. */
  readonly expiresAtMs: number;
}
