import { setTimeout as delay } from 'node:timers/promises';
import { Shrinking } from './shrinking.ts';
import {
  SLOTS_PER_BUCKET,
  secondsOf,
  type TableBuffers,
  type WordsPerSlot,
} from './table-layout.ts';
import { TableStore, type PutResult, type TableEntry } from './table-store.ts';

/** Entries per slot below which a table is worth shrinking: at 16 bytes / 0.80 an entry costs 20. */
const SHRINK_BELOW_LOAD = 0.8;

/** Buckets in use up to which a table is not shrunk: there is little to be had. A megabyte of tokens. */
const SMALL = 16_384;

/** Milliseconds that the copy holds its thread at a time, and leaves it alone in between. */
const STEP_MS = 4;
const PAUSE_MS = 2;

export interface TableOptions {
  /** A new entry beyond this number is refused (`full`). Address space is taken for as many, memory only for those there are. */
  readonly maxEntries: number;
  readonly wordsPerSlot: WordsPerSlot;
  /**
   * Told the latest end among all entries ever swept, epoch seconds, each time that it becomes later: before the entry leaves, so that nobody
   * can see it gone and not know yet.
   */
  readonly forgetting?: (latestEndSeconds: number) => void;
}

export interface SweepResult {
  readonly removed: number;
  /** Latest end among the entries removed, epoch seconds; 0: none. */
  readonly latestEndSeconds: number;
}

/** How a shrunken table gets to its readers. */
export interface ShrinkOptions {
  /**
   * Hands the new table to every thread that reads; resolves once all have confirmed that they read it. Threads that start meanwhile
   * are given `buffers`, which is the new one already; those that were given the old one count among those to be waited for.
   */
  readonly replaced: (buffers: TableBuffers) => Promise<void>;
  /** Between two steps of the copy; default: 2 ms. When it rejects, so does the shrinking, which a later call takes up. */
  readonly pause?: () => Promise<void>;
}

/**
 * The one writer of a table (table-layout.ts); what it has put is seen by every look-up that begins afterwards, in whichever thread. No
 * call takes long: growth is by one bucket at a time. It must be used by one thread only.
 */
export class TableWriter {
  readonly #options: TableOptions;
  #table: TableStore;
  #shrinking: Shrinking | undefined;
  /** The new table is, or may be, read by somebody. */
  #handedOver = false;
  #busy = false;
  #forgottenUntil = 0;

  /** @throws RangeError when the system does not give as much address space */
  constructor(options: TableOptions) {
    this.#options = options;
    this.#table = this.#newTable();
  }

