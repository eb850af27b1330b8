import { randomFillSync } from 'node:crypto';

/** Words of a fingerprint. */
export const WORDS = 3;

/** End that fits every test: epoch seconds in 2027. */
export const END = 1_800_000_000;

/** Fingerprints as the real ones are: evenly distributed. In memory that can be given to other threads. */
export function randomPrints(count: number): Uint32Array<SharedArrayBuffer> {
  const prints = new Uint32Array(new SharedArrayBuffer(count * WORDS * 4));
  const part = new Uint32Array(1 << 16);
  for (let at = 0; at < prints.length; at += part.length) {
    randomFillSync(part);
    prints.set(part.subarray(0, Math.min(part.length, prints.length - at)), at);
  }
  return prints;
}
