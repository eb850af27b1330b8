/**
 * Two readings of the time, both epoch milliseconds: the wall clock, and the wall clock as it was at start carried on by the monotonic
 * one. When somebody sets the clock they differ; whoever must not be early takes the reading that is on the safe side.
 */
export interface Clock {
  /** The later reading: from here lifetimes are counted. */
  latest(): number;
  /** The earlier reading: by this entries are removed. */
  earliest(): number;
}

function monotonic(): number {
  return performance.timeOrigin + performance.now();
}

export const systemClock: Clock = {
  latest: () => Math.max(Date.now(), monotonic()),
  earliest: () => Math.min(Date.now(), monotonic()),
};
