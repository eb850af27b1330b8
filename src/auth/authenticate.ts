import type { Log } from '../log.ts';
import { GatewayFault } from '../errors.ts';
import { systemClock } from '../revocation/clock.ts';
import type { TokenIdentity } from '../revocation/token-identity.ts';
import { digestOf } from '../revocation/token-key.ts';
import type { AuthenticatorOptions, Degraded, RevocationCheck } from './authenticator-options.ts';
import { bearerToken, requireOpaqueSyntax, requireTokenSyntax } from './bearer.ts';
import type { Caller } from './caller.ts';
import { FailedAttempts } from './failed-attempts.ts';
import { Introspector } from './introspection.ts';
import { decodeJws, tokenShape, withoutPadding } from './jws.ts';
import type { Jws } from './jws.ts';
import { JwtVerifier } from './jwt.ts';
import type { TrustedIssuer } from './jwt.ts';
import {
  CostlyRefusal,
  insufficientScope,
  invalidToken,
  revocationUnknown,
  tooManyFailures,
} from './refusal.ts';
import { TokenCache } from './token-cache.ts';
import { traceRevocation, traceRevokedOpaque } from './trace.ts';
import { trustIssuers } from './trusted-issuers.ts';
import type { VerifiedToken } from './verified-token.ts';

const LOG_KEY = 'TokenRevocation';

/** Longest token that is looked at, bytes. */
const DEFAULT_MAX_TOKEN_BYTES = 8_192;

/** What a token that is refused at sight counts of one that had to be verified. */
const CHEAP = 0.1;

/** What an operation asks of its callers: the part of a route that this room looks at. */
export interface RouteRules {
  /** Any one is enough; empty: any valid token. */
  readonly scopes: readonly string[];
  /** What becomes of a good token while revocations may have been missed; absent: as configured for all. */
  readonly whenStale?: 'deny' | 'introspect' | 'allow' | undefined;
}

/** Whether a token counts here at all, apart from whether it was revoked. */
export interface TokenVerifier {
  /**
   * What an opaque token may have been revoked by, as far as is known before anybody was asked about it. Undefined for a JWT, and where
   * opaque tokens are not taken.
   * @throws GatewayFault 401
   */
  identityBefore(token: string): TokenIdentity | undefined;
  /**
   * Verifies a token as a request would have it verified, without the cache: of an opaque one the key manager is asked.
   * @throws GatewayFault 401 or 503
   */
  verify(token: string): Promise<VerifiedToken>;
}

/** Who presents a token. */
export interface Presenter {
  /** The client's address. Asked for only when the token has to be verified. */
  readonly clientAddress: string;
  /** Set to how the token was let through, if revocations may have been missed. */
  degraded?: Degraded | undefined;
}

/** What the data plane asks of this room. */
export interface Authenticator {
  /**
   * From the request's credential headers to a caller that may use the operation, or a {@link GatewayFault}: thrown, or as a rejection.
   * Answers synchronously when the token is in the verified-token cache or its issuer's keys are at hand: the request path then holds no
   * promise.
   * @param authorization every value of the credential header, in order (more than one is refused)
   * @param route what the operation asks for
   * @param requestId message id for the DEBUG trace
   * @param presenter who is held to the limit on failed verifications, and told how it was let through. Absent: nobody is
   */
  authenticate(
    authorization: readonly string[],
    route: RouteRules,
    requestId: string,
    presenter?: Presenter,
  ): Caller | Promise<Caller>;
}

/**
 * Makes the authenticator of one configuration: RFC 6750 bearer tokens, JWTs of the configured issuers and, with introspection, opaque
 * tokens. Keys of issuers with a JWK Set are fetched from now on in the background.
 * @throws OperatorError `ERR_ISSUER_KEY`, `ERR_ISSUER_TWICE`, `ERR_ISSUER_ALGORITHM`, `ERR_INTROSPECTION`
 */
export function createAuthenticator(
  options: AuthenticatorOptions,
): Authenticator & TokenVerifier & { close(): Promise<void> } {
  return new BearerAuthenticator(options);
}

/** A token as it was presented, with what the decision on it needs. */
interface Presented {
  readonly token: string;
  /** SHA-256 of its one spelling. */
  readonly digest: string;
  /** It came from the cache of verified tokens. */
  readonly cached: boolean;
  readonly route: RouteRules;
  readonly requestId: string;
  readonly presenter: Presenter | undefined;
}

