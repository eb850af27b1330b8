import type { TableStore } from './table-store.ts';
import { isRestored, secondsOf, type TableBuffers } from './table-layout.ts';

/** Buckets copied between two looks at the clock: some 50 microseconds. */
const BUCKETS_AT_ONCE = 32;

/**
 * The copy of a table into a new reservation, in steps. Memory that a table has once used is only given back with the whole of it.
 *
 * The new table gets: every bucket of the old one, in order; from the moment it exists, whatever was put into the old one, as it then is there;
 * and every entry that is moved within the old one, as that may be from a bucket not yet copied to one that was. An entry that growth moves goes
 * to a new last bucket, which is copied when its turn comes. So once the copy is at the end the new table holds what the old one holds, and
 * goes on doing so, and it makes no difference which of the two a thread reads.
 */
export class Shrinking {
  readonly #old: TableStore;
  readonly next: TableStore;
  readonly #moved = (slot: number): void => this.#copy(slot);
  #bucket = 0;
  #whole = true;

  constructor(old: TableStore, next: TableStore) {
    this.#old = old;
    this.next = next;
    old.buckets.movedListeners.add(this.#moved);
  }

  get buffers(): TableBuffers {
    return this.next.buffers;
  }

  /** Whether the new table took every entry so far. Otherwise it must not be used. */
  get whole(): boolean {
    return this.#whole;
  }

  /** The entry with this fingerprint was put into the old table. */
  follow(fingerprints: Uint32Array, at: number): void {
    // As it is there, not as it was put: a rule with a later cut-off is in another slot now, which may be copied already.
    this.#copy(this.#old.find(fingerprints, at));
  }

  /** Copies for about this many milliseconds. @returns whether all is copied */
  step(milliseconds: number): boolean {
    const { buckets } = this.#old;
    const end = performance.now() + milliseconds;
    do {
      const until = Math.min(this.#bucket + BUCKETS_AT_ONCE, buckets.inUse);
      for (; this.#bucket < until; this.#bucket++) {
        const begin = this.#bucket * buckets.wordsPerBucket;
        for (let slot = begin; slot < begin + buckets.wordsPerBucket; slot += buckets.wordsPerSlot)
          if (buckets.endWordAt(slot) !== 0) this.#copy(slot);
      }
      if (this.#bucket >= buckets.inUse) return true;
    } while (performance.now() < end);
    return false;
  }

  /** The old table is no longer copied from. */
  stop(): void {
    this.#old.buckets.movedListeners.delete(this.#moved);
  }

  #copy(slot: number): void {
    const { buckets } = this.#old;
    const end = buckets.endWordAt(slot);
    const result = this.next.put(
      buckets.words,
      slot,
      secondsOf(end),
      isRestored(end),
      buckets.cutoffAt(slot),
    );
    if (result === 'full') this.#whole = false;
  }
}
