import type { Http2Stream } from 'node:http2';
import { ByteStore } from '../http1/byte-store.ts';
import { GIVEN_AWAY_BYTES } from '../http1/wire.ts';

/**
 * Joins what comes on a stream while nobody takes it. node:http2 makes a chunk of each DATA frame, then too: flow control bounds bytes
 * (RFC 9113 section 5.2), but of frames with a byte each the chunks take more than a hundred times as much memory (section 10.5, CVE-2019-9511).
 */
export function joinReads(stream: Http2Stream): void {
  const held = new ByteStore();
  const push = stream.push.bind(stream);
  const release = (): void => {
    if (held.length > 0) push(held.take());
  };
  stream.push = (chunk: Uint8Array | null, encoding?: BufferEncoding): boolean => {
    const large = chunk === null || chunk.length >= GIVEN_AWAY_BYTES;
    if (large) release();
    if (large || (stream.readableFlowing === true && held.length === 0)) {
      return push(chunk, encoding);
    }
    held.append(chunk, 0, chunk.length);
    return false; // the window stays as it is
  };
  stream.on('resume', release);
}