class BearerAuthenticator implements Authenticator, TokenVerifier {
  readonly #issuers: readonly TrustedIssuer[];
  readonly #verifier: JwtVerifier;
  readonly #introspector: Introspector | undefined;
  readonly #cache: TokenCache;
  readonly #pending = new Map<string, Promise<VerifiedToken>>();
  /** Introspections because of stale knowledge, by the token's digest. */
  readonly #asked = new Map<string, Promise<VerifiedToken>>();
  readonly #policy: Pick<AuthenticatorOptions, 'whenUnknown' | 'whenStale'>;
  readonly #degraded: NonNullable<AuthenticatorOptions['onDegraded']>;
  readonly #revocations: RevocationCheck;
  readonly #log: Log;
  readonly #maxTokenBytes: number;
  readonly #now: () => number;
  readonly #failures: FailedAttempts | undefined;
  readonly #onCostlyRefusal: () => void;

  constructor(options: AuthenticatorOptions) {
    const now = options.now ?? (() => systemClock.latest());
    const { clockSkewMs, longestTokenLifeMs, log, http } = options;
    this.#now = now;
    this.#log = log;
    this.#policy = options;
    this.#degraded = options.onDegraded ?? (() => undefined);
    this.#revocations = options.revocations;
    this.#maxTokenBytes = options.maxTokenBytes ?? DEFAULT_MAX_TOKEN_BYTES;
    this.#cache = new TokenCache(options.cache);
    this.#failures =
      options.failedAttempts && new FailedAttempts(options.failedAttempts, options.monotonicNow);
    this.#onCostlyRefusal = options.onCostlyRefusal ?? (() => undefined);
    this.#issuers = trustIssuers(options);
    const common = { clockSkewMs, longestTokenLifeMs, log, now };
    const monotonicNow = options.monotonicNow ?? (() => performance.now());
    this.#verifier = new JwtVerifier({ ...common, issuers: this.#issuers });
    this.#introspector =
      options.introspection &&
      new Introspector({ ...options.introspection, ...common, http, monotonicNow });
  }

