import type { ResponseHead } from './message-head.ts';

/** Who is told the answer to one request. Exactly one of `onEnd`, `onSwitch` and `onError` comes, last; none of them after `abort()`. */
export interface ResponseEvents {
  /** The final head, once. False: hold the body until `resume()`; what is there of it is copied and kept. */
  onHead(head: ResponseHead): boolean;
  /**
   * A chunk smaller than 16 KiB is valid only until this returns; a larger one belongs to the callee.
   * False: hold until `resume()`. What the read in hand still has comes nevertheless.
   */
  onData(chunk: Buffer): boolean;
  /** @param trailers names and values, alternating; usually none */
  onEnd(trailers: readonly string[]): void;
  /** At the end of a read of which something was handed over, if `onEnd` did not come in it. */
  onFlush(): void;
  /** 101. The wire is the callee's; nothing is called here after that. @param early what came behind the head, the callee's own */
  onSwitch(head: ResponseHead, early: Buffer): void;
  onError(error: ClientConnectionError): void;
}

/**
 * `broken`: the connection ended before the answer did. `malformed`: what came is no HTTP/1.1 as we take it. `request`: the request could
 * not be sent whole, as its own body broke.
 */
export type ClientFailure = 'broken' | 'malformed' | 'request';

export class ClientConnectionError extends Error {
  readonly kind: ClientFailure;
  /**
   * The connection had served before, nothing of an answer came, and the request is one that may be sent twice (no body, idempotent:
   * RFC 9110 section 9.2.2): the other side closed an idle connection while we sent.
   */
  readonly replayable: boolean;

  constructor(kind: ClientFailure, message: string, replayable: boolean, cause?: Error) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'ClientConnectionError';
    this.kind = kind;
    this.replayable = replayable;
  }
}
