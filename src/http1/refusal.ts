/** Why bytes are refused. Which status and text that gets is the gateway's. */
export type Refusal =
  | 'malformed'
  | 'method'
  | 'connect'
  | 'version'
  | 'targetTooLong'
  | 'fieldsTooLarge'
  | 'framing'
  | 'chunk'
  | 'chunkExtensions'
  | 'trailers'
  | 'cutShort';

/** `at` of a head, or of trailers, that is larger than it may be. */
export const TOO_MANY_BYTES = 'too many bytes of fields';

/** Bytes that are not HTTP/1.1 as this gateway speaks it. What follows them on the connection cannot be known: it is over. */
export class GrammarError extends Error {
  readonly refusal: Refusal;
  /** What is wrong, in fixed words: never bytes of the message, as those may be secrets. */
  readonly at: string;

  constructor(refusal: Refusal, at: string) {
    super(at);
    this.name = 'GrammarError';
    this.refusal = refusal;
    this.at = at;
  }
}
