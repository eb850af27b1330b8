import { processorMicroseconds, type ProcessorTime } from './cpu.ts';

/** Share of the time for which somebody wanted a processor that the machine's host may give to others. */
export const MOST_STOLEN = 0.01;
/** Rounds that may be disturbed for each that is wanted. */
const MOST_DISTURBED = 3;

export interface Undisturbed<T> {
  /** Of the rounds in which both were left alone; none, where the host never did. */
  readonly results: readonly T[];
  /** Of all that were run. */
  readonly all: readonly T[];
}

/** @returns what it measured, and which share of the processor time that was wanted meanwhile the machine's host gave to others */
async function stolenFrom<T>(
  measure: () => Promise<T>,
  now: () => ProcessorTime,
): Promise<readonly [T, number]> {
  const before = now();
  const result = await measure();
  const after = now();
  const wanted = after.wanted - before.wanted;
  return [result, wanted === 0 ? 0 : (after.stolen - before.stolen) / wanted];
}

/** What became of measurements that are done again where the machine's host disturbed them. */
export class Disturbances {
  readonly #most: number;
  readonly #now: () => ProcessorTime;
  #measured = 0;
  #again = 0;
  #mostStolen = 0;

  /** @param most times that one measurement may be done again */
  constructor(most: number, now: () => ProcessorTime = processorMicroseconds) {
    this.#most = most;
    this.#now = now;
  }

  /** Measures until it was left alone, or no more often. @returns what came out when the host took least */
  async least<T>(measure: () => Promise<T>): Promise<T> {
    this.#measured++;
    let [least, stolen] = await stolenFrom(measure, this.#now);
    for (let more = this.#most; stolen > MOST_STOLEN && more > 0; more--) {
      this.#again++;
      const [next, stolenNext] = await stolenFrom(measure, this.#now);
      if (stolenNext < stolen) [least, stolen] = [next, stolenNext];
    }
    this.#mostStolen = Math.max(this.#mostStolen, stolen);
    return least;
  }

  /** A sentence for a report. */
  toString(): string {
    const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
    return (
      `Of ${this.#measured} measurements ${this.#again} were done again, because the machine's host took more than ${percent(MOST_STOLEN)} of the ` +
      `processor time that was wanted; of those that count, it took ${percent(this.#mostStolen)} at most.`
    );
  }
}

/**
 * Measures two things in turns until in `rounds` rounds both were left alone by the machine's host, which is told by the time that it took and by
 * nothing else. Each is judged for itself, by the time that it wanted: an idle one is disturbed by as little.
 * @returns fewer than `rounds` where the host hardly ever leaves it alone
 */
export async function undisturbed<T>(
  rounds: number,
  first: () => Promise<T>,
  second: () => Promise<T>,
  now: () => ProcessorTime = processorMicroseconds,
): Promise<Undisturbed<readonly [T, T]>> {
  const results: (readonly [T, T])[] = [];
  const all: (readonly [T, T])[] = [];
  while (results.length < rounds) {
    const [one, stolenFromOne] = await stolenFrom(first, now);
    const [other, stolenFromOther] = await stolenFrom(second, now);
    all.push([one, other]);
    if (Math.max(stolenFromOne, stolenFromOther) <= MOST_STOLEN) results.push([one, other]);
    else if (all.length - results.length > MOST_DISTURBED * rounds) break;
  }
  return { results, all };
}
