import {
  BUCKETS_IN_USE,
  CUTOFF_HIGH,
  CUTOFF_LOW,
  END,
  SLOTS_PER_BUCKET,
  bucketOf,
  cutoffOf,
  secondsOf,
  versionOf,
  wordsOf,
  type TableBuffers,
} from './table-layout.ts';

/**
 * Looks revocations up in a table that another thread writes. Nothing here waits or allocates; table-layout.ts says why no entry is missed.
 */
export class TableReader {
  #header: Int32Array;
  #slots: Uint32Array;
  #wordsPerSlot: number;
  /** Only this thread's, but shared memory: an operation on memory that is not shared need not order anything. */
  readonly #fence = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

  constructor(buffers: TableBuffers) {
    this.#header = new Int32Array(buffers.header);
    this.#slots = wordsOf(buffers);
    this.#wordsPerSlot = buffers.wordsPerSlot;
  }

  /** Reads this table from the next look-up on. The old one's memory is free once no thread holds it. */
  replace(buffers: TableBuffers): void {
    this.#header = new Int32Array(buffers.header);
    this.#slots = wordsOf(buffers);
    this.#wordsPerSlot = buffers.wordsPerSlot;
  }

  /**
   * Until when the entry with this fingerprint is kept, epoch seconds; 0: there is none.
   *
   * @param at place of the fingerprint's first word
   */
  endOf(fingerprints: Uint32Array, at: number): number {
    const first = fingerprints[at] as number;
    const second = fingerprints[at + 1] as number;
    const third = fingerprints[at + 2] as number;
    const header = this.#header;
    const version = versionOf(third);
    for (;;) {
      const before = Atomics.load(header, version);
      const buckets = Atomics.load(header, BUCKETS_IN_USE);
      let end = this.#endIn(bucketOf(first, buckets), first, second, third);
      if (end === 0) end = this.#endIn(bucketOf(second, buckets), first, second, third);
      Atomics.add(this.#fence, 0, 1);
      if (Atomics.load(header, version) === before) return secondsOf(end);
    }
  }

  /**
   * In a table of rules: the latest cut-off of this name, epoch milliseconds; -1: there is none. While a cut-off is being moved forward there
   * are two.
   */
  latestCutoff(fingerprints: Uint32Array, at: number): number {
    const first = fingerprints[at] as number;
    const second = fingerprints[at + 1] as number;
    const third = fingerprints[at + 2] as number;
    const header = this.#header;
    const version = versionOf(third);
    for (;;) {
      const before = Atomics.load(header, version);
      const buckets = Atomics.load(header, BUCKETS_IN_USE);
      const cutoff = Math.max(
        this.#cutoffIn(bucketOf(first, buckets), first, second, third),
        this.#cutoffIn(bucketOf(second, buckets), first, second, third),
      );
      Atomics.add(this.#fence, 0, 1);
      if (Atomics.load(header, version) === before) return cutoff;
    }
  }

  #endIn(bucket: number, first: number, second: number, third: number): number {
    const slots = this.#slots;
    const step = this.#wordsPerSlot;
    const begin = bucket * step * SLOTS_PER_BUCKET;
    const end = begin + step * SLOTS_PER_BUCKET;
    for (let slot = begin; slot < end; slot += step) {
      if (slots[slot] !== first || slots[slot + 1] !== second || slots[slot + 2] !== third)
        continue;
      const word = slots[slot + END] as number;
      if (word !== 0) return word;
    }
    return 0;
  }

  #cutoffIn(bucket: number, first: number, second: number, third: number): number {
    const slots = this.#slots;
    const step = this.#wordsPerSlot;
    const begin = bucket * step * SLOTS_PER_BUCKET;
    const end = begin + step * SLOTS_PER_BUCKET;
    let latest = -1;
    for (let slot = begin; slot < end; slot += step) {
      if (slots[slot] !== first || slots[slot + 1] !== second || slots[slot + 2] !== third)
        continue;
      // Atomic, so that the cut-off is not read before it: the end is written last.
      if (Atomics.load(slots, slot + END) === 0) continue;
      const cutoff = cutoffOf(
        slots[slot + CUTOFF_HIGH] as number,
        slots[slot + CUTOFF_LOW] as number,
      );
      if (cutoff > latest) latest = cutoff;
    }
    return latest;
  }
}
