import { Buckets } from './buckets.ts';
import { Displacement } from './displacement.ts';
import {
  SLOTS_PER_BUCKET,
  endWord,
  isRestored,
  secondsOf,
  type TableBuffers,
  type WordsPerSlot,
} from './table-layout.ts';

/**
 * Entries per slot that the table grows to keep. 16 bytes / 0.85 = 18.8 per entry, whatever their number. An insert then moves 0.5 entries
 * where the number of buckets is a power of two and 0.8 half way between; at 0.90 it is 0.75 and 1.4.
 */
const LOAD = 0.85;

/** Buckets beyond those that the load asks for: for the case that no room can be made. */
const SPARE_BUCKETS = 64;

/**
 * - `added`: a new entry
 * - `changed`: its end, or the cut-off of a rule, is later now
 * - `same`: nothing that would have to be written down
 * - `full`: nothing was changed, and the entry is NOT in the table as it was put
 */
export type PutResult = 'added' | 'changed' | 'same' | 'full';

/** One entry, as {@link TableStore.entries} tells of it. */
export interface TableEntry {
  readonly fingerprint: readonly [number, number, number];
  /** Epoch seconds. */
  readonly endSeconds: number;
  readonly restored: boolean;
  /** Epoch milliseconds; -1 in a table of tokens. */
  readonly cutoffMs: number;
}

/** One table in one reservation: entries by fingerprint, the table growing with them. For one thread only. */
export class TableStore {
  readonly buckets: Buckets;
  readonly #displacement: Displacement;
  readonly #maxEntries: number;
  #size = 0;
  #sweepAt = 0;

  /** @throws RangeError when the system does not give as much address space */
  constructor(maxEntries: number, wordsPerSlot: WordsPerSlot) {
    this.#maxEntries = maxEntries;
    const reserved = Math.ceil(maxEntries / (LOAD * SLOTS_PER_BUCKET)) + SPARE_BUCKETS;
    this.buckets = new Buckets(reserved, wordsPerSlot);
    this.#displacement = new Displacement(this.buckets);
  }

  get buffers(): TableBuffers {
    return this.buckets.buffers;
  }

  get size(): number {
    return this.#size;
  }

