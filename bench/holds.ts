import { busyMs } from './revocation-probe.ts';

/** Milliseconds between two looks. */
const EVERY_MS = 1;

/**
 * Watches for how long this thread holds its event loop: the time between two runs of a timer for which it was busy, so that neither what
 * others on the machine do nor an idle wait counts.
 */
export function watchHolds(): { longestMs: () => number } {
  let longest = 0;
  let before = busyMs();
  const look = (): void => {
    const now = busyMs();
    longest = Math.max(longest, now - before);
    before = now;
  };
  const timer = setInterval(look, EVERY_MS);
  return {
    longestMs: () => {
      look();
      clearInterval(timer);
      return longest;
    },
  };
}
