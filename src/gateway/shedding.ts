import { getHeapSpaceStatistics, getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { resourceLimits } from 'node:worker_threads';
import { GatewayFault } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Exchange } from './exchange.ts';
import type { Life } from './generation.ts';
import { reject } from './reject.ts';
import { Seldom } from './seldom.ts';

export interface LoadSheddingOptions {
  /** So much of its heap a thread may use, percent. */
  readonly heapPercent: number;
}

/** Percent of the heap below the bound, at which requests are served again. */
const RECOVERY = 10;

/** Milliseconds between two collections that are done to see what of the heap is really in use: each stops the thread. */
const COLLECT_MS = 5_000;

/** A sweep that comes so much later than it should is late, milliseconds; so many in a row mean that the thread is behind. */
const LATE_MS = 500;
const LATE_SWEEPS = 4;

/** Milliseconds in time after which it is not behind any more. */
const IN_TIME_MS = 1_000;

/** Milliseconds between two lines of the log. */
const SAY_MS = 60_000;

/** The heap of a thread. */
export interface Heap {
  /** The part of what it may have for long-lived objects that is in use, garbage included: 0 to 1. */
  used(): number;
  /** Takes out the garbage, all of it. */
  collect(): void;
}

/**
 * Refuses requests before a thread runs out of memory, or when it is so far behind that answers come too late for anybody. A refusal is cheap:
 * nothing of the request is read. Of bodies no more is held than the windows and buffers of their connections, so what fills a heap is what many requests
 * have under way.
 */
export class Shedding {
  readonly #life: Life;
  readonly #options: () => LoadSheddingOptions | undefined;
  readonly #log: Log;
  readonly #heap: Heap;
  readonly #seldom: Seldom;
  #full = false;
  #behind = false;
  #lateSweeps = 0;
  /** Of the sweeps' clock. */
  #lateAtMs = 0;
  #collectedAtMs = Number.NEGATIVE_INFINITY;

  /**
   * @param life told whether requests are refused
   * @param options what holds now; undefined: nothing is refused
   * @param now milliseconds of a clock that is never set back, for the log
   */
  constructor(
    life: Life,
    options: () => LoadSheddingOptions | undefined,
    log: Log,
    heap: Heap = OWN_HEAP,
    now?: () => number,
  ) {
    this.#life = life;
    this.#options = options;
    this.#log = log;
    this.#heap = heap;
    this.#seldom = new Seldom(SAY_MS, now);
  }

  /** As {@link Swept.sweep}. */
  sweep(nowMs: number, lateMs: number): void {
    const options = this.#options();
    this.#lookAtTime(nowMs, lateMs);
    this.#full = options !== undefined && this.#isFull(nowMs, options.heapPercent);
    const sheds = options !== undefined && (this.#full || this.#behind);
    if (sheds === this.#life.shedding) return;
    this.#life.shedding = sheds;
    if (!sheds) {
      this.#log.info('Gateway', 'requests are served again');
    } else if (this.#seldom.happened() !== undefined) {
      const why = this.#full
        ? `${Math.round(this.#heap.used() * 100)} % of this thread's heap are in use`
        : 'this thread is behind';
      this.#log.warn('Gateway', `${why}: requests are answered 503 for now`);
    }
  }

  #lookAtTime(nowMs: number, lateMs: number): void {
    if (lateMs > LATE_MS) {
      this.#lateSweeps += 1;
      this.#lateAtMs = nowMs;
      if (this.#lateSweeps >= LATE_SWEEPS) this.#behind = true;
      return;
    }
    this.#lateSweeps = 0;
    if (nowMs - this.#lateAtMs >= IN_TIME_MS) this.#behind = false;
  }

  #isFull(nowMs: number, percent: number): boolean {
    const bound = (this.#full ? percent - RECOVERY : percent) / 100;
    if (this.#heap.used() < bound) return false;
    // What is in use may be garbage, which is left lying until there is a need: while all is refused there is none.
    if (nowMs - this.#collectedAtMs < COLLECT_MS) return true;
    this.#collectedAtMs = nowMs;
    this.#heap.collect();
    return this.#heap.used() >= bound;
  }
}

/** Paths that are answered all the same: the process lives, and says itself that it is not ready. */
const ANSWERED = /^\/(?:health|ready)(?:\?|$)/;

/** Refuses a request of which nothing is read but its target. @returns false: this one is to be answered */
export function shed(exchange: Exchange): boolean {
  if (ANSWERED.test(exchange.target)) return false;
  exchange.plane.observer.tally('requestsShed');
  const fault = new GatewayFault('serviceUnavailable', 'too much is under way', {
    retryAfterSeconds: 1,
    unsaid: true,
  });
  reject(exchange, fault);
  return true;
}

let gc: (() => void) | undefined;

const OWN_HEAP: Heap = {
  used() {
    const { used_heap_size, heap_size_limit } = getHeapStatistics();
    // A thread ends when its old generation is full: the young one, which is emptied all the time, has room of its own.
    const young = getHeapSpaceStatistics()
      .filter(({ space_name }) => space_name.startsWith('new_'))
      .reduce((total, { space_used_size }) => total + space_used_size, 0);
    const youngLimit = (resourceLimits.maxYoungGenerationSizeMb ?? 0) * 1_048_576;
    return (used_heap_size - young) / (heap_size_limit - youngLimit);
  },
  collect() {
    gc ??= collector();
    gc();
  },
};

/** V8 gives its collector to contexts that are made while the flag is set. */
function collector(): () => void {
  setFlagsFromString('--expose-gc');
  try {
    return runInNewContext('gc') as () => void;
  } finally {
    setFlagsFromString('--no-expose-gc');
  }
}
