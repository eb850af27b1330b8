import type { Log } from '../log.ts';
import { jwtIdentity } from '../revocation/token-identity.ts';
import type { ClaimRules, ClaimTimes } from './claims.ts';
import { LIVES_TOO_LONG, checkClaims, checkTimes, checkType, issuerOf } from './claims.ts';
import { isSupportedAlgorithm } from './algorithm.ts';
import { isSignedBy } from './jws.ts';
import type { Jws } from './jws.ts';
import type { KeyRing, VerificationKey } from './key-ring.ts';
import { afterWork, cannotKnow, CostlyRefusal, invalidToken } from './refusal.ts';
import { parseJsonObject } from '../strict-json.ts';
import type { JsonObject } from '../strict-json.ts';
import type { VerifiedToken } from './verified-token.ts';
import { GatewayFault } from '../errors.ts';

const LOG_KEY = 'JWTAuthProvider';

/** Pause between two warnings about one issuer's long-lived tokens, milliseconds. */
const WARN_PAUSE_MS = 60_000;

/** One issuer whose JWTs are taken: its rules and its keys. */
export interface TrustedIssuer {
  readonly rules: ClaimRules;
  readonly ring: KeyRing;
}

interface JwtVerifierOptions {
  readonly issuers: readonly TrustedIssuer[];
  readonly clockSkewMs: number;
  readonly longestTokenLifeMs: number;
  /** Epoch milliseconds. */
  readonly now: () => number;
  readonly log: Log;
}

/**
 * Verifies JWTs (RFC 7519 section 7.2) with their own issuer's keys. Everything that costs little is checked before the signature, so
 * that junk costs little; what a token says is believed only after it.
 */
export class JwtVerifier {
  readonly #options: JwtVerifierOptions;
  readonly #issuers: ReadonlyMap<string, TrustedIssuer>;
  readonly #warnedAtMs = new Map<string, number>();

  constructor(options: JwtVerifierOptions) {
    this.#options = options;
    this.#issuers = new Map(options.issuers.map((issuer) => [issuer.rules.issuer, issuer]));
  }

  /**
   * Answers at once when the issuer's keys are at hand.
   * @throws GatewayFault 401, or 503 when the issuer's keys cannot be had
   */
  verify(jws: Jws): VerifiedToken | Promise<VerifiedToken> {
    if (!isSupportedAlgorithm(jws.algorithm)) throw invalidToken('alg is not supported');
    checkType(jws.typ);
    const claims = parseJsonObject(jws.payload);
    if (claims === undefined) throw invalidToken('the payload is not one unambiguous JSON object');
    const issuer = this.#issuers.get(issuerOf(claims));
    if (issuer === undefined) throw invalidToken('iss is none that is configured');
    if (jws.signature.length === 0) throw invalidToken('there is no signature');
    this.#rejectDead(claims, issuer.rules);
    const lookup = issuer.ring.lookUp(jws.algorithm, jws.kid);
    if (lookup.outcome === 'refused') throw invalidToken(lookup.reason);
    if (lookup.outcome === 'key') return this.#finish(jws, claims, issuer, lookup.key);
    return this.#verifyWithNewKeys(jws, claims, issuer);
  }

  /** The key is not known: asks the issuer once, if that is due. */
  async #verifyWithNewKeys(
    jws: Jws,
    claims: JsonObject,
    issuer: TrustedIssuer,
  ): Promise<VerifiedToken> {
    const renewal = await issuer.ring.renew();
    const lookup = issuer.ring.lookUp(jws.algorithm, jws.kid);
    if (lookup.outcome === 'refused') throw invalidToken(lookup.reason);
    if (lookup.outcome === 'key') return this.#finish(jws, claims, issuer, lookup.key);
    if (renewal.outcome === 'current') throw new CostlyRefusal('the issuer has no such key');
    throw cannotKnow("the issuer's keys cannot be had", renewal.retryAfterMs);
  }

  #finish(
    jws: Jws,
    claims: JsonObject,
    issuer: TrustedIssuer,
    key: VerificationKey,
  ): VerifiedToken {
    const nowMs = this.#options.now();
    if (key.notBeforeMs !== undefined && nowMs < key.notBeforeMs)
      throw invalidToken("the issuer's certificate is not valid yet");
    if (key.notAfterMs !== undefined && nowMs >= key.notAfterMs)
      throw invalidToken("the issuer's certificate has expired");
    const { generation } = issuer.ring;
    if (!isSignedBy(jws, key)) throw new CostlyRefusal('the signature is wrong');
    const checked = this.#check(jws, claims, issuer.rules, nowMs);
    const admittedUntilMs = checked.expiresAtMs + this.#options.clockSkewMs;
    const identity = jwtIdentity({
      issuer: issuer.rules.issuer,
      ...(checked.jti === undefined ? {} : { jti: checked.jti }),
      signingInput: jws.signingInput,
      signature: jws.signature,
      algorithm: jws.algorithm,
      claims,
      // Not the bare exp: a revocation must outlive the last moment at which the token would be admitted.
      expiresAtMs: admittedUntilMs,
    });
    return {
      caller: {
        tokenType: 'jwt',
        issuer: issuer.rules.issuer,
        subject: checked.subject,
        clientId: checked.clientId,
        scopes: checked.scopes,
        keyType: checked.keyType,
        identity,
        expiresAtMs: checked.expiresAtMs,
      },
      hasJti: checked.jti !== undefined,
      verifiedAtMs: nowMs,
      countsUntilMs: Math.min(admittedUntilMs, key.notAfterMs ?? admittedUntilMs),
      ring: issuer.ring,
      generation,
    };
  }

  #check(
    jws: Jws,
    claims: JsonObject,
    rules: ClaimRules,
    nowMs: number,
  ): ReturnType<typeof checkClaims> {
    try {
      return checkClaims(claims, rules, this.#times(nowMs));
    } catch (error) {
      if (error instanceof GatewayFault && error.detail === LIVES_TOO_LONG)
        this.#warnOfLongLife(rules.issuer, jws.kid, nowMs);
      throw afterWork(error);
    }
  }

  /** Before the signature is looked at: tokens that are dead whoever signed them. A life too long is left to {@link #check}, which believes it. */
  #rejectDead(claims: JsonObject, rules: ClaimRules): void {
    checkTimes(claims, rules.requireExp ?? true, {
      ...this.#times(this.#options.now()),
      longestTokenLifeMs: Number.MAX_SAFE_INTEGER,
    });
  }

  #times(nowMs: number): ClaimTimes {
    const { clockSkewMs, longestTokenLifeMs } = this.#options;
    return { nowMs, clockSkewMs, longestTokenLifeMs };
  }

  #warnOfLongLife(issuer: string, kid: string | undefined, nowMs: number): void {
    if (nowMs - (this.#warnedAtMs.get(issuer) ?? Number.NEGATIVE_INFINITY) < WARN_PAUSE_MS) return;
    this.#warnedAtMs.set(issuer, nowMs);
    this.#options.log.warn(
      LOG_KEY,
      `tokens of issuer ${issuer}, key ${kid ?? 'without kid'}, live longer than tokenRevocationConfig.longestTokenLife and are refused: revocations are not kept longer`,
    );
  }
}
