import { performance } from 'node:perf_hooks';
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';

/** Share of its time that this thread may spend on long work. */
const SHARE = 1 / 3;
/** Milliseconds of work that may be done on top of it before there is a rest. */
const AHEAD_MS = 1;
/** No rest is longer, milliseconds: what else this thread is busy with must not starve who rests. */
const LONGEST_REST_MS = 20;

/** What a {@link Pace} goes by. All are milliseconds. */
export interface PaceMeter {
  readonly now: () => number;
  /** How long this thread was not idle. */
  readonly active: () => number;
  /** 0: until the others on this thread had their turn. */
  readonly pause: (ms: number) => Promise<unknown>;
}

const THREAD: PaceMeter = {
  now: () => performance.now(),
  active: () => performance.eventLoopUtilization().active,
  pause: (ms) => (ms > 0 ? pause(ms) : nextTurn()),
};

/**
 * Keeps long work of this thread (a store with millions of revocations to tell of) from taking processors away from the threads that answer
 * requests: after each piece a rest twice as long as the piece. It counts all that the thread does, so that two who work in turns get no more than one.
 */
export class Pace {
  readonly #meter: PaceMeter;
  #active: number;
  #at: number;
  /** Milliseconds by which this thread has worked more than its share. */
  #ahead = 0;

  constructor(meter = THREAD) {
    this.#meter = meter;
    this.#active = meter.active();
    this.#at = meter.now();
  }

  /** Resolves when more may be done. Call it between pieces of at most a millisecond. */
  async rest(): Promise<void> {
    const [active, now] = [this.#meter.active(), this.#meter.now()];
    const ahead = this.#ahead + (active - this.#active) - (now - this.#at) * SHARE;
    this.#ahead = Math.min(Math.max(ahead, 0), LONGEST_REST_MS * SHARE);
    this.#active = active;
    this.#at = now;
    await this.#meter.pause(this.#ahead > AHEAD_MS ? this.#ahead / SHARE : 0);
  }
}
