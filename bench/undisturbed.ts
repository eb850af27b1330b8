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
  const stolenIn = async (measure: () => Promise<T>): Promise<readonly [T, number]> => {
    const before = now();
    const result = await measure();
    const after = now();
    const wanted = after.wanted - before.wanted;
    return [result, wanted === 0 ? 0 : (after.stolen - before.stolen) / wanted];
  };
  while (results.length < rounds) {
    const [one, stolenFromOne] = await stolenIn(first);
    const [other, stolenFromOther] = await stolenIn(second);
    all.push([one, other]);
    if (Math.max(stolenFromOne, stolenFromOther) <= MOST_STOLEN) results.push([one, other]);
    else if (all.length - results.length > MOST_DISTURBED * rounds) break;
  }
  return { results, all };
}
