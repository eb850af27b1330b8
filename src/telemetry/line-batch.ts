/** Bytes after which a batch is not held back any longer, and milliseconds. */
const BATCH_BYTES = 64 * 1024;
const BATCH_MS = 200;
/** Bytes that a thread may have on their way to the disk before it drops lines. */
export const MAX_WAITING = 4 * 1024 * 1024;

/** Memory in which a thread and the control thread count the bytes that are on their way. It outlives the thread. */
export function newWaiting(): SharedArrayBuffer {
  return new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
}

/** These bytes are written or dropped: they do not wait any more. */
export function settled(waiting: SharedArrayBuffer, bytes: number): void {
  Atomics.sub(new Int32Array(waiting), 0, bytes);
}

/**
 * Lines of the access log on their way from a data-plane thread to the control thread, which writes them. A thread that wrote by itself would
 * hold one of the few threads that Node has for all files of the process; with a disk that hangs, several of them would hold all.
 * Writing never waits: lines are copied into one buffer that leaves when it is full or {@link BATCH_MS} old.
 */
export class LineBatch {
  readonly #waiting: Int32Array;
  readonly #post: (bytes: Uint8Array<ArrayBuffer>) => void;
  readonly #buffer = Buffer.allocUnsafeSlow(BATCH_BYTES);
  #used = 0;
  /** What is in the buffer leaves when this timer is over. */
  #timed = false;

  /** @param post gives the bytes away */
  constructor(waiting: SharedArrayBuffer, post: (bytes: Uint8Array<ArrayBuffer>) => void) {
    this.#waiting = new Int32Array(waiting);
    this.#post = post;
  }

  /**
   * @param line ASCII, with its line feed
   * @returns false: it was dropped, as too much waits already
   */
  readonly write = (line: string): boolean => {
    const { length } = line;
    if (length > BATCH_BYTES - this.#used) this.flush();
    if (
      length > BATCH_BYTES ||
      Atomics.load(this.#waiting, 0) + this.#used + length > MAX_WAITING
    ) {
      return false;
    }
    this.#used += this.#buffer.write(line, this.#used, 'latin1');
    if (!this.#timed) {
      this.#timed = true;
      setTimeout(this.#onTime, BATCH_MS).unref();
    }
    return true;
  };

  /** What there is leaves now. */
  flush(): void {
    if (this.#used === 0) return;
    const bytes = new Uint8Array(this.#buffer.subarray(0, this.#used));
    this.#used = 0;
    Atomics.add(this.#waiting, 0, bytes.length);
    this.#post(bytes);
  }

  readonly #onTime = (): void => {
    this.#timed = false;
    this.flush();
  };
}
