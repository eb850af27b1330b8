import type { Writable } from 'node:stream';

/** So many writes of one message may be on their way: a stream of Node's counts their bytes alone, and small ones take memory by their number. */
const MAX_UNSENT = 64;

/** What is written to a stream of Node's, at the pace at which it leaves. */
export class BoundedWrites {
  readonly #stream: Writable;
  readonly #sent: () => void;
  readonly #drained: () => void;
  #unsent = 0;
  #blocked = false;

  /**
   * @param sent a write has left
   * @param drained all has left after a write that returned false
   */
  constructor(stream: Writable, sent: () => void, drained: () => void) {
    this.#stream = stream;
    this.#sent = sent;
    this.#drained = drained;
  }

  /** @returns false: wait until all has left */
  write(chunk: Uint8Array): boolean {
    this.#unsent++;
    const room = this.#stream.write(chunk, this.#onSent);
    if (!room || this.#unsent >= MAX_UNSENT) this.#blocked = true;
    return !this.#blocked;
  }

  readonly #onSent = (error?: Error | null): void => {
    this.#unsent--;
    if (error) return; // the stream says so itself
    this.#sent();
    if (this.#unsent > 0 || !this.#blocked) return;
    this.#blocked = false;
    this.#drained();
  };
}