  /** What a thread that starts to read now is to be given. */
  get buffers(): TableBuffers {
    return (this.#handedOver ? this.#shrinking?.buffers : undefined) ?? this.#table.buffers;
  }

  /** Entries, those included that have ended and wait for the sweep. */
  get size(): number {
    return this.#table.size;
  }

  /** Bytes of memory in use: of both tables while it is being shrunk. */
  get residentBytes(): number {
    const next = this.#shrinking?.next.buckets.residentBytes ?? 0;
    return this.#table.buckets.residentBytes + next;
  }

  /** New entries that are not refused yet. */
  get capacityLeft(): number {
    return this.#options.maxEntries - this.size;
  }

  /** Whether shrinking would give enough back to be worth it, or one was left half done. */
  get shrinkable(): boolean {
    if (this.#busy) return false;
    if (this.#shrinking !== undefined) return true;
    const { inUse } = this.#table.buckets;
    return inUse > SMALL && this.size < SHRINK_BELOW_LOAD * SLOTS_PER_BUCKET * inUse;
  }

  /**
   * Says, while the table is empty, how many entries are about to be put. It is then as large from the start, and each of them costs a third
   * of what it costs a table that grows. What turns out too large is given back by {@link shrink}.
   */
  expect(entries: number): void {
    this.#table.expect(entries);
  }

  /**
   * Adds an entry. One that is there already is merged with: end and cut-off only ever become later, and it counts as restored only as long
   * as nothing but the disk has named it.
   *
   * @param at place of the fingerprint's first word
   * @param endSeconds epoch seconds until which it is needed; beyond 2088, or no number: 2088
   * @param restored it comes from disk, not from a source
   * @param cutoffMs in a table of rules: epoch milliseconds, not negative
   */
  put(
    fingerprints: Uint32Array,
    at: number,
    endSeconds: number,
    restored: boolean,
    cutoffMs = -1,
  ): PutResult {
    const cutoff = this.#options.wordsPerSlot === 4 ? -1 : Math.max(0, Math.floor(cutoffMs));
    const result = this.#table.put(fingerprints, at, endSeconds, restored, cutoff);
    if (result === 'full' || this.#shrinking === undefined) return result;
    this.#shrinking.follow(fingerprints, at);
    // Some reader may not see it.
    return this.#handedOver && !this.#shrinking.whole ? 'full' : result;
  }

  /**
   * Makes the cut-off of a rule earlier, if it is there.
   * @param cutoffMs epoch milliseconds, not negative
   * @returns false: there was no room, and some reader may still find the later one
   */
  lower(fingerprints: Uint32Array, at: number, cutoffMs: number): boolean {
    const cutoff = Math.max(0, Math.floor(cutoffMs));
    const lowered = this.#table.lower(fingerprints, at, cutoff);
    const shrinking = this.#shrinking;
    if (shrinking === undefined || this.#table.find(fingerprints, at) < 0) return lowered;
    const loweredToo = shrinking.next.lower(fingerprints, at, cutoff);
    // It is in another slot now, which may be one that the copy has passed.
    shrinking.follow(fingerprints, at);
    return lowered && loweredToo && (!this.#handedOver || shrinking.whole);
  }

  /** Until when the entry with this fingerprint is kept, epoch seconds; 0: there is none. */
  endOf(fingerprints: Uint32Array, at: number): number {
    const { buckets } = this.#table;
    const slot = this.#table.find(fingerprints, at);
    return slot < 0 ? 0 : secondsOf(buckets.endWordAt(slot));
  }

  /** @returns whether it was there */
  remove(fingerprints: Uint32Array, at: number): boolean {
    this.#shrinking?.next.remove(fingerprints, at);
    return this.#table.remove(fingerprints, at);
  }

  /**
   * A step of the clean-up, which goes round for ever: looks at the next `buckets` buckets (of up to four entries) and removes what ended
   * before `goneBefore`; what was restored only when it ended before `restoredGoneBefore`. Epoch seconds both.
   */
  sweep(goneBefore: number, restoredGoneBefore: number, buckets: number): SweepResult {
    let latestEndSeconds = 0;
    const table = this.#table;
    const removed = table.sweep(goneBefore, restoredGoneBefore, buckets, (slot) => {
      const end = secondsOf(table.buckets.endWordAt(slot));
      if (end > latestEndSeconds) latestEndSeconds = end;
      if (end > this.#forgottenUntil) {
        this.#forgottenUntil = end;
        this.#options.forgetting?.(end);
      }
      this.#shrinking?.next.remove(table.buckets.words, slot);
    });
    return { removed, latestEndSeconds };
  }

  /** See {@link TableStore.entries}. */
  entries(): Generator<TableEntry> {
    return this.#table.entries();
  }

  /**
   * Gives memory back after many entries have left: copies the table into a new reservation, in steps of a few milliseconds, and hands that to
   * the readers. Everything else can be called meanwhile; both tables are written until all readers have confirmed. The old one's memory is
   * free once each thread that had it has collected its garbage.
   *
   * Rejects with what `replaced` or `pause` rejected with: then both tables go on being written, and the next call takes it up there.
   *
   * @returns false: it was not done, and the table is as before
   * @throws RangeError when the system does not give as much address space
   */
  async shrink(options: ShrinkOptions): Promise<boolean> {
    if (this.#busy) return false;
    this.#busy = true;
    try {
      const shrinking = (this.#shrinking ??= this.#beginShrinking());
      while (!shrinking.step(STEP_MS)) await (options.pause?.() ?? delay(PAUSE_MS));
      if (!this.#handedOver && !shrinking.whole) {
        this.#endShrinking();
        return false;
      }
      this.#handedOver = true;
      await options.replaced(shrinking.buffers);
      this.#table = shrinking.next;
      this.#endShrinking();
      return true;
    } finally {
      this.#busy = false;
    }
  }

  #beginShrinking(): Shrinking {
    const next = this.#newTable();
    next.expect(this.size);
    return new Shrinking(this.#table, next);
  }

  #endShrinking(): void {
    this.#shrinking?.stop();
    this.#shrinking = undefined;
    this.#handedOver = false;
  }

  #newTable(): TableStore {
    return new TableStore(this.#options.maxEntries, this.#options.wordsPerSlot);
  }
}
