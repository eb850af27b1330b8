import type { CallCount } from './call-count.ts';
import type { Work } from './exchange.ts';

/** Requests that may wait for one origin, in one thread. */
const MAX_WAITING = 1_000;

/** A request that waits. */
interface Waiter extends Work {
  /** When a sweep saw it first, milliseconds of its clock. */
  sinceMs: number | undefined;
  readonly begin: () => void;
  readonly giveUp: () => void;
}

/**
 * Bounds the calls to one origin, of all threads together: those that find no room wait for their turn, first come, first served, if there
 * is a time for it. A thread hears of its own calls' ends at once, and of other threads' with the next sweep.
 */
export class CallQueue {
  /** Calls that may be under way. */
  readonly maxActive: number;
  /** Milliseconds that a request may wait; 0: none does. */
  readonly waitMs: number;
  readonly #calls: CallCount;
  readonly #waiting = new Set<Waiter>();
  #woken = false;

  constructor(calls: CallCount, maxActive: number, waitMs: number) {
    this.#calls = calls;
    this.maxActive = maxActive;
    this.waitMs = waitMs;
  }

  /** There is room for a call, and nobody waits for it. */
  get hasRoom(): boolean {
    return this.#waiting.size === 0 && this.#calls.all < this.maxActive;
  }

  /**
   * Takes a request in. Unless its client leaves, or somebody else answers it, exactly one of the two is called, later.
   * @param begin there is room for its call
   * @param giveUp there was none in time
   * @returns false: it may not wait
   */
  wait(exchange: { work: Work | undefined }, begin: () => void, giveUp: () => void): boolean {
    if (this.waitMs === 0 || this.#waiting.size >= MAX_WAITING) return false;
    const waiter: Waiter = {
      sinceMs: undefined,
      begin,
      giveUp,
      onGone: () => void this.#waiting.delete(waiter),
      onDrained() {
        // Nothing of its answer is there yet.
      },
    };
    this.#waiting.add(waiter);
    exchange.work = waiter;
    return true;
  }

  /** A call has ended. Who has its place begins when whoever says so is done with the old one. */
  ended(): void {
    if (this.#waiting.size === 0 || this.#woken) return;
    this.#woken = true;
    queueMicrotask(() => {
      this.#woken = false;
      this.#beginNext();
    });
  }

  /** @param nowMs milliseconds of a clock that is never set back */
  sweep(nowMs: number): void {
    for (const waiter of this.#waiting) {
      waiter.sinceMs ??= nowMs;
      if (nowMs - waiter.sinceMs < this.waitMs) continue;
      this.#waiting.delete(waiter);
      waiter.giveUp();
    }
    this.#beginNext();
  }

  #beginNext(): void {
    for (const waiter of this.#waiting) {
      if (this.#calls.all >= this.maxActive) break;
      this.#waiting.delete(waiter);
      waiter.begin();
    }
  }
}
