/**
 * What the control thread knows of its own knowledge, in memory that every data-plane thread reads without asking. Times are 64-bit floats
 * on 8-byte boundaries: no thread sees half of one.
 */
export interface SharedStateBuffers {
  readonly numbers: SharedArrayBuffer;
  readonly words: SharedArrayBuffer;
}

/** Places in the floats. */
const KNOWN_AS_OF_MONOTONIC = 0;
const KNOWN_AS_OF_WALL = 1;
const FORGOTTEN_UNTIL = 2;
const NUMBERS = 3;

/** Places in the words. */
const KNOWN = 0;
const GAP = 1;
const CHANGES = 2;
const CLASSES = 3;
const WORDS = CLASSES + 128;

/** Milliseconds of the system's monotonic clock, the same in every thread (unlike `performance.now()`). */
export function monotonicMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + nanoseconds / 1e6;
}

export class SharedState {
  readonly buffers: SharedStateBuffers;
  readonly #numbers: Float64Array;
  readonly #words: Int32Array;

  /** Without buffers: the control thread's own, to be handed to the others. */
  constructor(buffers?: SharedStateBuffers) {
    this.buffers = buffers ?? {
      numbers: new SharedArrayBuffer(NUMBERS * Float64Array.BYTES_PER_ELEMENT),
      words: new SharedArrayBuffer(WORDS * Int32Array.BYTES_PER_ELEMENT),
    };
    this.#numbers = new Float64Array(this.buffers.numbers);
    this.#words = new Int32Array(this.buffers.words);
  }

  /** Everything that is revoked was known once: by a complete read, or by a journal that is recent enough. */
  get known(): boolean {
    return Atomics.load(this.#words, KNOWN) === 1;
  }

  set known(known: boolean) {
    Atomics.store(this.#words, KNOWN, known ? 1 : 0);
  }

  /** A stretch of time in which revocations may have been missed is not closed. */
  get gap(): boolean {
    return Atomics.load(this.#words, GAP) === 1;
  }

  set gap(gap: boolean) {
    Atomics.store(this.#words, GAP, gap ? 1 : 0);
  }

  /** Sets the moment up to which nothing was missed. */
  knownAsOf(monotonic: number, wall: number): void {
    this.#numbers[KNOWN_AS_OF_MONOTONIC] = monotonic;
    this.#numbers[KNOWN_AS_OF_WALL] = wall;
  }

  /**
   * Milliseconds since the moment up to which nothing was missed, by the clock that says more: a machine that was suspended has a
   * monotonic clock that stood still.
   */
  stalenessMs(): number {
    return Math.max(
      monotonicMs() - (this.#numbers[KNOWN_AS_OF_MONOTONIC] ?? 0),
      Date.now() - (this.#numbers[KNOWN_AS_OF_WALL] ?? 0),
    );
  }

  /** Latest end among the entries that have left the list, epoch milliseconds: tokens that end by then count as expired for ever. */
  get forgottenUntilMs(): number {
    return this.#numbers[FORGOTTEN_UNTIL] ?? 0;
  }

  set forgottenUntilMs(end: number) {
    this.#numbers[FORGOTTEN_UNTIL] = end;
  }

  /** Differs from what it was whenever something that denies has come to the list, or been taken back, since. It wraps around. */
  get changes(): number {
    return Atomics.load(this.#words, CHANGES);
  }

  /** Counts a change of the list: called by its only writer, once every look-up that begins now finds what is new. */
  changed(): void {
    Atomics.add(this.#words, CHANGES, 1);
  }

  /** Whether the list has ever held a name of this class (token-key.ts): the others cost a request nothing. */
  holdsClass(letter: number): boolean {
    return this.#words[CLASSES + letter] === 1;
  }

  markClass(letter: number): void {
    if (this.holdsClass(letter)) return;
    Atomics.store(this.#words, CLASSES + letter, 1);
    this.changed();
  }
}
