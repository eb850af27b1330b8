/** Lets one line of many into the log: what may happen thousands of times a second is counted, and said once in a while. */
export class Seldom {
  readonly #everyMs: number;
  readonly #now: () => number;
  #saidAt = Number.NEGATIVE_INFINITY;
  #count = 0;

  /**
   * @param everyMs milliseconds between two lines, at least
   * @param now milliseconds of a clock that is never set back
   */
  constructor(everyMs: number, now: () => number = () => performance.now()) {
    this.#everyMs = everyMs;
    this.#now = now;
  }

  /** It has happened. @returns how often since it was said last, when it is to be said now; else undefined */
  happened(): number | undefined {
    this.#count += 1;
    const now = this.#now();
    if (now - this.#saidAt < this.#everyMs) return undefined;
    const count = this.#count;
    this.#saidAt = now;
    this.#count = 0;
    return count;
  }
}
