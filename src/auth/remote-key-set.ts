import type { Log } from '../log.ts';
import type { HttpClient } from '../net/http-client.ts';
import type { KeyLookup, KeyRing, Renewal } from './key-ring.ts';
import { KeySet, readKeySet } from './key-set.ts';

const LOG_KEY = 'IssuerKeys';

/** Bytes of a keys endpoint's answer: 100 RSA keys of 4,096 bits are about 80 KB. */
const MAX_BYTES = 256 * 1_024;

/** All in milliseconds. */
export interface KeySetTimings {
  /** How often keys are read anew in the background. Default 5 min. */
  readonly refreshMs?: number;
  /** At most one refresh in this time because of a token's unknown `kid`. Default 10 s. */
  readonly cooldownMs?: number;
  /** How long keys are used after a refresh was due and none succeeded. Default 24 h. */
  readonly maxStaleMs?: number;
  /** Pause after the first failure; doubles up to the longest, with jitter. Default 1 s, 60 s. */
  readonly firstPauseMs?: number;
  readonly longestPauseMs?: number;
  /** For one whole fetch. Default 5 s. */
  readonly timeoutMs?: number;
}

/** A JWK Set as its issuer published it. */
export interface KeySetText {
  readonly text: string;
  /** When it was read, epoch milliseconds. */
  readonly readAtMs: number;
}

/** A JWK Set on its way to a thread that did not read it itself. */
export interface KeySetReading {
  readonly text: string;
  /** Grows whenever a key was dropped. */
  readonly generation: number;
  /** Until when its keys may be used, milliseconds of the clock that {@link RemoteKeySet} was given. */
  readonly usableUntilMs: number;
}

interface RemoteKeySetOptions {
  readonly issuer: string;
  readonly url: string;
  /** What keys without `alg` serve; absent: each type's default. */
  readonly algorithms?: readonly string[];
  readonly http: HttpClient;
  readonly log: Log;
  readonly timings?: KeySetTimings;
  /** The set as it was read before this start. */
  readonly initial?: KeySetText;
  readonly onRead?: (reading: KeySetText) => void;
  /** Milliseconds of a clock that never steps. */
  readonly monotonicNow: () => number;
}

/**
 * The keys of one issuer that publishes a JWK Set: read at once, then in the background, one fetch in flight at a time. A failure keeps
 * the last good keys up to a bound and is retried with growing, jittered pauses, however many tokens ask meanwhile. An empty or
 * unreadable set never replaces a good one; a good set that has dropped a key drops it at once.
 */
export class RemoteKeySet implements KeyRing {
  readonly #options: RemoteKeySetOptions;
  readonly #timings: Required<KeySetTimings>;
  readonly #closing = new AbortController();
  #generation = 0;
  #set = new KeySet([]);
  #text: string | undefined;
  #readAtMs = Number.NEGATIVE_INFINITY;
  #nextFetchAtMs = Number.NEGATIVE_INFINITY;
  #failures = 0;
  #fetching: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #said = '';

