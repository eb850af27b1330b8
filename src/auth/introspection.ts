import type { Log } from '../log.ts';
import type { HttpAnswer, HttpClient } from '../net/http-client.ts';
import { opaqueIdentity } from '../revocation/token-identity.ts';
import type { TokenIdentity } from '../revocation/token-identity.ts';
import { checkKind, checkNotBefore, checkTimes, clientOf, keyTypeOf, scopesOf } from './claims.ts';
import { QuestionLimit } from './question-limit.ts';
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

/** What a client is told to wait when the key manager cannot be asked, milliseconds. */
const RETRY_AFTER_MS = 2_000;

/** Milliseconds after which the same trouble is said again. */
const SAY_MS = 60_000;

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

/** Asks the key manager what an opaque token is. Caching of good answers is the verified-token cache's. */
export class Introspector {
  readonly #options: IntrospectorOptions;
  readonly #authorization: string;
  readonly #closing = new AbortController();
  readonly #inactiveUntilMs = new Map<string, number>();
  readonly #limit: QuestionLimit;
  /** What was wrong, and when that was said. */
  readonly #saidMs = new Map<string, number>();

  constructor(options: IntrospectorOptions) {
    this.#options = options;
    this.#limit = new QuestionLimit(options.monotonicNow);
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
   * @param client address of who sent it, which is held to a {@link QuestionLimit}
   * @throws GatewayFault 401 when the token is not active, 503 when the key manager gives no usable answer
   */
  async introspect(token: string, digest: string, client?: string): Promise<VerifiedToken> {
    const askedAtMs = this.#options.now();
    if (this.#isKnownInactive(digest, askedAtMs)) throw invalidToken('the token is not active');
    const answer = await this.#ask(token, client);
    const active = member(answer, 'active');
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

  /** @returns an answer that says whether the token is active */
  async #ask(token: string, client: string | undefined): Promise<JsonObject> {
    const notAsked = this.#limit.begin(client);
    if (notAsked !== undefined) throw this.#unavailable(notAsked.why, notAsked);
    let answered = false;
    try {
      const answer = await this.#post(token);
      const { status } = answer;
      if (status !== 200) {
        throw new Error(`status ${status}${status === 401 || status === 403 ? REFUSED : ''}`);
      }
      const json = parseJsonObject(Buffer.from(answer.body));
      if (json === undefined) throw new Error('an answer that is not one unambiguous JSON object');
      if (typeof member(json, 'active') !== 'boolean') throw new Error('an answer without active');
      answered = true;
      return json;
    } catch (error) {
      const why = error instanceof Error ? error.message : 'unknown failure';
      throw this.#unavailable(why, { cause: error });
    } finally {
      this.#limit.end(client, answered);
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
      // A kept connection may have been closed by its server.
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

  #unavailable(why: string, more: { waitMs?: number; cause?: unknown }): Error {
    const { log, monotonicNow } = this.#options;
    const nowMs = monotonicNow();
    const saidMs = this.#saidMs.get(why) ?? Number.NEGATIVE_INFINITY;
    if (nowMs - saidMs >= SAY_MS && !this.#closing.signal.aborted) {
      this.#saidMs.set(why, nowMs);
      log.warn(
        LOG_KEY,
        `opaque tokens cannot be checked, answering 503: the introspection endpoint gave ${why}`,
      );
    }
    return cannotKnow(`introspection: ${why}`, more.waitMs ?? RETRY_AFTER_MS, more.cause);
  }
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
