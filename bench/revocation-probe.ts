/** How `revocation.ts` measures: medians over small batches, so that a neighbour on the machine spoils a batch and not the figure. */
import { randomFillSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Operations timed together: the clock costs about as much as one. */
const BATCH = 100;
/** Look-ups timed together, and how often. */
const LOOKUPS = 1_000;
const ROUNDS = 500;
const WORDS = 3;

/** What one way of keeping revocations costs with one number of entries. All per entry or operation; undefined: it cannot do that. */
export interface Figures {
  readonly name: string;
  readonly entries: number;
  /** By the sizes of what was allocated, and by what the process grew in memory. */
  readonly bytesComputed?: number;
  readonly bytesMeasured: number;
  readonly insertNs: number;
  /** Longest that a hundred inserts kept their thread busy, without waiting for a processor: what growth holds it for. */
  readonly longestInsertsMs: number;
  readonly hitNs: number;
  readonly missNs: number;
  readonly expireNs?: number;
  /** Further figures, as text. */
  readonly notes?: string;
}

/** Fingerprints, {@link WORDS} words each, as they are of real names: evenly distributed. */
export function randomPrints(count: number): Uint32Array {
  const prints = new Uint32Array(count * WORDS);
  for (let at = 0; at < prints.length; at += 10_000_000)
    randomFillSync(prints.subarray(at, Math.min(at + 10_000_000, prints.length)));
  return prints;
}

const text = Buffer.alloc(36, '0');

/** An id of 36 characters out of a fingerprint: as long as the UUIDs that most token services put into `jti`. A new text in one piece. */
export function idOf(prints: Uint32Array, entry: number): string {
  const { buffer, byteOffset, BYTES_PER_ELEMENT } = prints;
  const bytes = Buffer.from(
    buffer,
    byteOffset + entry * WORDS * BYTES_PER_ELEMENT,
    WORDS * BYTES_PER_ELEMENT,
  );
  text.write(bytes.toString('hex'), 'latin1');
  return text.toString('latin1');
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** Bytes of memory that are this process's own and resident, after a garbage collection. */
export function ownMemory(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  collect();
  const anonymous = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return Number(anonymous) * 1024;
}

/**
 * Milliseconds that this thread has been busy: neither idle nor standing in line for a processor that others on the machine had. Linux counts
 * the time on a processor only in ticks of some milliseconds, so it is what the clock says without the rest.
 */
export function busyMs(): number {
  const [, waitedNs] = readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ');
  return performance.now() - performance.nodeTiming.idleTime - Number(waitedNs) / 1e6;
}

/** Median nanoseconds of an insert, and the longest hundred. */
export function timeInserts(
  entries: number,
  insert: (entry: number) => void,
): { insertNs: number; longestInsertsMs: number } {
  const times = new Float64Array(Math.ceil(entries / BATCH));
  let longestInsertsMs = 0;
  for (let batch = 0; batch < times.length; batch++) {
    const end = Math.min((batch + 1) * BATCH, entries);
    const busy = busyMs();
    const start = performance.now();
    for (let entry = batch * BATCH; entry < end; entry++) insert(entry);
    times[batch] = performance.now() - start;
    longestInsertsMs = Math.max(longestInsertsMs, busyMs() - busy);
  }
  times.sort();
  return { insertNs: ((times[times.length >> 1] ?? 0) * 1e6) / BATCH, longestInsertsMs };
}

/**
 * Median nanoseconds of a look-up. `prepare` makes what is looked up, which is not timed: other things each time, so that what they lead to is
 * in no cache; they themselves are, like the fingerprint of a token that was just verified.
 */
export function timeLookups(
  prepare: (lookups: number) => void,
  look: (lookup: number) => boolean,
  expected: boolean,
  rounds = ROUNDS,
  lookups = LOOKUPS,
): number {
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    prepare(lookups);
    let found = 0;
    const start = performance.now();
    for (let lookup = 0; lookup < lookups; lookup++) if (look(lookup)) found++;
    times.push(performance.now() - start);
    // A filter may find what is not there, once in a very long time.
    if (expected ? found !== lookups : found > 1)
      throw new Error(`${found} of ${lookups} found, expected ${expected ? 'all' : 'none'}`);
  }
  return (median(times) * 1e6) / lookups;
}
