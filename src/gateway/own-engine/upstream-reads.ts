import type { OnReadOpts } from 'node:net';
import { GIVEN_AWAY_BYTES } from '../../http1/wire.ts';

const READ_BYTES = 65_536;

/** What all upstream sockets of this thread read into: a small answer costs no memory of its own. */
const SHARED = Buffer.allocUnsafeSlow(READ_BYTES);

/**
 * Where one socket reads into. Small reads are lent out of the common buffer. A large one is given away, so that it can be written on
 * without a copy: the first of a run is copied out of the common buffer, to which others point too; the next has a buffer of its own.
 */
export function upstreamReads(receive: (chunk: Buffer) => void): OnReadOpts {
  let next = SHARED;
  return {
    buffer: () => next,
    callback: (length, buffer) => {
      const large = length >= GIVEN_AWAY_BYTES;
      const chunk = (buffer as Buffer).subarray(0, length);
      next = large ? Buffer.allocUnsafeSlow(READ_BYTES) : SHARED;
      receive(large && buffer === SHARED ? Buffer.from(chunk) : chunk);
      return true;
    },
  };
}
