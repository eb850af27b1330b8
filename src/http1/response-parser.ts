import { connectionOptions, framing, readFields } from './fields.ts';
import { firstLineEnd } from './first-line.ts';
import type { HeadLimits } from './limits.ts';
import { CHUNKED, type ResponseHead, UNTIL_CLOSE } from './message-head.ts';
import { GrammarError } from './refusal.ts';

/**
 * Reads a response's head (RFC 9112 section 4): exactly what is written in docs/http1.md, all else is refused.
 * @param end after the blank line, as {@link HeadScanner.find} says it
 * @param requestMethod of the request that it answers: after HEAD no body follows
 * @throws GrammarError
 */
export function parseResponseHead(
  bytes: Buffer,
  start: number,
  end: number,
  limits: HeadLimits,
  requestMethod: string,
): ResponseHead {
  const text = bytes.toString('latin1', start, end);
  const lineEnd = firstLineEnd('response', text, 0, limits);
  const minor = text.charCodeAt(7) === 0x31 ? 1 : 0;
  const status = Number(text.slice(9, 12));
  const section = readFields(bytes, text, start, lineEnd + 2, limits);
  const framed = framing(section, minor);
  const { close } = connectionOptions(section.connection);
  const bodyless = status < 200 || status === 204 || status === 304;
  if (framed === CHUNKED && bodyless) {
    throw new GrammarError('framing', 'Transfer-Encoding in an answer without a body');
  }
  const length = bodyless || requestMethod === 'HEAD' ? 0 : (framed ?? UNTIL_CLOSE);
  const contentLength = framed === undefined || framed === CHUNKED ? -1 : framed;
  // Who says of an answer to HEAD, or of a 204, that it has a body may well send one.
  const doubtful =
    (status === 204 || requestMethod === 'HEAD') && (contentLength > 0 || framed === CHUNKED);
  return {
    status,
    minor,
    fields: section.fields,
    length,
    contentLength,
    persistent: minor === 1 && !close && length !== UNTIL_CLOSE && !doubtful,
  };
}
