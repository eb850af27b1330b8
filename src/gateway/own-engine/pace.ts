/** Milliseconds over which a rate is measured: what is slower for a moment is not slow. */
const WINDOW_MS = 10_000;

/** Follows a count of bytes that somebody is waited for to move. */
export class Pace {
  #bytes: number;
  #movedMs: number;
  #windowBytes: number;
  #windowMs: number;
  readonly #inSteps: boolean;

  /**
   * @param inSteps that bytes have been moved is seen late, and of many at once: while nothing is seen to move, that says nothing of the rate.
   */
  constructor(bytes: number, nowMs: number, inSteps = false) {
    this.#inSteps = inSteps;
    this.#bytes = bytes;
    this.#movedMs = nowMs;
    this.#windowBytes = bytes;
    this.#windowMs = nowMs;
  }

  /**
   * @param bytes that have been moved in all
   * @param minRate bytes a second
   * @returns whether nothing at all moved for `stallMs`, or less than `minRate` over a while
   */
  isLost(bytes: number, nowMs: number, stallMs: number, minRate: number): boolean {
    const moved = bytes !== this.#bytes;
    if (moved) {
      this.#bytes = bytes;
      this.#movedMs = nowMs;
    } else if (nowMs - this.#movedMs >= stallMs) return true;
    const spanMs = nowMs - this.#windowMs;
    if (spanMs < WINDOW_MS || (this.#inSteps && !moved)) return false;
    const slow = bytes - this.#windowBytes < (minRate * spanMs) / 1_000;
    this.#windowBytes = bytes;
    this.#windowMs = nowMs;
    return slow;
  }
}
