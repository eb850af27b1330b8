const EVERY_MS = 1000;

/** "Everything learnt up to this moment was appended", as it is to be written into the journal: once a second at most, and never twice. */
export class Claim {
  #ms = 0;
  #written = { ms: 0, at: Number.NEGATIVE_INFINITY };

  /** Epoch milliseconds of the wall clock. */
  say(ms: number): void {
    this.#ms = Math.max(this.#ms, ms);
  }

  /** Whether a second has passed since it was written last. */
  get due(): boolean {
    return performance.now() - this.#written.at >= EVERY_MS;
  }

  /** Writes it where it is news. @param append false: there was no room for it */
  write(append: (ms: number) => boolean): void {
    const ms = this.#ms;
    if (ms > this.#written.ms && append(ms)) this.#written = { ms, at: performance.now() };
  }

  /** What was said and written so far does not hold. */
  forget(): void {
    this.#ms = 0;
    this.#written = { ms: 0, at: Number.NEGATIVE_INFINITY };
  }
}
