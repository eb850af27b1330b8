import { Readable } from 'node:stream';
import type { BodySink, BodySource } from '../../http1/body.ts';

/** A request's body on its way upstream, as undici reads it. */
export class RequestBody extends Readable implements BodySink {
  readonly #source: BodySource;
  #reading = false;

  constructor(source: BodySource) {
    super({ highWaterMark: 1 }); // one chunk is kept: where nobody reads, a body in small ones takes memory by their number
    this.#source = source;
    this.on('error', ignore); // whoever reads it has a listener of its own, but not for ever
  }

  override _read(): void {
    if (this.#reading) {
      this.#source.resume();
    } else {
      this.#reading = true;
      this.#source.start(this);
    }
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#source.abandon();
    callback(error);
  }

  onData(chunk: Uint8Array): boolean {
    return this.push(chunk);
  }

  onEnd(): void {
    this.push(null);
  }

  onError(error: Error): void {
    this.destroy(error);
  }
}

function ignore(): void {
  // An 'error' event without a listener would end the process; the exchange learns of it by other ways.
}
