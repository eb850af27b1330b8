import { Readable } from 'node:stream';
import { GatewayFault } from '../errors.ts';

/**
 * A request's body on its way upstream: bounded in size and in idle time, and with a life of its own, so that an upstream which fails in
 * the middle does not take the client's connection with it. Trailers are left behind (RFC 9110 section 6.5.1).
 */
export class RequestBody extends Readable {
  readonly #source: Readable;
  readonly #maxBytes: number;
  readonly #idleMs: number;
  readonly #onWanted: () => void;
  #received = 0;
  #reading = false;
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param maxBytes -1: no limit
   * @param idleMs milliseconds that the client may stay silent while more is wanted
   * @param onWanted called once, when the upstream is there to take the body
   */
  constructor(source: Readable, maxBytes: number, idleMs: number, onWanted: () => void) {
    super();
    this.#source = source;
    this.#maxBytes = maxBytes;
    this.#idleMs = idleMs;
    this.#onWanted = onWanted;
    this.on('error', ignore); // whoever reads it has a listener of its own, but not for ever
  }

  override _read(): void {
    if (this.#reading) {
      this.#source.resume();
    } else {
      this.#reading = true;
      this.#onWanted();
      this.#source
        .on('data', this.#onData)
        .on('end', this.#onEnd)
        .on('error', ignore)
        .on('aborted', this.#onGone)
        .on('close', this.#onGone);
    }
    this.#timer ??= setTimeout(this.#onIdle, this.#idleMs);
    this.#timer.refresh();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    clearTimeout(this.#timer);
    this.#source
      .off('data', this.#onData)
      .off('end', this.#onEnd)
      .off('aborted', this.#onGone)
      .off('close', this.#onGone);
    callback(error);
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#received += chunk.length;
    if (this.#maxBytes >= 0 && this.#received > this.#maxBytes) {
      this.#source.pause();
      this.destroy(
        new GatewayFault('payloadTooLarge', `body of more than ${this.#maxBytes} bytes`),
      );
    } else if (this.push(chunk)) {
      this.#timer?.refresh();
    } else {
      this.#source.pause();
      clearTimeout(this.#timer);
      this.#timer = undefined;
    }
  };

  readonly #onEnd = (): void => {
    clearTimeout(this.#timer);
    this.push(null);
  };

  readonly #onGone = (): void => {
    if (!this.readableEnded && !this.#source.readableEnded) {
      this.destroy(new Error('the client went away in the middle of its request'));
    }
  };

  readonly #onIdle = (): void => {
    this.destroy(new GatewayFault('requestTimedOut', 'the request body stopped coming'));
  };
}

function ignore(): void {
  // An 'error' event without a listener would end the process; the exchange learns of it by other ways.
}
