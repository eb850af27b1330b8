/** Milliseconds over which a rate is measured: what is slower for a moment is not slow. */
const WINDOW_MS = 10_000;

/** Follows a count of bytes that somebody is waited for to move. */
export class Pace {
  #bytes: number;
  #movedMs: number;
  #windowBytes: number;
  #windowMs: number;

  constructor(bytes: number, nowMs: number) {
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
    if (bytes !== this.#bytes) {
      this.#bytes = bytes;
      this.#movedMs = nowMs;
    } else if (nowMs - this.#movedMs >= stallMs) return true;
    const spanMs = nowMs - this.#windowMs;
    if (spanMs < WINDOW_MS) return false;
    const slow = bytes - this.#windowBytes < (minRate * spanMs) / 1_000;
    this.#windowBytes = bytes;
    this.#windowMs = nowMs;
    return slow;
  }
}
