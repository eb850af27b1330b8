import { setTimeout as pause } from 'node:timers/promises';

/** Resolves when `condition` holds; rejects with `what` when it does not within `deadlineMs`. For states that no event announces. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  deadlineMs = 10_000,
): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await pause(10);
  }
}
