import type { Clock } from '../http1/wire.ts';

/** From one look to the next: a ninth of the shortest deadline, within these bounds. Milliseconds. */
const MIN_TICK_MS = 25;
const MAX_TICK_MS = 250;

/**
 * Ticks that one may count for, at most: so late a timer may be in an orderly event loop. When the thread or the machine stood still for longer,
 * nobody could be heard in that time: it is no one's silence.
 */
const LONGEST_TICK = 1.25;

/** Something that has deadlines. What it compares them with is stamped by {@link Sweep.clock}, or by its own sweeps. */
export interface Swept {
  /**
   * Looks for what is past its deadline.
   * @param nowMs milliseconds of a clock that is never set back
   * @param lateMs how much later than it should this comes, milliseconds
   */
  sweep(nowMs: number, lateMs: number): void;
}

/**
 * The one timer of a thread's connections, and the one clock of what they wait for. Who waits stores what for and since when, by that clock, and is
 * looked at a few times a second; only bodies and tunnels, which may be silent for long, have timers of their own.
 */
export class Sweep {
  /** A tick ahead of the sweeps, so that nothing which begins before the next is stamped earlier than it began. */
  readonly clock: Clock;
  readonly #clock: { nowMs: number };
  /** Moves with the ticks; stands still between them. */
  #nowMs: number;
  #tickMs = MIN_TICK_MS;
  readonly #failed: (error: unknown) => void;
  readonly #time: () => number;
  readonly #parts = new Set<Swept>();
  #tickedMs: number;
  #lateMs = 0;
  #timer: NodeJS.Timeout | undefined;
  /** The look that is to come in this turn of the event loop. */
  #look: NodeJS.Immediate | undefined;

  /**
   * @param failed told what a part has thrown; the others are looked at nevertheless
   * @param time milliseconds of a clock that is never set back
   */
  constructor(failed: (error: unknown) => void, time: () => number = () => performance.now()) {
    this.#failed = failed;
    this.#time = time;
    this.#tickedMs = time();
    this.#nowMs = this.#tickedMs;
    this.#clock = { nowMs: this.#nowMs };
    this.clock = this.#clock;
    this.#stamp();
  }

  /** @returns takes it out again */
  add(part: Swept): () => void {
    this.#parts.add(part);
    return () => this.#parts.delete(part);
  }

  /** Looks so often from now on, milliseconds. */
  every(tickMs: number): void {
    if (tickMs === this.#tickMs) return;
    this.#tickMs = tickMs;
    this.#stamp();
    if (this.#timer === undefined) return;
    this.stop();
    this.start();
  }

  /** Does not keep the process alive. */
  start(): void {
    if (this.#timer !== undefined) return;
    this.#tickedMs = this.#time();
    this.#timer = setInterval(() => this.#tick(), this.#tickMs).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    clearImmediate(this.#look);
    this.#timer = undefined;
    this.#look = undefined;
  }

  /** Moves the time: the first half of a tick. */
  move(): void {
    const time = this.#time();
    const passedMs = time - this.#tickedMs;
    this.#lateMs = Math.max(0, passedMs - this.#tickMs);
    this.#nowMs += Math.min(passedMs, LONGEST_TICK * this.#tickMs);
    this.#tickedMs = time;
    this.#stamp();
  }

  /** Has every part look: the second half, once all is heard that was there to be heard. */
  look(): void {
    this.#look = undefined;
    for (const part of this.#parts) {
      try {
        part.sweep(this.#nowMs, this.#lateMs);
      } catch (error) {
        this.#failed(error);
      }
    }
  }

  /** What the timer does. It runs before the event loop reads its sockets, an immediate after that. */
  #tick(): void {
    if (this.#look !== undefined) return; // nothing was read since
    this.move();
    this.#look = setImmediate(() => this.look());
  }

  #stamp(): void {
    const nextMs = this.#nowMs + LONGEST_TICK * this.#tickMs;
    this.#clock.nowMs = Math.max(this.#clock.nowMs, nextMs);
  }
}

/**
 * How often to look, so that no deadline is missed by more than a quarter of it: by one tick, which may be the longest, as what began between two is
 * stamped, and by one as it ends between two.
 * @param deadlines milliseconds; 0 is none
 */
export function tickFor(deadlines: readonly number[]): number {
  const shortest = Math.min(...deadlines.filter((deadline) => deadline > 0), 9 * MAX_TICK_MS);
  return Math.max(MIN_TICK_MS, shortest / 9);
}