  constructor(options: RemoteKeySetOptions) {
    this.#options = options;
    this.#timings = {
      refreshMs: 300_000,
      cooldownMs: 10_000,
      maxStaleMs: 86_400_000,
      firstPauseMs: 1_000,
      longestPauseMs: 60_000,
      timeoutMs: 5_000,
      ...options.timings,
    };
    if (options.initial !== undefined) this.#begin(options.initial);
    void this.#fetch();
  }

  get generation(): number {
    return this.#generation;
  }

  /** What was read last, for others to verify with; undefined before the first time. */
  get reading(): KeySetReading | undefined {
    if (this.#text === undefined) return undefined;
    return {
      text: this.#text,
      generation: this.#generation,
      usableUntilMs: this.#readAtMs + this.#usableForMs,
    };
  }

  /** Until when {@link renew} would not ask the issuer again, milliseconds of the monotonic clock. */
  get asksAgainAtMs(): number {
    return this.#nextFetchAtMs;
  }

  counts(generation: number): boolean {
    return generation === this.#generation && !this.#tooOld();
  }

  lookUp(algorithm: string, kid: string | undefined): KeyLookup {
    return this.#tooOld() ? { outcome: 'absent' } : this.#set.lookUp(algorithm, kid);
  }

  async renew(): Promise<Renewal> {
    const due = this.#options.monotonicNow() >= this.#nextFetchAtMs;
    if (this.#fetching !== undefined || (due && !this.#closing.signal.aborted)) await this.#fetch();
    if (this.#failures === 0 && !this.#tooOld()) return { outcome: 'current' };
    const pauseMs = this.#nextFetchAtMs - this.#options.monotonicNow();
    return { outcome: 'unavailable', retryAfterMs: Math.max(0, pauseMs) };
  }

  async close(): Promise<void> {
    this.#closing.abort();
    clearTimeout(this.#timer);
    await this.#fetching;
  }

  get #usableForMs(): number {
    return this.#timings.refreshMs + this.#timings.maxStaleMs;
  }

  #tooOld(): boolean {
    return this.#options.monotonicNow() - this.#readAtMs > this.#usableForMs;
  }

  /** Takes the set of an earlier start, if it is not too old. The clock may have been set back since: nothing is younger than now. */
  #begin({ text, readAtMs }: KeySetText): void {
    const { issuer, algorithms, monotonicNow } = this.#options;
    const ageMs = Math.max(0, Date.now() - readAtMs);
    if (!(ageMs <= this.#usableForMs)) return;
    try {
      const { set } = readKeySet(text, algorithms);
      this.#set = set;
      this.#text = text;
      this.#readAtMs = monotonicNow() - ageMs;
      const ageS = Math.round(ageMs / 1_000);
      this.#say('info', `${set.size} keys of issuer ${issuer} kept from ${ageS} s ago are used`);
    } catch (error) {
      const why = error instanceof Error ? error.message : 'unknown failure';
      this.#say('warn', `the kept keys of issuer ${issuer} cannot be used: ${why}`);
    }
  }

  /** Joins the fetch in flight or starts one. Never rejects. */
  #fetch(): Promise<void> {
    this.#fetching ??= this.#readOnce().finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  async #readOnce(): Promise<void> {
    const { issuer, url, algorithms, monotonicNow } = this.#options;
    clearTimeout(this.#timer);
    try {
      const body = await this.#request();
      const { set, dropped } = readKeySet(body, algorithms);
      if (!set.keepsAllOf(this.#set)) this.#generation += 1;
      this.#set = set;
      this.#text = body;
      this.#readAtMs = monotonicNow();
      this.#failures = 0;
      this.#nextFetchAtMs = this.#readAtMs + this.#timings.cooldownMs;
      const unused = dropped.length === 0 ? '' : `; not used: ${dropped.slice(0, 5).join('; ')}`;
      this.#say('info', `${set.size} keys of issuer ${issuer} read from ${hostOf(url)}${unused}`);
      this.#schedule(jittered(this.#timings.refreshMs));
      this.#options.onRead?.({ text: body, readAtMs: Date.now() });
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      const pauseMs = this.#pauseMs();
      this.#failures += 1;
      this.#nextFetchAtMs = monotonicNow() + pauseMs;
      const why = error instanceof Error ? error.message : 'unknown failure';
      this.#say('warn', `keys of issuer ${issuer} cannot be read from ${hostOf(url)}: ${why}`);
      this.#schedule(pauseMs);
    }
  }

  async #request(): Promise<string> {
    const answer = await this.#options.http.request({
      method: 'GET',
      url: this.#options.url,
      headers: { accept: 'application/jwk-set+json, application/json' },
      timeoutMs: this.#timings.timeoutMs,
      maxBytes: MAX_BYTES,
      signal: this.#closing.signal,
    });
    if (answer.status !== 200) throw new Error(`answered with status ${answer.status}`);
    return answer.body;
  }

  #pauseMs(): number {
    const { firstPauseMs, longestPauseMs } = this.#timings;
    return jittered(Math.min(longestPauseMs, firstPauseMs * 2 ** Math.min(this.#failures, 30)));
  }

  #schedule(delayMs: number): void {
    if (this.#closing.signal.aborted) return;
    this.#timer = setTimeout(() => void this.#fetch(), delayMs);
    this.#timer.unref();
  }

  /** Says each thing once, not with every refresh. */
  #say(level: 'info' | 'warn', message: string): void {
    if (message === this.#said) return;
    this.#said = message;
    this.#options.log[level](LOG_KEY, message);
  }
}

/** Between half and the whole of a pause, so that gateways that failed together do not come back together. */
function jittered(pauseMs: number): number {
  return pauseMs * (0.5 + Math.random() / 2);
}

/** Where a URL points, without the user name, password and query it may hold. */
function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : 'its URL';
}
