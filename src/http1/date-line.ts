import type { Clock } from './wire.ts';

let line = '';
let madeMs = -1;

/**
 * The `Date` line of a message (RFC 9110 section 6.6.1), with CRLF. Made once for all connections of a thread, until the clock has moved, which
 * says nothing of how far the time has.
 */
export function dateLine(clock: Clock): string {
  if (clock.nowMs !== madeMs) {
    madeMs = clock.nowMs;
    line = `Date: ${new Date().toUTCString()}\r\n`;
  }
  return line;
}
