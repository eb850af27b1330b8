/**
 * Holds one read of a store to the configured number of entries (`maxEntries`). A store with more is not read by halves: the read fails,
 * what is known already stays, and the source becomes stale and says why.
 */
export class EntryLimit {
  readonly #max: number;
  #count = 0;

  /** @param max absent: no limit */
  constructor(max: number | undefined) {
    this.#max = max ?? Number.POSITIVE_INFINITY;
  }

  /** Counts further entries. @throws Error beyond the limit */
  count(entries: number): void {
    this.#count += entries;
    if (this.#count > this.#max)
      throw new Error(`the store has more entries than maxEntries allows (${this.#max})`);
  }
}
