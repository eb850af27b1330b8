/**
 * A table of revocations in memory that all threads share: one thread writes (table-store.ts), any number read without locks
 * (table-reader.ts).
 *
 * Layout. `slots` is one reservation as large as the table may ever become; pages that nobody has written cost nothing. It holds buckets of
 * four slots. A slot is three words of fingerprint and one of end and origin; in a table of rules also two words of cut-off and two that are
 * not used. An empty slot has an end of 0. Of `buckets` buckets in use, an entry lies in one of two, which follow from the first and the
 * second word of its fingerprint by linear hashing (Litwin, 1980): the table grows by one bucket at a time, and each time one old bucket
 * gives up about half of its entries. `header` holds the number of buckets in use and 1024 versions; the third word of a fingerprint
 * says which version an entry shares with others.
 *
 * Writer. All its stores and additions are atomic, so they become visible in the order in which it makes them. Three things happen to an
 * entry: (put) an empty slot gets the last two words of the fingerprint, the cut-off, the first word, then the end; (move) copy = put into an
 * empty slot of the other candidate, add 1 to the version, clear the old slot, add 1 to the version; (removal) the same without the copy. A
 * clear sets the end to 0 and the first word to its complement. Growth: the movers' copies are put into bucket n, n + 1 is published, and only
 * then follows the rest of each move.
 *
 * Reader. It loads the version, then the number of buckets, reads both buckets plainly, and loads the version again: once more if that
 * has changed. Between the plain reads and the second load stands a read-modify-write on a word of its own, as a load alone does not keep
 * earlier plain reads from being made later on all processors.
 *
 * No false negative: let entry E be put before a look-up begins, and not removed before it ends. Take the pass of the look-up whose two
 * version loads agree.
 * 1. Between these loads E's version was not added to. So no move of E has its first addition between them: no slot of E that was the only
 *    one, or the newest, at the first load is cleared during the reads. (A clear that falls between them belongs to a move whose first
 *    addition came before; its copy was visible by then.) Call that newest slot S.
 * 2. S is in a candidate bucket of E under the number of buckets n that was read, unless growth moves E: copy C in the new bucket, published
 *    with n + 1. If n was read after the publication, C was visible before and C is in a candidate bucket under n; it stays, as in 1. If it was
 *    read before, S is in a candidate bucket under n, and is cleared only after the addition, which comes after the second load. If the
 *    addition came before the first load, so did the publication, and S is already C. At most one growth that moves E can be without its
 *    addition, as the writer does one after the other; growth that does not move E leaves the place of its slot a candidate.
 * 3. So a slot with E's fingerprint and an end other than 0 is in one of the two buckets during all of the reads, and they find it.
 * A reader never waits for a writer that stands still: the version then stays as it is, whatever the writer was in the middle of.
 *
 * What is found is E's own: a slot whose clear is before the first load does not show E's fingerprint again (first word complemented, and
 * none stored over it before the other two) until E is put there; one whose clear is during the reads gets no other entry before the second
 * addition, which comes after the second load.
 */

/** What a reader is given; may be sent to other threads. */
export interface TableBuffers {
  readonly header: SharedArrayBuffer;
  /** Read it by {@link wordsOf}. */
  readonly slots: SharedArrayBuffer;
  /** 4: tokens; 8: rules, which have a cut-off. */
  readonly wordsPerSlot: WordsPerSlot;
}

export type WordsPerSlot = 4 | 8;

export const SLOTS_PER_BUCKET = 4;

/** Places of words in a slot, after the fingerprint. */
export const END = 3;
export const CUTOFF_HIGH = 4;
export const CUTOFF_LOW = 5;

/** Place of the number of buckets in use in the header; the versions begin on another cache line, as they change at other times. */
export const BUCKETS_IN_USE = 0;
const VERSIONS_BEGIN = 16;
const VERSIONS = 1024;
export const HEADER_BYTES = (VERSIONS_BEGIN + VERSIONS) * Int32Array.BYTES_PER_ELEMENT;

/**
 * Bytes before the first slot. glibc places large memory 16 bytes behind the begin of a page; with these, a bucket of tokens is one line of
 * the processor's cache, and not parts of two.
 */
const SLOTS_BEGIN = 48;

/** Bytes of memory for so many slots. */
export function bytesFor(slots: number, wordsPerSlot: WordsPerSlot): number {
  return SLOTS_BEGIN + slots * wordsPerSlot * Uint32Array.BYTES_PER_ELEMENT;
}

/** Words of all slots. */
export function wordsOf(buffers: TableBuffers): Uint32Array {
  return new Uint32Array(buffers.slots, SLOTS_BEGIN);
}

/** Place in the header of the version of entries whose fingerprint has this third word. */
export function versionOf(thirdWord: number): number {
  return VERSIONS_BEGIN + (thirdWord & (VERSIONS - 1));
}

/** Bucket that a word of a fingerprint leads to when `buckets` of them are in use. */
export function bucketOf(word: number, buckets: number): number {
  const mask = 0xffffffff >>> Math.clz32(buckets);
  const bucket = (word & mask) >>> 0;
  return bucket < buckets ? bucket : bucket & (mask >>> 1);
}

/** Seconds of the epoch at 2020-01-01T00:00:00Z: 31 bits from there reach to 2088. */
const FIRST_SECOND = 1_577_836_800;
const LAST_END = 0x7fffffff;
const RESTORED = 0x80000000;

/** The end as a slot keeps it: rounded up to a second; one that does not fit, or is no number, is as late as can be. Never 0. */
export function endWord(endSeconds: number, restored: boolean): number {
  const seconds = Math.ceil(endSeconds) - FIRST_SECOND;
  const end = seconds < LAST_END ? Math.max(seconds, 1) : LAST_END;
  return restored ? (end | RESTORED) >>> 0 : end;
}

/** Epoch seconds of an end word; 0 for that of an empty slot. */
export function secondsOf(endWord: number): number {
  return endWord === 0 ? 0 : (endWord & LAST_END) + FIRST_SECOND;
}

/** Whether the entry was read from disk at start, and no source has named it since. */
export function isRestored(endWord: number): boolean {
  return endWord >= RESTORED;
}

/** Milliseconds of the epoch from the two words of a cut-off. */
export function cutoffOf(high: number, low: number): number {
  return high * 0x1_0000_0000 + low;
}
