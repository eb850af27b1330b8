import { processorMicroseconds } from './cpu.ts';

/** Share of the processors' time that the machine's host may give to others during a round. */
const MOST_STOLEN = 0.01;
/** Rounds that may be done again for each that counts. */
const MOST_AGAIN = 3;

/**
 * Runs `round` until it was `rounds` times left alone by the machine's host. What one of them is compared with belongs into the same round: it is
 * kept or done again whole, whatever came out.
 * @returns their results, and how many were done again
 */
export async function undisturbed<T>(
  rounds: number,
  round: () => Promise<T>,
): Promise<{ readonly results: readonly T[]; readonly again: number }> {
  const results: T[] = [];
  let again = 0;
  while (results.length < rounds) {
    const before = processorMicroseconds();
    const result = await round();
    const after = processorMicroseconds();
    if ((after.stolen - before.stolen) / (after.all - before.all) <= MOST_STOLEN)
      results.push(result);
    else if (++again > MOST_AGAIN * rounds)
      throw new Error("the machine's host needs its processors itself: measure at another time");
  }
  return { results, again };
}

/** In Markdown, for below a table. */
export function againNote(counts: string): string {
  return `Rounds that were done again, because the machine's host took more than ${MOST_STOLEN * 100} % of the processors' time meanwhile: ${counts}.`;
}
