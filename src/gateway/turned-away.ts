import { GatewayFault } from '../errors.ts';
import { Seldom } from './seldom.ts';

/** Between two lines of the log, milliseconds: while an upstream is down or full, thousands a second may be refused. The access log has them all. */
const SAY_MS = 1_000;

/** Refuses, with 503, requests that one upstream is not asked for, and has one of many said in the log, with how many there were. */
export class TurnedAway {
  readonly #seldom: Seldom;

  /** @param now milliseconds of a clock that is never set back */
  constructor(now?: () => number) {
    this.#seldom = new Seldom(SAY_MS, now);
  }

  /** What the next one is refused with. */
  fault(why: string, retryAfterSeconds: number, cause?: unknown): GatewayFault {
    const count = this.#seldom.happened();
    const more =
      count === undefined || count === 1
        ? ''
        : `, and ${count - 1} more were refused since the last line`;
    return new GatewayFault('serviceUnavailable', why + more, {
      cause,
      retryAfterSeconds,
      unsaid: count === undefined,
    });
  }
}
