import type { BodySink, BodySource } from './body.ts';
import type { MessageWriter } from './message-writer.ts';

/** What the connection hears of the request that it sends. */
export interface SenderHost {
  /** The body cannot be sent as its head says. */
  requestFailed(error: Error): void;
  /** Something was written. */
  requestMoved(): void;
}

/** Sends one request's body: from its source to the writer, no faster than the wire takes it. */
export class RequestSender implements BodySink {
  /** The request is written whole. */
  done = false;
  readonly #source: BodySource;
  readonly #writer: MessageWriter;
  readonly #host: SenderHost;
  /** Inside of the source's `start`: what comes at once leaves with the head. */
  #starting = true;
  #over = false;
  /** The source was told to hold. */
  #holds = false;

  constructor(source: BodySource, writer: MessageWriter, host: SenderHost) {
    this.#source = source;
    this.#writer = writer;
    this.#host = host;
  }

  start(): void {
    this.#source.start(this);
    this.#starting = false;
    if (!this.#over && !this.done) this.#writer.flush();
  }

  /** The wire takes more. */
  drained(): void {
    if (!this.#holds || this.#over || this.done) return;
    this.#holds = false;
    this.#source.resume();
  }

  /** The rest is not wanted. */
  abandon(): void {
    if (this.#over || this.done) return;
    this.#over = true;
    this.#source.abandon();
  }

  onData(chunk: Uint8Array): boolean {
    if (this.#over) return true;
    this.#host.requestMoved();
    if (!this.#writer.fits(chunk.length)) {
      this.#fail(new Error('the body of the request is longer than its head says'));
      return true;
    }
    this.#writer.write(chunk);
    if (!this.#starting) this.#writer.flush();
    this.#holds = this.#writer.blocked;
    return !this.#holds;
  }

  onEnd(_trailers: readonly string[]): void {
    if (this.#over) return;
    this.#host.requestMoved();
    if (this.#writer.end(undefined)) this.done = true;
    else this.#fail(new Error('the body of the request is shorter than its head says'));
  }

  onError(error: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#host.requestFailed(error);
  }

  #fail(error: Error): void {
    this.abandon();
    this.#host.requestFailed(error);
  }
}
