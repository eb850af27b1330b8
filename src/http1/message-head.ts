/** A body in chunks (RFC 9112 section 7.1). */
export const CHUNKED = -1;

/** A response's body that ends with the connection (RFC 9112 section 6.3 point 8). */
export const UNTIL_CLOSE = -2;

/** The head of a request that was accepted. */
export interface RequestHead {
  readonly method: string;
  /** As it came: in origin-form, or in absolute-form with the authority that Host has. */
  readonly target: string;
  /** Of HTTP/1.x. */
  readonly minor: 0 | 1;
  /** All fields, also framing and Host: name in lower case and value without blanks around it, alternating. Latin-1. */
  readonly fields: readonly string[];
  /** Bytes of the body, 0 when there is none; or {@link CHUNKED}. */
  readonly length: number;
  /**
   * Whether another request may follow on the connection. Not in HTTP/1.0, not after `Connection: close`, and not behind the body of a
   * GET or HEAD: another reader could take that body for the next request.
   */
  readonly persistent: boolean;
  /** `Expect` (RFC 9110 section 10.1.1): `unknown` is to be answered with 417. */
  readonly expects: 'nothing' | 'continue' | 'unknown';
  /** HTTP/1.1 with an `Upgrade` field that `Connection` nominates (RFC 9110 section 7.8). */
  readonly upgrade: boolean;
}

/** The head of a response that was accepted. The reason phrase is dropped. */
export interface ResponseHead {
  readonly status: number;
  readonly minor: 0 | 1;
  /** As in a request. */
  readonly fields: readonly string[];
  /** Bytes of body that follow on this connection: 0 after HEAD, in 1xx, 204 and 304; or {@link CHUNKED}, or {@link UNTIL_CLOSE}. */
  readonly length: number;
  /** What `Content-Length` said, also where no body follows (HEAD, 304); -1 when there was none. */
  readonly contentLength: number;
  /** Whether the connection may serve another request. */
  readonly persistent: boolean;
}