  authenticate(
    authorization: readonly string[],
    route: RouteRules,
    requestId: string,
    presenter?: Presenter,
  ): Caller | Promise<Caller> {
    const token = bearerToken(authorization, this.#maxTokenBytes);
    // What is in the cache was verified under its one spelling, so whatever has that spelling's digest needs no further look.
    const spelling = withoutPadding(token);
    const digest = digestOf(spelling);
    const cached = this.#cache.get(digest, this.#now());
    // An opaque token has no other spelling: there `=` is text like any other.
    if (cached !== undefined && (spelling === token || cached.caller.tokenType === 'jwt'))
      return this.#admit(cached, { token, digest, cached: true, route, requestId, presenter });
    const client = presenter?.clientAddress;
    this.#requirePatience(client);
    try {
      const jws = this.#decode(token);
      const exact = jws === undefined && spelling !== token ? digestOf(token) : digest;
      const request = { token, digest: exact, cached: false, route, requestId, presenter };
      const admitted = this.#finish(jws, request);
      if (!(admitted instanceof Promise)) return admitted;
      return admitted.catch((error: unknown) => {
        throw this.#noted(error, client);
      });
    } catch (error) {
      throw this.#noted(error, client);
    }
  }

  identityBefore(token: string): TokenIdentity | undefined {
    const spelled = bearerToken([`Bearer ${token}`], this.#maxTokenBytes);
    return this.#decode(spelled) === undefined
      ? this.#introspector?.identityBefore(spelled)
      : undefined;
  }

  async verify(token: string): Promise<VerifiedToken> {
    const spelled = bearerToken([`Bearer ${token}`], this.#maxTokenBytes);
    const jws = this.#decode(spelled);
    return jws === undefined
      ? this.#requireIntrospector().introspect(spelled, digestOf(spelled))
      : this.#verifier.verify(jws);
  }

  async close(): Promise<void> {
    this.#introspector?.close();
    await Promise.all(this.#issuers.map(({ ring }) => ring.close()));
    await Promise.allSettled(this.#pending.values());
  }

  /** Before a token that is not known is looked at. */
  #requirePatience(client: string | undefined): void {
    if (client === undefined || this.#failures === undefined) return;
    const waitMs = this.#failures.waitMs(client);
    if (waitMs > 0) throw tooManyFailures(waitMs);
  }

  /** A token that does not count is on the account of who sent it. That a good one may not do this, or that nobody can know, is not. */
  #noted(error: unknown, client: string | undefined): unknown {
    const costly = error instanceof CostlyRefusal;
    if (costly) this.#onCostlyRefusal();
    if (
      client !== undefined &&
      error instanceof GatewayFault &&
      error.fault === 'invalidCredentials'
    )
      this.#failures?.failed(client, costly ? 1 : CHEAP);
    return error;
  }

  /** The decoded JWT, or undefined for an opaque token. */
  #decode(token: string): Jws | undefined {
    requireTokenSyntax(token);
    const shape = tokenShape(token);
    if (shape === 'other-jose') throw invalidToken('a JOSE object that is no signed JWT');
    if (shape === 'jws') return decodeJws(token);
    requireOpaqueSyntax(token);
    return undefined;
  }

  /** Looks once more under the digest that is surely the token's, then verifies. */
  #finish(jws: Jws | undefined, request: Presented): Caller | Promise<Caller> {
    const { digest } = request;
    const cached = this.#cache.get(digest, this.#now());
    if (cached !== undefined) return this.#admit(cached, { ...request, cached: true });
    const verified = this.#pending.get(digest) ?? this.#verify(jws, request);
    return verified instanceof Promise
      ? verified.then((result) => this.#admit(result, request))
      : this.#admit(verified, request);
  }

  /** Verifies a token that the cache does not know. One that has to wait is verified once, for everyone who presents it meanwhile. */
  #verify(jws: Jws | undefined, request: Presented): VerifiedToken | Promise<VerifiedToken> {
    const { digest } = request;
    const verified = jws === undefined ? this.#introspect(request) : this.#verifier.verify(jws);
    if (!(verified instanceof Promise)) {
      this.#cache.add(digest, verified, this.#now());
      return verified;
    }
    const pending = verified
      .then((result) => {
        this.#cache.add(digest, result, this.#now());
        return result;
      })
      .finally(() => this.#pending.delete(digest));
    this.#pending.set(digest, pending);
    return pending;
  }

  #introspect({ token, digest, route, requestId, presenter }: Presented): Promise<VerifiedToken> {
    const introspector = this.#requireIntrospector();
    // Before asking: a token that is known to be revoked is refused even while the key manager is down.
    const status = this.#revocations.check(introspector.identityBefore(token));
    if (status === 'revoked') {
      if (this.#log.debugEnabled) traceRevokedOpaque(this.#log, requestId);
      throw invalidToken('the token is revoked');
    }
    if (status === 'unknown' && this.#policyFor(route) === 'deny') throw revocationUnknown();
    return introspector.introspect(token, digest, presenter?.clientAddress);
  }

  #requireIntrospector(): Introspector {
    if (this.#introspector === undefined)
      throw invalidToken('opaque, and no introspection is configured');
    return this.#introspector;
  }

  /** The decisions that are taken anew for every request: revoked or not, and whether the scopes are enough. */
  #admit(verified: VerifiedToken, request: Presented): Caller | Promise<Caller> {
    const { caller } = verified;
    const { cached, route, requestId } = request;
    const status = this.#revocations.check(caller.identity);
    if (this.#log.debugEnabled)
      traceRevocation(this.#log, verified, { cached, revoked: status === 'revoked' }, requestId);
    if (status === 'revoked') throw invalidToken('the token is revoked');
    const policy = status === 'unknown' ? this.#policyFor(route) : 'none';
    if (policy === 'deny') throw revocationUnknown();
    const { scopes } = route;
    if (scopes.length > 0 && !scopes.some((scope) => caller.scopes.has(scope)))
      throw insufficientScope(scopes);
    if (policy === 'introspect') return this.#askAgain(caller, request);
    if (policy === 'allow') this.#letThrough('allowed', request);
    return caller;
  }

  /** What is to be done with a good token while it is not known whether it was revoked. */
  #policyFor(route: RouteRules): 'deny' | 'introspect' | 'allow' {
    const { whenUnknown, whenStale } = this.#policy;
    // Nothing known at all is another matter than something missing: a route cannot open a gateway that has never heard of a revocation.
    if (this.#revocations.knowledge() === 'never' && whenUnknown === 'deny') return 'deny';
    if (this.#revocations.knowledge() === 'never') return 'allow';
    return route.whenStale ?? whenStale;
  }

  /** Asks the key manager whether the token is still active (RFC 7662): it knows what sources would have told. */
  async #askAgain(caller: Caller, request: Presented): Promise<Caller> {
    const { token, digest, cached, presenter } = request;
    const introspector = this.#introspector;
    if (introspector === undefined) throw revocationUnknown();
    // An opaque token that was not in the cache was asked about a moment ago.
    if (cached || caller.tokenType === 'jwt') {
      const asked =
        this.#asked.get(digest) ?? introspector.introspect(token, digest, presenter?.clientAddress);
      this.#asked.set(digest, asked);
      await asked.finally(() => this.#asked.delete(digest));
      // What was heard of meanwhile counts.
      if (this.#revocations.check(caller.identity) === 'revoked')
        throw invalidToken('the token is revoked');
    }
    this.#letThrough('introspected', request);
    return caller;
  }

  #letThrough(how: Degraded, { requestId, presenter }: Presented): void {
    this.#degraded(how);
    if (presenter !== undefined) presenter.degraded = how;
    this.#log.warn(LOG_KEY, `${how} while revocations may have been missed`, requestId);
  }
}
