import type { Clock } from './wire.ts';

let line = '';
let second = -1;

/** The `Date` line of a message (RFC 9110 section 6.6.1), with CRLF. Made once a second of the clock, for all connections of a thread. */
export function dateLine(clock: Clock): string {
  const now = Math.floor(clock.nowMs / 1_000);
  if (now !== second) {
    second = now;
    line = `Date: ${new Date().toUTCString()}\r\n`;
  }
  return line;
}
