import type { UpstreamFailure } from './upstream-side.ts';

export interface CircuitBreakerOptions {
  /** Failures in a row that open it. */
  readonly failures: number;
  /** Milliseconds that it stays open the first time; each time that the probe fails after that, twice as long. */
  readonly openForMs: number;
}

/** The longest that it stays open, milliseconds. */
const LONGEST_OPEN_MS = 30_000;

/** It opens too when of so many calls within so long this part failed. */
const WINDOW_MS = 10_000;
const WINDOW_CALLS = 20;
const WINDOW_PART = 0.5;

/**
 * What says that an upstream is in trouble. `exhausted` is our own doing. `malformed` came from one that answers, and may be a client's doing:
 * what it sends can stand in the answer's head, and make it too long.
 */
const STRIKES: ReadonlySet<UpstreamFailure['kind']> = new Set(['connect', 'timeout', 'broken']);

/**
 * The circuit breaker of one origin, in one thread. An upstream that cannot be reached or does not answer is not asked for a while, so that
 * nobody waits for it and nothing piles up behind it; then one request tries again. What an upstream answers does not count, whatever its
 * status is: it answers.
 */
export class UpstreamHealth {
  readonly #options: CircuitBreakerOptions;
  readonly #random: () => number;
  #state: 'closed' | 'open' | 'probing' = 'closed';
  /** When one may try, milliseconds: the first one, or another beside one that is not answered yet. */
  #untilMs = 0;
  #openForMs: number;
  #inRow = 0;
  /** Of the current window. */
  #windowFromMs = Number.NEGATIVE_INFINITY;
  #calls = 0;
  #failed = 0;

  /** @param random from 0 to 1: threads and gateways do not try again at the same moment */
  constructor(options: CircuitBreakerOptions, random: () => number = Math.random) {
    this.#options = options;
    this.#openForMs = options.openForMs;
    this.#random = random;
  }

  get state(): 'closed' | 'open' | 'probing' {
    return this.#state;
  }

  /** Whether a call would be let through now. Changes nothing. */
  allows(nowMs: number): boolean {
    return this.#state === 'closed' || nowMs >= this.#untilMs;
  }

  /** Milliseconds until a call may be let through, at least. */
  waitMs(nowMs: number): number {
    return this.#state === 'closed' ? 0 : Math.max(0, this.#untilMs - nowMs);
  }

  /**
   * A call begins that {@link allows} let through. One that tries whether the upstream is back has as long as a pause to be answered; then
   * another one tries beside it, as a client may send its body as slowly as it likes, or ask for what takes long.
   * @returns whether it is one that tries
   */
  began(nowMs: number): boolean {
    if (this.#state === 'closed') return false;
    this.#state = 'probing';
    this.#pause(nowMs);
    return true;
  }

  /** An answer has begun. @returns whether the circuit is closed now and was not */
  succeeded(nowMs: number, probe: boolean): boolean {
    this.#inRow = 0;
    this.#count(nowMs, 0);
    if (!probe) return false; // asked before: says nothing of what a new call would get
    this.#state = 'closed';
    this.#openForMs = this.#options.openForMs;
    this.#windowFromMs = Number.NEGATIVE_INFINITY;
    return true;
  }

  /** A call failed before its answer began. @returns whether the circuit is open now and was closed */
  failed(kind: UpstreamFailure['kind'], nowMs: number, probe: boolean): boolean {
    if (!STRIKES.has(kind)) {
      this.abandoned(nowMs, probe);
      return false;
    }
    this.#inRow += 1;
    this.#count(nowMs, 1);
    if (probe && this.#state === 'probing') {
      this.#openForMs = Math.min(this.#openForMs * 2, LONGEST_OPEN_MS);
      this.#open(nowMs);
      return false;
    }
    const often = this.#calls >= WINDOW_CALLS && this.#failed >= this.#calls * WINDOW_PART;
    if (this.#state !== 'closed' || (!often && this.#inRow < this.#options.failures)) return false;
    this.#open(nowMs);
    return true;
  }

  /** Nothing came of a call that would say how the upstream is: its client left. Another may try. */
  abandoned(nowMs: number, probe: boolean): void {
    if (!probe || this.#state !== 'probing') return;
    this.#state = 'open';
    this.#untilMs = nowMs;
  }

  #open(nowMs: number): void {
    this.#state = 'open';
    this.#pause(nowMs);
  }

  #pause(nowMs: number): void {
    this.#untilMs = nowMs + this.#openForMs * (0.75 + 0.5 * this.#random());
  }

  #count(nowMs: number, failed: 0 | 1): void {
    if (nowMs - this.#windowFromMs >= WINDOW_MS) {
      this.#windowFromMs = nowMs;
      this.#calls = 0;
      this.#failed = 0;
    }
    this.#calls += 1;
    this.#failed += failed;
  }
}
