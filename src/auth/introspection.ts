import type { Log } from '../log.ts';
import type { HttpAnswer, HttpClient } from '../net/http-client.ts';
import { CallFailure } from '../net/http-failure.ts';
import { EndpointPause } from './endpoint-pause.ts';
import { opaqueIdentity } from '../revocation/token-identity.ts';
import type { TokenIdentity } from '../revocation/token-identity.ts';
import { checkKind, checkNotBefore, checkTimes, clientOf, keyTypeOf, scopesOf } from './claims.ts';
import { afterWork, cannotKnow, CostlyRefusal, invalidToken } from './refusal.ts';
import { member, parseJsonObject } from '../strict-json.ts';
import type { JsonObject } from '../strict-json.ts';
import type { VerifiedToken } from './verified-token.ts';

const LOG_KEY = 'TokenIntrospection';

/** Bytes of one introspection answer. */
const MAX_BYTES = 64 * 1_024;

/** Tokens remembered as inactive, so that one that is sent again and again does not reach the key manager each time. */
const MAX_INACTIVE = 1_000;
const INACTIVE_FOR_MS = 3_000;

/** Introspections in flight; more are answered 503 at once instead of piling up behind a slow key manager. */
const MAX_IN_FLIGHT = 512;

/** What a client is told to wait when the key manager cannot be asked, milliseconds. */
const RETRY_AFTER_MS = 2_000;

/** What 401 and 403 mean here, and what mends it. */
const REFUSED =
  ": it refuses the gateway's own name and password. Set username and password of [keymanager.security.basic] in micro-gw.conf, or enabled = false there, which refuses opaque tokens";

/** The key manager's introspection endpoint (RFC 7662), which knows opaque tokens. */
export interface IntrospectionOptions {
  readonly url: string;
  /** Name and password for HTTP Basic (RFC 7617). */
  readonly username: string;
  readonly password: string;
  /** Milliseconds for which an answer is used again, at most; never beyond the token's `exp`. */
  readonly maxAgeMs: number;
  /** Issuer that the key manager's tokens count as, for revocations that name one. */
  readonly issuer?: string;
  /** Milliseconds for one whole exchange. Default 5,000. */
  readonly timeoutMs?: number;
}

interface IntrospectorOptions extends IntrospectionOptions {
  readonly http: HttpClient;
  readonly log: Log;
  readonly clockSkewMs: number;
  readonly longestTokenLifeMs: number;
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** Milliseconds of a clock that never steps. */
  readonly monotonicNow: () => number;
}

/** An answer with another status than 200. */
class OtherStatus extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`status ${status}${status === 401 || status === 403 ? REFUSED : ''}`);
    this.status = status;
  }
}

/** Asks the key manager what an opaque token is. Caching of good answers is the verified-token cache's. */
export class Introspector {
  readonly #options: IntrospectorOptions;
  readonly #authorization: string;
  readonly #closing = new AbortController();
  readonly #inactiveUntilMs = new Map<string, number>();
  readonly #pause = new EndpointPause();
  /** What was wrong since the last good answer: each thing is said once. */
  readonly #said = new Set<string>();
  #inFlight = 0;

  constructor(options: IntrospectorOptions) {
    this.#options = options;
    const credentials = Buffer.from(`${options.username}:${options.password}`).toString('base64');
    this.#authorization = `Basic ${credentials}`;
  }

  /**
   * What the token can be known by before anyone was asked about it: its digest. Nobody knows its end then, so a revocation that it hits
   * is kept for the longest life from now.
   */
  identityBefore(token: string): TokenIdentity {
    const { now, longestTokenLifeMs } = this.#options;
    return this.#identity(token, now() + longestTokenLifeMs);
  }

  /**
   * @param digest SHA-256 of the token, for the memory of inactive ones
   * @throws GatewayFault 401 when the token is not active, 503 when the key manager gives no usable answer
   */
  async introspect(token: string, digest: string): Promise<VerifiedToken> {
    const askedAtMs = this.#options.now();
    if (this.#isKnownInactive(digest, askedAtMs)) throw invalidToken('the token is not active');
    const answer = await this.#ask(token);
    const active = member(answer, 'active');
    if (typeof active !== 'boolean') throw this.#unavailable('an answer without active');
    this.#said.clear();
    if (!active) {
      this.#rememberInactive(digest, askedAtMs);
      throw new CostlyRefusal('the token is not active');
    }
    try {
      return this.#verified(token, answer, askedAtMs);
    } catch (error) {
      throw afterWork(error);
    }
  }

  close(): void {
    this.#closing.abort();
  }

  async #ask(token: string): Promise<JsonObject> {
    const { monotonicNow } = this.#options;
    if (this.#inFlight >= MAX_IN_FLIGHT) throw this.#unavailable('too many introspections at once');
    const turn = this.#pause.begin(monotonicNow());
    if (turn === undefined)
      throw cannotKnow('introspection: it failed a moment ago', RETRY_AFTER_MS);
    this.#inFlight += 1;
    try {
      const answer = await this.#post(token);
      if (answer.status !== 200) throw new OtherStatus(answer.status);
      this.#pause.succeeded();
      const json = parseJsonObject(Buffer.from(answer.body));
      if (json === undefined) throw new Error('an answer that is not one unambiguous JSON object');
      return json;
    } catch (error) {
      if (isOfEndpoint(error)) this.#pause.failed(turn, monotonicNow());
      throw this.#unavailable(error instanceof Error ? error.message : 'unknown failure', error);
    } finally {
      this.#pause.ended(turn);
      this.#inFlight -= 1;
    }
  }

  async #post(token: string): Promise<HttpAnswer> {
    const { http, url, timeoutMs = 5_000 } = this.#options;
    return await http.request({
      method: 'POST',
      url,
      headers: {
        authorization: this.#authorization,
        'content-type': 'application/x-www-form-urlencoded',
        accept: 'application/json',
      },
      body: new URLSearchParams({ token }).toString(),
      // So that a kept connection that its server has closed is not taken for one that fails.
      safe: true,
      timeoutMs,
      maxBytes: MAX_BYTES,
      signal: this.#closing.signal,
    });
  }

