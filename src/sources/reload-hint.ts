/** Passes hints on, but not a flood of them. */
export interface ReloadHint {
  give(): void;
  /** Forgets a hint that is still held back. */
  close(): void;
}

const DEFAULT_INTERVAL_MS = 5000;

/** The first hint is passed on at once; those that follow within the interval become one at its end. */
export function createReloadHint(
  pass: (() => void) | undefined,
  intervalMs = DEFAULT_INTERVAL_MS,
): ReloadHint {
  let timer: NodeJS.Timeout | undefined;
  let waiting = false;
  const give = (): void => {
    if (pass === undefined) return;
    if (timer !== undefined) {
      waiting = true;
      return;
    }
    timer = setTimeout(() => {
      timer = undefined;
      if (!waiting) return;
      waiting = false;
      give();
    }, intervalMs);
    timer.unref();
    pass();
  };
  return {
    give,
    close: () => {
      clearTimeout(timer);
      timer = undefined;
      waiting = false;
    },
  };
}
