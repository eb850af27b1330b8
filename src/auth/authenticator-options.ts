import type { Log } from '../log.ts';
import type { HttpClient } from '../net/http-client.ts';
import type { TokenIdentity } from '../revocation/token-identity.ts';
import type { ClaimRules } from './claims.ts';
import type { IntrospectionOptions } from './introspection.ts';
import type { KeySetTimings } from './remote-key-set.ts';
import type { TokenCacheOptions } from './token-cache.ts';

/** One `[[jwtTokenConfig]]`: an issuer whose JWTs are taken. */
export interface IssuerOptions extends ClaimRules {
  /** PEM certificate or public key, or the address of the issuer's JWK Set (RFC 7517). */
  readonly keys:
    | { readonly kind: 'certificate'; readonly pem: string }
    | {
        readonly kind: 'jwks';
        readonly url: string;
        /** This issuer's own, over `keySetTimings`. */
        readonly timings?: KeySetTimings;
      };
  /** JWS algorithms that keys without an `alg` of their own serve. Default: RS256 for RSA, the curve's own for EC, EdDSA for OKP. */
  readonly algorithms?: readonly string[];
}

/** The revocation list, as this room sees it. */
export interface RevocationCheck {
  /** Asked on every request and never cached. `unknown`: not revoked as far as is known, but the list may be incomplete. */
  check(identity: TokenIdentity): 'revoked' | 'clear' | 'unknown';
}

export interface AuthenticatorOptions {
  readonly issuers: readonly IssuerOptions[];
  /** Absent: opaque tokens are refused. */
  readonly introspection?: IntrospectionOptions;
  readonly http: HttpClient;
  readonly revocations: RevocationCheck;
  readonly log: Log;
  /** Milliseconds by which an issuer's clock may differ from ours. */
  readonly clockSkewMs: number;
  /** Milliseconds; tokens that live longer are refused, as no revocation is kept longer. */
  readonly longestTokenLifeMs: number;
  readonly cache: TokenCacheOptions;
  /** Default 8 KiB. */
  readonly maxTokenBytes?: number;
  /** For every issuer's JWK Set that has no own. */
  readonly keySetTimings?: KeySetTimings;
  /** Epoch milliseconds. Default: the later reading of revocation/clock.ts, so that a clock that is set back revives no token. */
  readonly now?: () => number;
  /** Milliseconds of a clock that never steps. Default: the process's. */
  readonly monotonicNow?: () => number;
}
