import type { Log } from '../log.ts';
import { type Moment, momentOf } from './freshness.ts';

const LOG_KEY = 'TokenRevocation';

/** A stretch of time in which revocations may have been missed, and tokens of which may still be alive. */
interface Gap {
  readonly source: string;
  /** When it ended: the subscription stood. */
  readonly since: Moment;
  /** Milliseconds until every token that was issued before its end has expired. */
  readonly leftMs: number;
}

/** The gaps of real-time sources without a store that could close them: each closes itself when the longest token life has passed. */
export class Gaps {
  readonly #longestTokenLifeMs: number;
  /** When the last gap of each source ended; undefined: it has none. */
  readonly #ends = new Map<string, Moment | undefined>();

  constructor(longestTokenLifeMs: number) {
    this.#longestTokenLifeMs = longestTokenLifeMs;
  }

  /** Whether anything was said of the source. */
  knows(source: string): boolean {
    return this.#ends.has(source);
  }

  /** The source stands and missed nothing. An earlier gap stays. */
  none(source: string): void {
    if (!this.#ends.has(source)) this.#ends.set(source, undefined);
  }

  /** What the source said before now may have been missed. */
  open(source: string, log: Log | undefined): void {
    this.#ends.set(source, momentOf());
    log?.warn(
      LOG_KEY,
      `Source ${source} is real-time only: what was revoked before now, while it was not followed, may be missing for up to ${Math.round(this.#longestTokenLifeMs / 1000)} s. A store ([tokenRevocationConfig.persistent]) or durableSubscription closes the gap`,
    );
  }

  unclosed(): readonly Gap[] {
    const now = momentOf().monotonic;
    return [...this.#ends].flatMap(([source, since]) => {
      if (since === undefined) return [];
      const leftMs = since.monotonic + this.#longestTokenLifeMs - now;
      return leftMs > 0 ? [{ source, since, leftMs }] : [];
    });
  }
}
