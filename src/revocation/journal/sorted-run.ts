import { RECORD_WORDS } from './format.ts';
import { compareFingerprints } from './record.ts';

/** Records in one run. A key for sorting holds the first word and the place in the run, which together must fit 53 bits. */
const RUN_RECORDS = 2 ** 20;
const PLACES = 2 ** 21;

/** Records of segments in memory, sorted by fingerprint once all are there. */
export class SortedRun {
  readonly words = new Uint32Array(RUN_RECORDS * RECORD_WORDS);
  #count = 0;
  #order: Uint32Array = new Uint32Array(0);

  get full(): boolean {
    return this.#count === RUN_RECORDS;
  }

  get count(): number {
    return this.#count;
  }

  add(record: Uint32Array): void {
    this.words.set(record, this.#count * RECORD_WORDS);
    this.#count++;
  }

  sort(): void {
    // Floats sort natively; a comparing function called for each pair would take ten times as long.
    const keys = new Float64Array(this.#count);
    for (let i = 0; i < this.#count; i++)
      keys[i] = (this.words[i * RECORD_WORDS] ?? 0) * PLACES + i;
    keys.sort();
    const order = new Uint32Array(this.#count);
    for (let i = 0; i < this.#count; i++) order[i] = (keys[i] ?? 0) % PLACES;
    // Records with one first word stand together now, by their places: few, so they are put in order by insertion.
    for (let i = 1; i < order.length; i++) {
      const moved = order[i] ?? 0;
      let to = i;
      while (to > 0 && this.#compare(order[to - 1] ?? 0, moved) > 0) {
        order[to] = order[to - 1] ?? 0;
        to--;
      }
      order[to] = moved;
    }
    this.#order = order;
  }

  /** Word offset of the n-th record in order. */
  at(n: number): number {
    return (this.#order[n] ?? 0) * RECORD_WORDS;
  }

  #compare(left: number, right: number): number {
    return compareFingerprints(this.words, left * RECORD_WORDS, this.words, right * RECORD_WORDS);
  }
}
