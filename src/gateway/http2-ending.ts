import type { Http2Stream } from 'node:http2';

/**
 * Follows how the other side ends its message on a stream. node:http2 emits `end` as well where the message was cut short: by RST_STREAM
 * with NO_ERROR or CANCEL, or by the end of the connection. What tells them apart is the order: END_STREAM is told before the stream
 * counts as closed, the others after it.
 * @returns whether END_STREAM has come
 */
export function followEnding(stream: Http2Stream): () => boolean {
  let whole = false;
  const push = stream.push.bind(stream);
  stream.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    if (chunk === null && !stream.closed && !stream.destroyed) whole = true;
    return push(chunk, encoding);
  };
  return () => whole;
}

/** Names of RFC 9113 section 7, in their order. */
const CODES = [
  'NO_ERROR',
  'PROTOCOL_ERROR',
  'INTERNAL_ERROR',
  'FLOW_CONTROL_ERROR',
  'SETTINGS_TIMEOUT',
  'STREAM_CLOSED',
  'FRAME_SIZE_ERROR',
  'REFUSED_STREAM',
  'CANCEL',
  'COMPRESSION_ERROR',
  'CONNECT_ERROR',
  'ENHANCE_YOUR_CALM',
  'INADEQUATE_SECURITY',
  'HTTP_1_1_REQUIRED',
] as const;

export function codeName(code: number): string {
  return CODES[code] ?? `error ${code}`;
}
