/**
 * What KrakenD's revoker keeps: three bloom filters for `entries` each, rotated once per token lifetime (next, current, previous). An entry is
 * added to next and current, and looked up in previous and current; so it can be forgotten only with a whole filter, after two to three
 * lifetimes. Sized by the formula that KrakenD uses: n ln(1/p) / ln(2)^2 bits and 30 positions each for p = 10^-9.
 *
 * In its favour: positions are made of the fingerprint (double hashing), where KrakenD hashes the text anew for each look-up.
 */
import { randomFillSync } from 'node:crypto';

const FALSE_POSITIVES = 1e-9;
const POSITIONS = Math.ceil(Math.log2(1 / FALSE_POSITIVES));

export class BloomFilters {
  readonly #bits: number;
  readonly #previous: Uint32Array;
  readonly #current: Uint32Array;
  readonly #next: Uint32Array;

  constructor(entries: number) {
    this.#bits = Math.ceil((entries * Math.log(1 / FALSE_POSITIVES)) / Math.LN2 ** 2);
    const words = Math.ceil(this.#bits / 32);
    this.#current = new Uint32Array(words);
    this.#next = new Uint32Array(words);
    // As full as it was when it was current: half of its bits.
    this.#previous = new Uint32Array(words);
    for (let at = 0; at < words; at += 10_000_000)
      randomFillSync(this.#previous.subarray(at, Math.min(at + 10_000_000, words)));
  }

  get bytes(): number {
    return this.#previous.byteLength + this.#current.byteLength + this.#next.byteLength;
  }

  add(prints: Uint32Array, at: number): void {
    const step = this.#step(prints, at);
    let bit = (prints[at] ?? 0) % this.#bits;
    for (let i = 0; i < POSITIONS; i++) {
      const word = bit >>> 5;
      const mask = 1 << (bit & 31);
      this.#current[word] = (this.#current[word] ?? 0) | mask;
      this.#next[word] = (this.#next[word] ?? 0) | mask;
      bit = (bit + step) % this.#bits;
    }
  }

  has(prints: Uint32Array, at: number): boolean {
    return this.#in(this.#previous, prints, at) || this.#in(this.#current, prints, at);
  }

  #in(filter: Uint32Array, prints: Uint32Array, at: number): boolean {
    const step = this.#step(prints, at);
    let bit = (prints[at] ?? 0) % this.#bits;
    for (let i = 0; i < POSITIONS; i++) {
      if ((((filter[bit >>> 5] ?? 0) >>> (bit & 31)) & 1) === 0) return false;
      bit = (bit + step) % this.#bits;
    }
    return true;
  }

  #step(prints: Uint32Array, at: number): number {
    return ((prints[at + 1] ?? 0) % (this.#bits - 1)) + 1;
  }
}
