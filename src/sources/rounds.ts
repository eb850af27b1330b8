/** The waiting that sources have in common: pauses, rounds of watching, and tasks that live and die together. */

/** Lets `reread()` end a pause early. A ring while nobody waits counts for the next pause. */
export class Bell {
  #rung = false;
  #wake: (() => void) | undefined;

  ring(): void {
    this.#rung = true;
    this.#wake?.();
  }

  /** Resolves after `ms` milliseconds, at a ring, or when `signal` aborts; to whether it was a ring. */
  pause(ms: number, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const finish = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', finish);
        this.#wake = undefined;
        const rang = this.#rung;
        this.#rung = false;
        resolve(rang && !signal.aborted);
      };
      const timer = setTimeout(finish, ms);
      this.#wake = finish;
      signal.addEventListener('abort', finish, { once: true });
      if (this.#rung || signal.aborted) finish();
    });
  }
}

/** One round of watching: its signal aborts with the outer one, and after `quietMs` milliseconds without `touch`. */
export class Round {
  readonly #stop = new AbortController();
  readonly #outer: AbortSignal;
  readonly #onAbort = (): void => this.#stop.abort();
  #timer: NodeJS.Timeout;
  #quiet = false;

  constructor(outer: AbortSignal, quietMs: number) {
    this.#outer = outer;
    this.#timer = this.#wait(quietMs);
    outer.addEventListener('abort', this.#onAbort, { once: true });
    if (outer.aborted) this.#stop.abort();
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Whether it ended because nothing came, and not because anything broke. */
  get quiet(): boolean {
    return this.#quiet;
  }

  /** From now on `quietMs` milliseconds are too long. */
  allow(quietMs: number): void {
    clearTimeout(this.#timer);
    if (!this.#stop.signal.aborted) this.#timer = this.#wait(quietMs);
  }

  #wait(quietMs: number): NodeJS.Timeout {
    return setTimeout(() => {
      this.#quiet = true;
      this.#stop.abort();
    }, quietMs);
  }

  /** Something came: the quiet time begins anew. */
  touch(): void {
    this.#timer.refresh();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#outer.removeEventListener('abort', this.#onAbort);
    this.#stop.abort();
  }
}

/** Runs tasks side by side until `signal` aborts or the first of them ends or fails; then ends the others and waits for them. */
export async function together(
  signal: AbortSignal,
  tasks: readonly ((signal: AbortSignal) => Promise<void>)[],
): Promise<void> {
  const stop = new AbortController();
  const onAbort = (): void => stop.abort();
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) stop.abort();
  const failures: unknown[] = [];
  await Promise.all(
    tasks.map(async (task) => {
      try {
        await task(stop.signal);
      } catch (error) {
        // What fails after the end fails because of it.
        if (!stop.signal.aborted) failures.push(error);
      } finally {
        stop.abort();
      }
    }),
  );
  signal.removeEventListener('abort', onAbort);
  if (failures.length > 0 && !signal.aborted) throw failures[0];
}
