/** From one look to the next: an eighth of the shortest deadline, within these bounds. Milliseconds. */
const MIN_TICK_MS = 25;
const MAX_TICK_MS = 250;

/**
 * The most that the clock moves in one tick. When the thread or the machine stood still for longer, nobody could be heard in that time: it
 * is no one's silence.
 */
const MAX_STEP_MS = 2_000;

/** Something that has deadlines. */
export interface Swept {
  /**
   * Looks for what is past its deadline.
   * @param nowMs milliseconds of a clock that is never set back
   * @param nextMs when it looks again: what begins until then is taken to begin then, so that no deadline is over too early
   * @param lateMs how much later than it should this comes, milliseconds
   */
  sweep(nowMs: number, nextMs: number, lateMs: number): void;
}

/**
 * The one timer of a thread's connections. Who waits stores what for and since when, by what it was told last, and is looked at a few times a second;
 * only bodies and tunnels, which may be silent for long, have timers of their own.
 */
export class Sweep {
  /** Moves with the ticks; stands still between them. */
  #nowMs: number;
  #tickMs: number;
  readonly #failed: (error: unknown) => void;
  readonly #time: () => number;
  readonly #parts = new Set<Swept>();
  #tickedMs: number;
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param failed told what a part has thrown; the others are looked at nevertheless
   * @param time milliseconds of a clock that is never set back
   */
  constructor(
    tickMs: number,
    failed: (error: unknown) => void,
    time: () => number = () => performance.now(),
  ) {
    this.#tickMs = tickMs;
    this.#failed = failed;
    this.#time = time;
    this.#tickedMs = time();
    this.#nowMs = this.#tickedMs;
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
    if (this.#timer === undefined) return;
    this.stop();
    this.start();
  }

  /** Does not keep the process alive. */
  start(): void {
    if (this.#timer !== undefined) return;
    this.#tickedMs = this.#time();
    this.#timer = setInterval(() => this.tick(), this.#tickMs).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** What the timer does. */
  tick(): void {
    const time = this.#time();
    const lateMs = Math.max(0, time - this.#tickedMs - this.#tickMs);
    this.#nowMs += Math.min(time - this.#tickedMs, MAX_STEP_MS);
    this.#tickedMs = time;
    for (const part of this.#parts) {
      try {
        part.sweep(this.#nowMs, this.#nowMs + this.#tickMs, lateMs);
      } catch (error) {
        this.#failed(error);
      }
    }
  }
}

/** What is stamped before it was ever swept: no earlier than a sweep would say. Milliseconds. */
export function unsweptMs(): number {
  return performance.now() + MAX_TICK_MS;
}

/**
 * How often to look, so that no deadline is missed by more than a quarter of it: by one tick as it began between two, by one as it ends between two.
 * @param deadlines milliseconds; 0 is none
 */
export function tickFor(deadlines: readonly number[]): number {
  const shortest = Math.min(...deadlines.filter((deadline) => deadline > 0), 8 * MAX_TICK_MS);
  return Math.max(MIN_TICK_MS, shortest / 8);
}
