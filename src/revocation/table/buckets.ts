import {
  BUCKETS_IN_USE,
  CUTOFF_HIGH,
  CUTOFF_LOW,
  END,
  HEADER_BYTES,
  SLOTS_PER_BUCKET,
  bucketOf,
  bytesFor,
  cutoffOf,
  versionOf,
  wordsOf,
  type TableBuffers,
  type WordsPerSlot,
} from './table-layout.ts';

/**
 * The memory of one table, as its only writer handles it: what may happen to a slot, in the order that readers rely on (table-layout.ts).
 * Slots are named by the place of their first word.
 */
export class Buckets {
  readonly buffers: TableBuffers;
  /** Words of all slots: fingerprints can be read from here too. */
  readonly words: Uint32Array;
  readonly wordsPerSlot: WordsPerSlot;
  readonly wordsPerBucket: number;
  /** Buckets that are in use, and that are reserved. */
  inUse = 1;
  readonly reserved: number;
  /** Told of each slot that an entry was moved to within the buckets that were in use already. */
  readonly movedListeners = new Set<(slot: number) => void>();
  readonly #header: Int32Array;

  constructor(reserved: number, wordsPerSlot: WordsPerSlot) {
    this.reserved = reserved;
    this.wordsPerSlot = wordsPerSlot;
    this.wordsPerBucket = wordsPerSlot * SLOTS_PER_BUCKET;
    this.buffers = {
      header: new SharedArrayBuffer(HEADER_BYTES),
      slots: new SharedArrayBuffer(bytesFor(reserved * SLOTS_PER_BUCKET, wordsPerSlot)),
      wordsPerSlot,
    };
    this.words = wordsOf(this.buffers);
    this.#header = new Int32Array(this.buffers.header);
    Atomics.store(this.#header, BUCKETS_IN_USE, this.inUse);
  }

  /** Bytes that have been written to. */
  get residentBytes(): number {
    return HEADER_BYTES + bytesFor(this.inUse * SLOTS_PER_BUCKET, this.wordsPerSlot);
  }

  /** First (`which` 0) or second (1) candidate bucket of a fingerprint. */
  candidate(fingerprints: Uint32Array, at: number, which: 0 | 1): number {
    return bucketOf(fingerprints[at + which] as number, this.inUse);
  }

  /** Slot of this fingerprint (and of this cut-off, if given) in this bucket, or -1. */
  slotIn(bucket: number, fingerprints: Uint32Array, at: number, cutoffMs?: number): number {
    const { words, wordsPerSlot } = this;
    const begin = bucket * this.wordsPerBucket;
    for (let slot = begin; slot < begin + this.wordsPerBucket; slot += wordsPerSlot) {
      if (
        words[slot] === fingerprints[at] &&
        words[slot + 1] === fingerprints[at + 1] &&
        words[slot + 2] === fingerprints[at + 2] &&
        words[slot + END] !== 0 &&
        (cutoffMs === undefined || this.cutoffAt(slot) === cutoffMs)
      )
        return slot;
    }
    return -1;
  }

  /** An empty slot of this bucket, or -1. */
  emptySlotIn(bucket: number): number {
    const begin = bucket * this.wordsPerBucket;
    for (let slot = begin; slot < begin + this.wordsPerBucket; slot += this.wordsPerSlot)
      if (this.words[slot + END] === 0) return slot;
    return -1;
  }

  entriesIn(bucket: number): number {
    let entries = 0;
    const begin = bucket * this.wordsPerBucket;
    for (let slot = begin; slot < begin + this.wordsPerBucket; slot += this.wordsPerSlot)
      if (this.words[slot + END] !== 0) entries++;
    return entries;
  }

  endWordAt(slot: number): number {
    return this.words[slot + END] as number;
  }

  cutoffAt(slot: number): number {
    if (this.wordsPerSlot === 4) return -1;
    const { words } = this;
    return cutoffOf(words[slot + CUTOFF_HIGH] as number, words[slot + CUTOFF_LOW] as number);
  }

  /** Makes an entry in an empty slot: readers see it with its last word. */
  write(
    slot: number,
    fingerprints: Uint32Array,
    at: number,
    endWord: number,
    cutoffMs: number,
  ): void {
    const { words } = this;
    Atomics.store(words, slot + 1, fingerprints[at + 1] as number);
    Atomics.store(words, slot + 2, fingerprints[at + 2] as number);
    if (this.wordsPerSlot === 8) {
      Atomics.store(words, slot + CUTOFF_HIGH, Math.floor(cutoffMs / 0x1_0000_0000));
      Atomics.store(words, slot + CUTOFF_LOW, cutoffMs % 0x1_0000_0000);
    }
    // Readers compare it first: behind it they find none of the words of an entry that was here before.
    Atomics.store(words, slot, fingerprints[at] as number);
    Atomics.store(words, slot + END, endWord);
  }

  setEnd(slot: number, endWord: number): void {
    Atomics.store(this.words, slot + END, endWord);
  }

  /** Takes an entry out of its slot. It is in another already, or shall no longer be found. */
  clear(slot: number): void {
    const { words } = this;
    const version = versionOf(words[slot + 2] as number);
    Atomics.add(this.#header, version, 1);
    Atomics.store(words, slot + END, 0);
    Atomics.store(words, slot, ~(words[slot] as number) >>> 0);
    Atomics.add(this.#header, version, 1);
  }

  /** Moves an entry to an empty slot of its other candidate. */
  move(from: number, to: number): void {
    this.write(to, this.words, from, this.endWordAt(from), this.cutoffAt(from));
    this.clear(from);
    for (const moved of this.movedListeners) moved(to);
  }

  /** Takes this many buckets in use at once. Call it only while there are no entries. */
  begin(buckets: number): void {
    this.inUse = Math.min(Math.max(buckets, this.inUse), this.reserved);
    Atomics.store(this.#header, BUCKETS_IN_USE, this.inUse);
  }

  /** Takes one more bucket in use. Call it only while some are left. */
  grow(): void {
    const { words, wordsPerSlot, wordsPerBucket } = this;
    const added = this.inUse;
    const split = added - 2 ** (31 - Math.clz32(added));
    const begin = split * wordsPerBucket;
    const leaving: number[] = [];
    let to = added * wordsPerBucket;
    for (let slot = begin; slot < begin + wordsPerBucket; slot += wordsPerSlot) {
      if (this.endWordAt(slot) === 0) continue;
      const first = bucketOf(words[slot] as number, added + 1);
      const second = bucketOf(words[slot + 1] as number, added + 1);
      if (first === split || second === split) continue;
      this.write(to, words, slot, this.endWordAt(slot), this.cutoffAt(slot));
      to += wordsPerSlot;
      leaving.push(slot);
    }
    this.inUse = added + 1;
    Atomics.store(this.#header, BUCKETS_IN_USE, this.inUse);
    for (const slot of leaving) this.clear(slot);
  }
}
