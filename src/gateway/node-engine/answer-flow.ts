import type { Writable } from 'node:stream';
import { BoundedWrites } from '../bounded-writes.ts';
import type { ClientSide } from '../client-side.ts';
import { Silence } from '../silence.ts';

/** What leaves of one answer, through a response of node:http or node:http2: a client that takes nothing of it for too long is left. */
export class AnswerFlow {
  readonly #client: ClientSide;
  readonly #response: Writable;
  readonly #writes: BoundedWrites;
  readonly #stallMs: number;
  readonly #stall = new Silence(() => this.#client.breakOff());

  /** @param stallMs milliseconds that the client may take nothing of its answer */
  constructor(client: ClientSide, response: Writable, stallMs: number) {
    this.#client = client;
    this.#response = response;
    this.#writes = new BoundedWrites(response, nothing, () => this.#drained());
    this.#stallMs = stallMs;
  }

  /** False: hold until the listener's `onDrain`. */
  write(chunk: Uint8Array): boolean {
    if (this.#writes.write(chunk)) return true;
    this.watch();
    return false;
  }

  /** Some of the answer has not left: the client's time begins. */
  watch(): void {
    this.#stall.start(this.#stallMs);
  }

  /** The response is closed, whole or not. */
  closed(): void {
    this.#stall.stop();
    this.#client.listener.onClose();
  }

  #drained(): void {
    if (this.#response.writableEnded) return; // its end has not left
    this.#stall.stop();
    this.#client.listener.onDrain();
  }
}

function nothing(): void {
  // A write of several is no news.
}
