import type { Writable } from 'node:stream';
import type { ClientSide } from '../client-side.ts';

/** What leaves of one answer, through a response of node:http or node:http2: a client that takes nothing of it for too long is left. */
export class AnswerFlow {
  readonly #client: ClientSide;
  readonly #response: Writable;
  readonly #stallMs: number;
  #stall: NodeJS.Timeout | undefined;
  #waiting = false;

  /** @param stallMs milliseconds that the client may take nothing of its answer */
  constructor(client: ClientSide, response: Writable, stallMs: number) {
    this.#client = client;
    this.#response = response;
    this.#stallMs = stallMs;
  }

  /** False: hold until the listener's `onDrain`. */
  write(chunk: Uint8Array): boolean {
    if (this.#response.write(chunk)) return true;
    this.watch();
    if (!this.#waiting) {
      this.#waiting = true;
      this.#response.once('drain', () => this.#drained());
    }
    return false;
  }

  /** Some of the answer has not left: the client's time begins. */
  watch(): void {
    clearTimeout(this.#stall);
    this.#stall = setTimeout(() => this.#client.breakOff(), this.#stallMs);
  }

  /** The response is closed, whole or not. */
  closed(): void {
    clearTimeout(this.#stall);
    this.#client.listener.onClose();
  }

  #drained(): void {
    this.#waiting = false;
    clearTimeout(this.#stall);
    this.#client.listener.onDrain();
  }
}
