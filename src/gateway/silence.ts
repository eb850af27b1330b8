/**
 * Calls back when what had come on any socket by now is read, and what that had to send is sent: timers are run before sockets are read, so
 * that one that fires after the thread stood still knows nothing of what came meanwhile. Two turns of the event loop, as node:http2 tells in
 * the next one only that a stream has sent all.
 */
export function afterReading(done: () => void): void {
  setImmediate(() => setImmediate(done));
}

/** How long a peer may let nothing happen. It is judged only when what it may have sent in time is read. */
export class Silence {
  readonly #onSilent: () => void;
  #timer: NodeJS.Timeout | undefined;
  /** Another one with whatever happens. */
  #state = 0;

  constructor(onSilent: () => void) {
    this.#onSilent = onSilent;
  }

  /** From now on, anew. Milliseconds. */
  start(ms: number): void {
    this.stop();
    this.#timer = setTimeout(this.#onTime, ms);
  }

  /** Something has happened. No effect where nothing is waited for. */
  moved(): void {
    this.#state++;
    this.#timer?.refresh();
  }

  stop(): void {
    this.#state++;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  readonly #onTime = (): void => {
    const state = this.#state;
    afterReading(() => {
      if (state !== this.#state) return;
      this.stop();
      this.#onSilent();
    });
  };
}
