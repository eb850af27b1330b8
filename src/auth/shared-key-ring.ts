import type { KeyLookup, KeyRing, Renewal } from './key-ring.ts';
import { KeySet, readKeySet } from './key-set.ts';
import type { KeySetReading } from './remote-key-set.ts';

/** What somebody who was asked to renew an issuer's keys came to. */
export interface KeyRenewal {
  readonly renewal: Renewal;
  /** Until when asking again would bring the same, milliseconds of {@link SharedKeyRingOptions.monotonicNow}. */
  readonly holdsUntilMs: number;
}

export interface SharedKeyRingOptions {
  /** What keys without `alg` serve; absent: each type's default. */
  readonly algorithms?: readonly string[];
  /** The set as it is when this ring begins. */
  readonly reading: KeySetReading | undefined;
  /** Asks whoever reads the set to read it anew, if that is due. A set that came of it has reached {@link SharedKeyRing.take} before the answer. */
  readonly ask: () => Promise<KeyRenewal>;
  /** Milliseconds of a clock that never steps and is the reader's too. */
  readonly monotonicNow: () => number;
  /** Longest wait for an answer, milliseconds. Default 8 s: more than one fetch may take. */
  readonly waitMs?: number;
}

const WAIT_MS = 8_000;
/** What a client is told to wait when nobody answered, milliseconds. */
const RETRY_AFTER_MS = 2_000;

/**
 * The keys of one issuer in a thread that does not read them itself. Whoever reads them hands over each new set; here they are only
 * looked up, until they are too old. However many tokens name unknown keys, one question is under way at a time, and none is asked
 * while the last answer holds.
 */
export class SharedKeyRing implements KeyRing {
  readonly #options: SharedKeyRingOptions;
  #text: string | undefined;
  #set = new KeySet([]);
  #generation = 0;
  #usableUntilMs = Number.NEGATIVE_INFINITY;
  #last: KeyRenewal | undefined;
  #asking: Promise<Renewal> | undefined;

  constructor(options: SharedKeyRingOptions) {
    this.#options = options;
    if (options.reading !== undefined) this.take(options.reading);
  }

  /** A newer set, or the same one read again. One that cannot be read changes nothing: its reader would not have taken it either. */
  take({ text, generation, usableUntilMs }: KeySetReading): void {
    try {
      if (text !== this.#text) this.#set = readKeySet(text, this.#options.algorithms).set;
    } catch {
      return;
    }
    this.#text = text;
    this.#generation = generation;
    this.#usableUntilMs = usableUntilMs;
    // An answer that there are no keys does not hold any longer.
    if (this.#last?.renewal.outcome === 'unavailable') this.#last = undefined;
  }

  get generation(): number {
    return this.#generation;
  }

  counts(generation: number): boolean {
    return generation === this.#generation && !this.#tooOld();
  }

  lookUp(algorithm: string, kid: string | undefined): KeyLookup {
    return this.#tooOld() ? { outcome: 'absent' } : this.#set.lookUp(algorithm, kid);
  }

  async renew(): Promise<Renewal> {
    const leftMs = (this.#last?.holdsUntilMs ?? 0) - this.#options.monotonicNow();
    if (this.#asking === undefined && this.#last !== undefined && leftMs > 0)
      return this.#last.renewal.outcome === 'current'
        ? this.#last.renewal
        : { outcome: 'unavailable', retryAfterMs: leftMs };
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #tooOld(): boolean {
    return this.#options.monotonicNow() > this.#usableUntilMs;
  }

  async #ask(): Promise<Renewal> {
    const { ask, waitMs = WAIT_MS } = this.#options;
    const unanswered: Renewal = { outcome: 'unavailable', retryAfterMs: RETRY_AFTER_MS };
    const { promise: late, resolve: giveUp } = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => giveUp(undefined), waitMs);
    try {
      const answer = await Promise.race([ask(), late]);
      if (answer === undefined) return unanswered;
      this.#last = answer;
      return answer.renewal;
    } catch {
      return unanswered;
    } finally {
      clearTimeout(timer);
    }
  }
}
