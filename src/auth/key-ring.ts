import type { KeyObject } from 'node:crypto';

/** One public key of one issuer, checked, and what it may verify. */
export interface VerificationKey {
  readonly kid: string | undefined;
  readonly key: KeyObject;
  /** JWS algorithms that this key serves: decided by the key and the issuer's configuration, never by a token. */
  readonly algorithms: ReadonlySet<string>;
  /** Certificates only: validity, epoch milliseconds. */
  readonly notBeforeMs?: number;
  readonly notAfterMs?: number;
}

/** `key`: verify with it. `absent`: no such key known, asking anew may help. `refused`: nothing the issuer could publish would help. */
export type KeyLookup =
  | { readonly outcome: 'key'; readonly key: VerificationKey }
  | { readonly outcome: 'absent' }
  | { readonly outcome: 'refused'; readonly reason: string };

/**
 * What {@link KeyRing.renew} came to. `current`: the keys are what the issuer publishes, as of just now. `unavailable`: the issuer's
 * keys cannot be had, so whether an unknown key is its own cannot be known.
 */
export type Renewal =
  | { readonly outcome: 'current' }
  | { readonly outcome: 'unavailable'; readonly retryAfterMs: number };

/** The keys of one issuer. Keys are never shared between issuers: a `kid` means nothing outside its own issuer. */
export interface KeyRing {
  /** Grows whenever a key was dropped: what was verified under an older generation does not count any more. */
  readonly generation: number;
  /** Whether what was verified under this generation still counts. */
  counts(generation: number): boolean;
  lookUp(algorithm: string, kid: string | undefined): KeyLookup;
  /** Asks the issuer anew, if that is due and possible. Never rejects. */
  renew(): Promise<Renewal>;
  close(): Promise<void>;
}
