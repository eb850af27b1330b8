import type { Owner } from '../test/support/product.ts';

/** Ends what the check started, latest first: at its end, on failure and on Ctrl-C. */
export class Endings implements Owner {
  readonly #closers: (() => Promise<unknown>)[] = [];
  readonly #atOnce: (() => void)[] = [];

  /** @param last what is done at the very end, also when the process exits without waiting */
  constructor(last: () => void) {
    this.#atOnce.push(last);
    process.once('exit', () => this.#endAtOnce());
  }

  after(closer: () => Promise<unknown>): void {
    this.#closers.push(closer);
  }

  /** For what would outlive the process: called without waiting when it exits before {@link close} is done. */
  atExit(closer: () => void): void {
    this.#atOnce.push(closer);
  }

  /** Ends everything, whatever fails on the way; rejects with the first failure. */
  async close(): Promise<void> {
    const failures: unknown[] = [];
    for (const close of this.#closers.splice(0).reverse())
      await close().catch((error: unknown) => failures.push(error));
    this.#endAtOnce();
    if (failures.length > 0) throw failures[0];
  }

  #endAtOnce(): void {
    for (const close of this.#atOnce.splice(0).reverse()) close();
  }
}
