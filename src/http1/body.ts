/**
 * Where the body of a message goes. Exactly one of `onEnd` and `onError` comes, last; neither after the source was abandoned.
 */
export interface BodySink {
  /**
   * A chunk smaller than {@link GIVEN_AWAY_BYTES} of wire.ts is valid only until this returns; a larger one belongs to the sink.
   * False: hold until `resume()`. What the read in hand still has comes nevertheless, and has to be taken.
   */
  onData(chunk: Uint8Array): boolean;
  /** @param trailers names and values, alternating; usually none */
  onEnd(trailers: readonly string[]): void;
  /** The body breaks the grammar (a `GrammarError`) or ends too early (one with `cutShort`). */
  onError(error: Error): void;
}

/** Where the body of a message comes from. */
export interface BodySource {
  /** Bytes; -1: not said. */
  readonly length: number;
  /** Once. Data, end and error may come inside of it. */
  start(sink: BodySink): void;
  /** After a sink's false: it takes more. */
  resume(): void;
  /** The sink hears nothing more; what still comes is read and dropped, within bounds. */
  abandon(): void;
}
