import { BodyReader, type BodyEvents } from './body-reader.ts';
import type { BodySink, BodySource } from './body.ts';
import type { HeadLimits } from './limits.ts';
import { GIVEN_AWAY_BYTES } from './wire.ts';

/** What the connection of a body does for it. */
export interface BodyHost {
  /** A sink is there: a client that waits for `100 Continue` may send. */
  bodyStarted(): void;
  /** All of it has come. @param behind bytes that the read in hand has behind it */
  bodyWhole(behind: number): void;
  /** No more of it can be taken. */
  stopReading(): void;
  /** More can be taken. */
  readOn(): void;
}

/** Bytes that are kept until there is a sink; then no more is read. */
const MAX_EARLY = 65_536;

/** What a kept piece costs besides its bytes, so that a client that sends single bytes is held as soon. */
const PIECE_COST = 256;

/** Bytes that are dropped while there is no answer; then no more is read until there is. */
const MAX_DROPPED = 256 * 1024;

const NO_TRAILERS: readonly string[] = [];

/**
 * The body of one request. It is read as it comes, also before there is a sink: a body that breaks the grammar is known early, and a small
 * one is out of the way of the next request. What one read has of it reaches the sink in one piece, however many chunks it came in.
 */
export class RequestBody implements BodySource, BodyEvents {
  readonly length: number;
  /** Bytes of it that have come. */
  received = 0;
  /** Whole, and read. */
  done = false;
  /** It breaks the grammar; nothing behind that can be read. */
  broken = false;
  readonly #host: BodyHost;
  readonly #reader: BodyReader;
  #sink: BodySink | undefined;
  #abandoned = false;
  #error: Error | undefined;
  #dropped = 0;
  /** What came before there was a sink. */
  #early: Buffer[] | undefined;
  #earlyCost = 0;
  /** What the read in hand has brought. */
  #piece: Buffer | undefined;
  #pieces: Buffer[] | undefined;
  #trailers = NO_TRAILERS;

  constructor(length: number, limits: HeadLimits, host: BodyHost) {
    this.length = length;
    this.#host = host;
    this.#reader = new BodyReader(length, limits, this);
  }

  /** Bytes that are still to come; Infinity when not said. */
  get missing(): number {
    return this.length < 0 ? Infinity : this.length - this.received;
  }

  /** More of it will come and can be read. */
  get open(): boolean {
    return !this.done && !this.broken;
  }

  start(sink: BodySink): void {
    if (this.#error !== undefined) sink.onError(this.#error);
    if (this.#abandoned) return;
    this.#sink = sink;
    const early = this.#early;
    this.#early = undefined;
    let takes = true;
    if (early !== undefined) {
      for (const piece of early) {
        // Asked anew each time: the sink may abandon it inside of the call.
        if (this.#sink !== undefined && !this.#sink.onData(piece)) takes = false;
      }
    }
    if (this.done) this.#finish();
    else if (this.#sink !== undefined) {
      this.#host.bodyStarted();
      if (takes) this.#host.readOn();
      else this.#host.stopReading();
    }
  }

  resume(): void {
    if (!this.done && this.#sink !== undefined) this.#host.readOn();
  }

  abandon(): void {
    this.#abandoned = true;
    this.#sink = undefined;
    this.#early = undefined;
    if (!this.done) this.#host.readOn();
  }

  /** It will never be whole for who takes it; whoever that will be is told. @returns false: nobody has been told yet */
  fail(error: Error): boolean {
    const sink = this.#sink;
    const told = sink !== undefined || this.#abandoned;
    if (!told) this.#error = error;
    this.abandon();
    sink?.onError(error);
    return told;
  }

  /**
   * Reads what belongs to the body.
   * @returns index in `bytes` up to which it read
   * @throws GrammarError; what this read brought is dropped then
   */
  read(bytes: Buffer, from: number): number {
    let at: number;
    try {
      at = this.#reader.read(bytes, from, bytes.length);
    } catch (error) {
      this.broken = true;
      throw error;
    }
    if (this.#reader.done) this.#host.bodyWhole(bytes.length - at);
    this.#handOver();
    if (this.#reader.done) {
      this.done = true;
      this.#finish();
    }
    return at;
  }

  /** Of the reader. */
  onData(chunk: Buffer): void {
    this.received += chunk.length;
    if (this.#abandoned) {
      this.#dropped += chunk.length;
      if (this.#dropped > MAX_DROPPED) this.#host.stopReading();
    } else if (chunk.length >= GIVEN_AWAY_BYTES) {
      this.#handOver();
      this.#give(chunk);
    } else if (this.#piece === undefined) this.#piece = chunk;
    else if (this.#pieces === undefined) this.#pieces = [this.#piece, chunk];
    else this.#pieces.push(chunk);
  }

  /** Of the reader. */
  onTrailers(fields: readonly string[]): void {
    this.#trailers = fields;
  }

  #handOver(): void {
    const piece = this.#piece;
    if (piece === undefined) return;
    const pieces = this.#pieces;
    this.#piece = undefined;
    this.#pieces = undefined;
    this.#give(pieces === undefined ? piece : Buffer.concat(pieces));
  }

  #give(chunk: Buffer): void {
    if (this.#sink !== undefined) {
      if (!this.#sink.onData(chunk) && !this.#reader.done) this.#host.stopReading();
    } else if (!this.#abandoned) {
      (this.#early ??= []).push(chunk);
      this.#earlyCost += chunk.length + PIECE_COST;
      if (this.#earlyCost > MAX_EARLY) this.#host.stopReading();
    }
  }

  #finish(): void {
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.onEnd(this.#trailers);
  }
}