  /** Makes an empty table as large as this many entries will need. */
  expect(entries: number): void {
    if (this.#size === 0) this.buckets.begin(Math.ceil(entries / (LOAD * SLOTS_PER_BUCKET)));
  }

  /** Slot of this fingerprint (and of this cut-off, if given), or -1. */
  find(fingerprints: Uint32Array, at: number, cutoffMs?: number): number {
    const { buckets } = this;
    for (const which of [0, 1] as const) {
      const slot = buckets.slotIn(
        buckets.candidate(fingerprints, at, which),
        fingerprints,
        at,
        cutoffMs,
      );
      if (slot >= 0) return slot;
    }
    return -1;
  }

  /** Adds an entry or merges with the one of the same fingerprint: the later end and the later cut-off stay. */
  put(
    fingerprints: Uint32Array,
    at: number,
    endSeconds: number,
    restored: boolean,
    cutoffMs: number,
  ): PutResult {
    const slot = this.find(fingerprints, at);
    if (slot < 0) {
      if (this.#size >= this.#maxEntries) return 'full';
      if (!this.#insert(fingerprints, at, endWord(endSeconds, restored), cutoffMs)) return 'full';
      this.#size++;
      return 'added';
    }
    const known = this.buckets.endWordAt(slot);
    const given = endWord(endSeconds, restored);
    const later = secondsOf(given) > secondsOf(known);
    const merged = endWord(
      Math.max(secondsOf(given), secondsOf(known)),
      restored && isRestored(known),
    );
    if (cutoffMs > this.buckets.cutoffAt(slot) && this.buckets.wordsPerSlot === 8) {
      // A cut-off is two words: a second entry that is whole, then the first one leaves. Making room may have moved that.
      const old = this.buckets.cutoffAt(slot);
      if (!this.#insert(fingerprints, at, merged, cutoffMs)) return 'full';
      this.buckets.clear(this.find(fingerprints, at, old));
      return 'changed';
    }
    if (merged !== known) this.buckets.setEnd(slot, merged);
    return later ? 'changed' : 'same';
  }

  /** Makes the cut-off of an entry earlier; readers find the one or the other all the while. @returns false: there was no room, and it is as before */
  lower(fingerprints: Uint32Array, at: number, cutoffMs: number): boolean {
    const slot = this.find(fingerprints, at);
    if (slot < 0 || this.buckets.cutoffAt(slot) <= cutoffMs) return true;
    const old = this.buckets.cutoffAt(slot);
    if (!this.#insert(fingerprints, at, this.buckets.endWordAt(slot), cutoffMs)) return false;
    this.buckets.clear(this.find(fingerprints, at, old));
    return true;
  }

  remove(fingerprints: Uint32Array, at: number): boolean {
    const slot = this.find(fingerprints, at);
    if (slot < 0) return false;
    this.#take(slot);
    return true;
  }

  /**
   * Looks at the next buckets, round and round, and takes out what ended before `goneBefore`, or `restoredGoneBefore` (epoch seconds both).
   * `leaving` is told of each slot before its entry leaves.
   *
   * @returns how many have left
   */
  sweep(
    goneBefore: number,
    restoredGoneBefore: number,
    buckets: number,
    leaving: (slot: number) => void,
  ): number {
    const { wordsPerBucket, wordsPerSlot } = this.buckets;
    let removed = 0;
    for (let step = Math.min(buckets, this.buckets.inUse); step > 0; step--) {
      if (this.#sweepAt >= this.buckets.inUse) this.#sweepAt = 0;
      const begin = this.#sweepAt++ * wordsPerBucket;
      for (let slot = begin; slot < begin + wordsPerBucket; slot += wordsPerSlot) {
        const word = this.buckets.endWordAt(slot);
        if (word === 0) continue;
        if (secondsOf(word) >= (isRestored(word) ? restoredGoneBefore : goneBefore)) continue;
        leaving(slot);
        this.#take(slot);
        removed++;
      }
    }
    return removed;
  }

  /**
   * All entries, in no order. The table may go on changing: what is in it all the while is told of, once or more often; what is put or removed
   * meanwhile may be.
   */
  *entries(): Generator<TableEntry> {
    const { wordsPerBucket, wordsPerSlot, movedListeners } = this.buckets;
    let slot = 0;
    // Room for a new entry is made by moving others, maybe to a place that was passed already: the one told of last is.
    const passed: TableEntry[] = [];
    const moved = (to: number): void => {
      if (to <= slot) passed.push(this.#entryAt(to));
    };
    movedListeners.add(moved);
    try {
      for (; slot < this.buckets.inUse * wordsPerBucket; slot += wordsPerSlot) {
        if (this.buckets.endWordAt(slot) !== 0) yield this.#entryAt(slot);
        while (passed.length > 0) yield* passed.splice(0);
      }
    } finally {
      movedListeners.delete(moved);
    }
  }

  #entryAt(slot: number): TableEntry {
    const { words } = this.buckets;
    const word = this.buckets.endWordAt(slot);
    return {
      fingerprint: [words[slot] as number, words[slot + 1] as number, words[slot + 2] as number],
      endSeconds: secondsOf(word),
      restored: isRestored(word),
      cutoffMs: this.buckets.cutoffAt(slot),
    };
  }

  #take(slot: number): void {
    this.buckets.clear(slot);
    this.#size--;
  }

  #insert(fingerprints: Uint32Array, at: number, end: number, cutoffMs: number): boolean {
    const { buckets } = this;
    while (
      this.#size >= LOAD * SLOTS_PER_BUCKET * buckets.inUse &&
      buckets.inUse < buckets.reserved
    )
      buckets.grow();
    // Not seen in practice. Fingerprints that all lead to one bucket would fail for ever, hence the limit.
    for (let more = SPARE_BUCKETS; ; more--) {
      const slot = this.#emptySlotFor(fingerprints, at);
      if (slot >= 0) {
        buckets.write(slot, fingerprints, at, end, cutoffMs);
        return true;
      }
      if (more === 0 || buckets.inUse === buckets.reserved) return false;
      buckets.grow();
    }
  }

  /** The emptier of its two buckets takes an entry: that keeps most inserts from having to move others. */
  #emptySlotFor(fingerprints: Uint32Array, at: number): number {
    const { buckets } = this;
    const first = buckets.candidate(fingerprints, at, 0);
    const second = buckets.candidate(fingerprints, at, 1);
    const emptier = buckets.entriesIn(first) <= buckets.entriesIn(second) ? first : second;
    const slot = buckets.emptySlotIn(emptier);
    return slot >= 0 ? slot : this.#displacement.emptySlotIn(first, second);
  }
}
