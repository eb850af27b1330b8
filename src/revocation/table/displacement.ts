import type { Buckets } from './buckets.ts';
import { SLOTS_PER_BUCKET } from './table-layout.ts';

/** Buckets looked at before one gives up. At a load of 0.85 about 3 are enough on average, and more than 100 were never seen to be needed. */
const LIMIT = 256;

/**
 * Makes room for an entry whose two buckets are full: looks, nearest first, for a chain of entries of which each can go to its other bucket
 * and the last finds an empty slot there, then moves them, last first.
 */
export class Displacement {
  readonly #buckets: Buckets;
  /** Buckets seen, in the order of their distance. */
  readonly #bucket = new Uint32Array(LIMIT);
  /** For each: which bucket seen before its chain comes from (-1: from none), and from which slot of that. */
  readonly #parent = new Int32Array(LIMIT);
  readonly #slot = new Uint32Array(LIMIT);

  constructor(buckets: Buckets) {
    this.#buckets = buckets;
  }

  /** An empty slot in one of these two full buckets, or -1: none can be made. */
  emptySlotIn(first: number, second: number): number {
    const buckets = this.#buckets;
    const { words, wordsPerSlot, wordsPerBucket } = buckets;
    let seen = 0;
    this.#see(seen++, first, -1, 0);
    if (second !== first) this.#see(seen++, second, -1, 0);
    for (let next = 0; next < seen; next++) {
      const bucket = this.#bucket[next] as number;
      for (let i = 0; i < SLOTS_PER_BUCKET; i++) {
        const slot = bucket * wordsPerBucket + i * wordsPerSlot;
        const candidate = buckets.candidate(words, slot, 0);
        const other = candidate === bucket ? buckets.candidate(words, slot, 1) : candidate;
        const empty = buckets.emptySlotIn(other);
        if (empty >= 0) return this.#shift(next, slot, empty);
        if (seen < LIMIT) this.#see(seen++, other, next, slot);
      }
    }
    return -1;
  }

  #see(place: number, bucket: number, parent: number, slot: number): void {
    this.#bucket[place] = bucket;
    this.#parent[place] = parent;
    this.#slot[place] = slot;
  }

  /**
   * Moves what is in `slot` to `empty`, what is before it in the chain to `slot`, and so on; the first slot is then empty. The chain is the
   * shortest there is, so it comes by no bucket twice: each entry goes to its own other bucket.
   */
  #shift(last: number, slot: number, empty: number): number {
    let from = slot;
    let to = empty;
    for (let at = last; ; at = this.#parent[at] as number) {
      this.#buckets.move(from, to);
      to = from;
      if ((this.#parent[at] as number) < 0) return to;
      from = this.#slot[at] as number;
    }
  }
}
