import type { Log } from '../log.ts';
import type { HttpClient } from '../net/http-client.ts';
import type { TokenIdentity } from '../revocation/token-identity.ts';
import type { ClaimRules } from './claims.ts';
import type { FailedAttemptsOptions } from './failed-attempts.ts';
import type { IntrospectionOptions } from './introspection.ts';
import type { KeyRing } from './key-ring.ts';
import type { KeySetText, KeySetTimings } from './remote-key-set.ts';
import type { TokenCacheOptions } from './token-cache.ts';

/** One `[[jwtTokenConfig]]`: an issuer whose JWTs are taken. */
export interface IssuerOptions extends ClaimRules {
  /** PEM certificate or public key, the address of the issuer's JWK Set (RFC 7517), or keys that somebody else keeps. */
  readonly keys:
    | { readonly kind: 'certificate'; readonly pem: string }
    | {
        readonly kind: 'jwks';
        readonly url: string;
        /** This issuer's own, over `keySetTimings`. */
        readonly timings?: KeySetTimings;
        /** The set as it was read last before this start, where somebody has kept it: used until the first fetch succeeds. */
        readonly initial?: KeySetText;
        /** Called with every set that was taken, to keep it or hand it on. */
        readonly onRead?: (reading: KeySetText) => void;
      }
    | { readonly kind: 'ring'; readonly ring: KeyRing };
  /** JWS algorithms that keys without an `alg` of their own serve. Default: RS256 for RSA, the curve's own for EC, EdDSA for OKP. */
  readonly algorithms?: readonly string[];
}

/** The revocation list, as this room sees it. */
export interface RevocationCheck {
  /** Asked on every request and never cached. `unknown`: not revoked as far as is known, but the list may be incomplete. */
  check(identity: TokenIdentity): 'revoked' | 'clear' | 'unknown';
  /** Why `unknown`: `stale`, something may have been missed; `never`, nothing was known yet. */
  knowledge(): 'fresh' | 'stale' | 'never';
}

/** How a good token was let through although revocations may have been missed. */
export type Degraded = 'allowed' | 'introspected';

export interface AuthenticatorOptions {
  readonly issuers: readonly IssuerOptions[];
  /** Absent: opaque tokens are refused. */
  readonly introspection?: IntrospectionOptions;
  readonly http: HttpClient;
  /** True: what weakens the gateway is said by somebody else. */
  readonly quiet?: boolean;
  readonly revocations: RevocationCheck;
  /** What a good token gets while nothing is known yet. */
  readonly whenUnknown: 'deny' | 'allow';
  /** What it gets while something may have been missed and its route says nothing else. `introspect` needs introspection. */
  readonly whenStale: 'deny' | 'introspect' | 'allow';
  /** Called for each request that is let through then. */
  readonly onDegraded?: (how: Degraded) => void;
  readonly log: Log;
  /** Milliseconds by which an issuer's clock may differ from ours. */
  readonly clockSkewMs: number;
  /** Milliseconds; tokens that live longer are refused, as no revocation is kept longer. */
  readonly longestTokenLifeMs: number;
  readonly cache: TokenCacheOptions;
  /** How many bad tokens one address may send. Absent: as many as it likes. */
  readonly failedAttempts?: FailedAttemptsOptions | undefined;
  /** Called for each token that was refused after its signature was checked, or the key manager asked. */
  readonly onCostlyRefusal?: () => void;
  /** Default 8 KiB. */
  readonly maxTokenBytes?: number;
  /** For every issuer's JWK Set that has no own. */
  readonly keySetTimings?: KeySetTimings;
  /** Epoch milliseconds. Default: the later reading of revocation/clock.ts, so that a clock that is set back revives no token. */
  readonly now?: () => number;
  /** Milliseconds of a clock that never steps. Default: the process's. */
  readonly monotonicNow?: () => number;
}
