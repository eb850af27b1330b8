import type { Readable } from 'node:stream';
import type { BodySink, BodySource } from '../../http1/body.ts';

/** A request's body as node:http and node:http2 give it. Trailers are left behind (RFC 9110 section 6.5.1). */
export class StreamBody implements BodySource {
  readonly length: number;
  readonly #source: Readable;
  #sink: BodySink | undefined;

  /** @param length bytes; -1: not said */
  constructor(source: Readable, length: number) {
    this.#source = source;
    this.length = length;
  }

  start(sink: BodySink): void {
    this.#sink = sink;
    this.#source
      .on('data', this.#onData)
      .on('end', this.#onEnd)
      .on('error', ignore)
      .on('aborted', this.#onGone)
      .on('close', this.#onGone);
    // Without a byte a stream of node:http2 ends whether somebody reads it or not, and says so only once.
    if (this.#source.readableEnded && !this.#source.readableAborted) this.#onEnd();
  }

  resume(): void {
    this.#source.resume();
  }

  abandon(): void {
    this.#sink = undefined;
    this.#source
      .off('data', this.#onData)
      .off('end', this.#onEnd)
      .off('aborted', this.#onGone)
      .off('close', this.#onGone);
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#sink?.onData(chunk) === false) this.#source.pause();
  };

  readonly #onEnd = (): void => {
    const sink = this.#sink;
    this.abandon();
    sink?.onEnd([]);
  };

  readonly #onGone = (): void => {
    const sink = this.#sink;
    if (sink === undefined || this.#source.readableEnded) return;
    this.abandon();
    sink.onError(new Error('the client went away in the middle of its request'));
  };
}

function ignore(): void {
  // An 'error' event without a listener would end the process; the exchange learns of it by other ways.
}
