/** Characters of finished lines that a thread may have on their way to the control thread before it drops lines. */
const MAX_IN_FLIGHT = 1024 * 1024;
/** Characters after which a batch is not held back any longer. */
const BATCH = 16 * 1024;

/** Memory in which a thread and the control thread count the characters that are on their way. */
export function newFlight(): SharedArrayBuffer {
  return new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
}

/** Lines taken by the control thread are not on their way any more. */
export function landed(flight: SharedArrayBuffer, lines: string): void {
  Atomics.sub(new Int32Array(flight), 0, lines.length);
}

/**
 * Where a thread's finished log lines go: to the control thread, in batches, as the one writer of standard output keeps lines whole, in
 * order and bounded for all of them (a thread's own `process.stdout` goes through the control thread as well, but without a bound).
 * Writing never waits. A control thread that does not keep up gets no more than {@link MAX_IN_FLIGHT}; what is beyond is dropped and
 * counted. Lines that were posted outlive their thread; {@link flush} posts what is left at its end.
 */
export class LogRelay {
  readonly #post: (lines: string, dropped: number) => void;
  readonly #flight: Int32Array;
  #lines = '';
  #dropped = 0;
  #scheduled = false;

  constructor(flight: SharedArrayBuffer, post: (lines: string, dropped: number) => void) {
    this.#flight = new Int32Array(flight);
    this.#post = post;
  }

  write(line: string): void {
    if (Atomics.load(this.#flight, 0) + this.#lines.length + line.length > MAX_IN_FLIGHT) {
      this.#dropped += 1;
      return;
    }
    this.#lines += line;
    if (this.#lines.length >= BATCH) this.flush();
    else this.#schedule();
  }

  flush(): void {
    if (this.#lines === '') return;
    Atomics.add(this.#flight, 0, this.#lines.length);
    this.#post(this.#lines, this.#dropped);
    this.#lines = '';
    this.#dropped = 0;
  }

  /** At the end of this turn of the event loop, so that the lines of one request are one message. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.flush();
    });
  }
}
