import type { DataPlane } from '../data-plane.ts';
import type { Timeouts } from '../options.ts';

/** What clients are given time for, milliseconds; Infinity: as long as they like. */
export interface Deadlines {
  /** From the first byte of a head, or from the start of the connection, to the head's end. */
  readonly headMs: number;
  /** From there to the end of the request's body. */
  readonly requestMs: number;
  /** Between two requests. */
  readonly keepAliveMs: number;
  /** While bytes wait that the client does not take. */
  readonly stallMs: number;
  /** Bytes a second that a client has to send of a body, and to take of an answer that waits for it; 0: any. */
  readonly minRate: number;
}

export function deadlinesOf(plane: DataPlane, timeouts: Timeouts): Deadlines {
  const requestMs = timeouts.requestMs > 0 ? timeouts.requestMs : Infinity;
  return {
    headMs: Math.min(timeouts.headersMs, requestMs),
    requestMs,
    keepAliveMs: timeouts.keepAliveMs,
    stallMs: plane.idleBodyTimeoutMs,
    minRate: plane.limits.minDataRate,
  };
}
