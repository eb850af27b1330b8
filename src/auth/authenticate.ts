import type { Log } from '../log.ts';
import { systemClock } from '../revocation/clock.ts';
import { digestOf } from '../revocation/token-key.ts';
import type { AuthenticatorOptions, RevocationCheck } from './authenticator-options.ts';
import { bearerToken, requireOpaqueSyntax, requireTokenSyntax } from './bearer.ts';
import type { Caller } from './caller.ts';
import { Introspector } from './introspection.ts';
import { decodeJws, tokenShape, withoutPadding } from './jws.ts';
import type { Jws } from './jws.ts';
import { JwtVerifier } from './jwt.ts';
import type { TrustedIssuer } from './jwt.ts';
import { insufficientScope, invalidToken, revocationUnknown } from './refusal.ts';
import { TokenCache } from './token-cache.ts';
import { traceRevocation, traceRevokedOpaque } from './trace.ts';
import { trustIssuers } from './trusted-issuers.ts';
import type { VerifiedToken } from './verified-token.ts';

/** Longest token that is looked at, bytes. */
const DEFAULT_MAX_TOKEN_BYTES = 8_192;

/** What the data plane asks of this room. */
export interface Authenticator {
  /**
   * From the request's credential headers to a caller that may use the operation, or a {@link GatewayFault}: thrown, or as a rejection.
   * Answers synchronously when the token is in the verified-token cache or its issuer's keys are at hand: the request path then holds no
   * promise.
   * @param authorization every value of the credential header, in order (more than one is refused)
   * @param scopes what the route asks for; any one is enough
   * @param requestId message id for the DEBUG trace
   */
  authenticate(
    authorization: readonly string[],
    scopes: readonly string[],
    requestId: string,
  ): Caller | Promise<Caller>;
}

/**
 * Makes the authenticator of one configuration: RFC 6750 bearer tokens, JWTs of the configured issuers and, with introspection, opaque
 * tokens. Keys of issuers with a JWK Set are fetched from now on in the background.
 * @throws OperatorError `ERR_ISSUER_KEY`, `ERR_ISSUER_TWICE`, `ERR_ISSUER_ALGORITHM`, `ERR_INTROSPECTION`
 */
export function createAuthenticator(
  options: AuthenticatorOptions,
): Authenticator & { close(): Promise<void> } {
  return new BearerAuthenticator(options);
}

class BearerAuthenticator implements Authenticator {
  readonly #issuers: readonly TrustedIssuer[];
  readonly #verifier: JwtVerifier;
  readonly #introspector: Introspector | undefined;
  readonly #cache: TokenCache;
  readonly #pending = new Map<string, Promise<VerifiedToken>>();
  readonly #revocations: RevocationCheck;
  readonly #log: Log;
  readonly #maxTokenBytes: number;
  readonly #now: () => number;

  constructor(options: AuthenticatorOptions) {
    const now = options.now ?? (() => systemClock.latest());
    const { clockSkewMs, longestTokenLifeMs, log, http } = options;
    this.#now = now;
    this.#log = log;
    this.#revocations = options.revocations;
    this.#maxTokenBytes = options.maxTokenBytes ?? DEFAULT_MAX_TOKEN_BYTES;
    this.#cache = new TokenCache(options.cache);
    this.#issuers = trustIssuers(options);
    const common = { clockSkewMs, longestTokenLifeMs, log, now };
    this.#verifier = new JwtVerifier({ ...common, issuers: this.#issuers });
    this.#introspector =
      options.introspection && new Introspector({ ...options.introspection, ...common, http });
  }

  authenticate(
    authorization: readonly string[],
    scopes: readonly string[],
    requestId: string,
  ): Caller | Promise<Caller> {
    const token = bearerToken(authorization, this.#maxTokenBytes);
    // What is in the cache was verified under its one spelling, so whatever has that spelling's digest needs no further look.
    const spelling = withoutPadding(token);
    const digest = digestOf(spelling);
    const cached = this.#cache.get(digest, this.#now());
    // An opaque token has no other spelling: there `=` is text like any other.
    if (cached !== undefined && (spelling === token || cached.caller.tokenType === 'jwt'))
      return this.#admit(cached, true, scopes, requestId);
    const jws = this.#decode(token);
    const exact = jws === undefined && spelling !== token ? digestOf(token) : digest;
    return this.#finish(token, jws, exact, scopes, requestId);
  }

  async close(): Promise<void> {
    this.#introspector?.close();
    await Promise.all(this.#issuers.map(({ ring }) => ring.close()));
    await Promise.allSettled(this.#pending.values());
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
  #finish(
    token: string,
    jws: Jws | undefined,
    digest: string,
    scopes: readonly string[],
    requestId: string,
  ): Caller | Promise<Caller> {
    const cached = this.#cache.get(digest, this.#now());
    if (cached !== undefined) return this.#admit(cached, true, scopes, requestId);
    const verified = this.#pending.get(digest) ?? this.#verify(token, jws, digest, requestId);
    return verified instanceof Promise
      ? verified.then((result) => this.#admit(result, false, scopes, requestId))
      : this.#admit(verified, false, scopes, requestId);
  }

  /** Verifies a token that the cache does not know. One that has to wait is verified once, for everyone who presents it meanwhile. */
  #verify(
    token: string,
    jws: Jws | undefined,
    digest: string,
    requestId: string,
  ): VerifiedToken | Promise<VerifiedToken> {
    const verified =
      jws === undefined ? this.#introspect(token, digest, requestId) : this.#verifier.verify(jws);
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

  #introspect(token: string, digest: string, requestId: string): Promise<VerifiedToken> {
    const introspector = this.#introspector;
    if (introspector === undefined)
      throw invalidToken('opaque, and no introspection is configured');
    // Before asking: a token that is known to be revoked is refused even while the key manager is down.
    const status = this.#revocations.check(introspector.identityBefore(token));
    if (status === 'revoked') {
      if (this.#log.debugEnabled) traceRevokedOpaque(this.#log, requestId);
      throw invalidToken('the token is revoked');
    }
    if (status === 'unknown') throw revocationUnknown();
    return introspector.introspect(token, digest);
  }

  /** The decisions that are taken anew for every request: revoked or not, and whether the scopes are enough. */
  #admit(
    verified: VerifiedToken,
    cached: boolean,
    scopes: readonly string[],
    requestId: string,
  ): Caller {
    const { caller } = verified;
    const status = this.#revocations.check(caller.identity);
    if (this.#log.debugEnabled)
      traceRevocation(this.#log, verified, { cached, revoked: status === 'revoked' }, requestId);
    if (status === 'revoked') throw invalidToken('the token is revoked');
    if (status === 'unknown') throw revocationUnknown();
    if (scopes.length > 0 && !scopes.some((scope) => caller.scopes.has(scope)))
      throw insufficientScope(scopes);
    return caller;
  }
}