  #verified(token: string, answer: JsonObject, askedAtMs: number): VerifiedToken {
    const { clockSkewMs, longestTokenLifeMs, maxAgeMs, issuer, now } = this.#options;
    const times = { nowMs: now(), clockSkewMs, longestTokenLifeMs };
    checkKind(answer);
    checkNotBefore(answer, times);
    // RFC 7662 section 2.2 leaves exp and iat to the server. Without both its word alone bounds the token's life.
    const isTimed = member(answer, 'exp') !== undefined || member(answer, 'iat') !== undefined;
    const expiresAtMs = isTimed
      ? checkTimes(answer, false, times)
      : times.nowMs + longestTokenLifeMs;
    const jti = textOf(answer, 'jti');
    const answeredIssuer = textOf(answer, 'iss');
    return {
      caller: {
        tokenType: 'opaque',
        issuer: answeredIssuer ?? issuer,
        subject: textOf(answer, 'sub') ?? textOf(answer, 'username'),
        clientId: clientOf(answer, undefined),
        scopes: scopesOf(answer),
        keyType: keyTypeOf(answer),
        identity: {
          ...this.#identity(token, expiresAtMs + clockSkewMs, jti, answeredIssuer),
          claims: withSubject(answer),
        },
        expiresAtMs,
      },
      hasJti: jti !== undefined,
      verifiedAtMs: askedAtMs,
      countsUntilMs: Math.min(expiresAtMs, askedAtMs + maxAgeMs),
      generation: 0,
    };
  }

  /** Under both issuers where the answer names another than is configured: a revocation may name either. */
  #identity(
    token: string,
    expiresAtMs: number,
    jti?: string,
    answeredIssuer?: string,
  ): TokenIdentity {
    const issuers = new Set([this.#options.issuer, answeredIssuer]);
    return opaqueIdentity({
      token,
      expiresAtMs,
      issuers: [...issuers].filter((each) => each !== undefined),
      ...(jti === undefined ? {} : { jti }),
    });
  }

  #isKnownInactive(digest: string, nowMs: number): boolean {
    const untilMs = this.#inactiveUntilMs.get(digest);
    if (untilMs === undefined) return false;
    if (nowMs < untilMs && nowMs >= untilMs - INACTIVE_FOR_MS) return true;
    this.#inactiveUntilMs.delete(digest);
    return false;
  }

  #rememberInactive(digest: string, nowMs: number): void {
    this.#inactiveUntilMs.delete(digest);
    if (this.#inactiveUntilMs.size >= MAX_INACTIVE) {
      const oldest = this.#inactiveUntilMs.keys().next();
      if (oldest.done !== true) this.#inactiveUntilMs.delete(oldest.value);
    }
    this.#inactiveUntilMs.set(digest, nowMs + INACTIVE_FOR_MS);
  }

  #unavailable(why: string, cause?: unknown): Error {
    if (!this.#said.has(why) && !this.#closing.signal.aborted) {
      this.#said.add(why);
      this.#options.log.warn(
        LOG_KEY,
        `opaque tokens cannot be checked, answering 503: the introspection endpoint gave ${why}`,
      );
    }
    return cannotKnow(`introspection: ${why}`, RETRY_AFTER_MS, cause);
  }
}

/**
 * Whether a failure is the endpoint's, so that it is asked nothing for a while. What a client could bring about with a token of its own is
 * not: a status such as 400 or 414, an answer that cannot be read.
 */
function isOfEndpoint(error: unknown): boolean {
  if (error instanceof OtherStatus)
    return [401, 403, 429].includes(error.status) || error.status >= 500;
  return error instanceof CallFailure && !error.answered;
}

/** The answer's claims for rules. Where `sub` is missing, `username` (RFC 7662 section 2.2) is what people call the subject. */
function withSubject(answer: JsonObject): JsonObject {
  const username = textOf(answer, 'username');
  return textOf(answer, 'sub') === undefined && username !== undefined
    ? { ...answer, sub: username }
    : answer;
}

function textOf(answer: JsonObject, name: string): string | undefined {
  const value = member(answer, name);
  return typeof value === 'string' && value !== '' ? value : undefined;
}
