import type { Log } from '../log.ts';
import { type Moment, momentOf, momentOfWall } from './freshness.ts';

const LOG_KEY = 'TokenRevocation';

/** A stretch of time in which revocations may have been missed, and tokens of which may still be alive. */
export interface Gap {
  readonly source: string;
  /** When it ended: the subscription stood. */
  readonly since: Moment;
  /** Milliseconds until every token that was issued before its end has expired. */
  readonly leftMs: number;
}

/** The gaps of real-time sources without a store that could close them: each closes itself when the longest token life has passed. */
export class Gaps {
  readonly #longestTokenLifeMs: number;
  /** When the last gap of each source ended. */
  readonly #ends = new Map<string, Moment>();
  /** Sources that stood since the start. */
  readonly #stood = new Set<string>();

  constructor(longestTokenLifeMs: number) {
    this.#longestTokenLifeMs = longestTokenLifeMs;
  }

  /** Takes in the gaps of an earlier run: their ends by source, epoch milliseconds. An end that lies in the future counts from now. */
  restore(ends: ReadonlyMap<string, number>): void {
    for (const [source, wallMs] of ends) this.#ends.set(source, momentOfWall(wallMs) ?? momentOf());
  }

  /** Whether the source has stood since the start. */
  hasStood(source: string): boolean {
    return this.#stood.has(source);
  }

  /** The source stands and missed nothing. An earlier gap stays. */
  none(source: string): void {
    this.#stood.add(source);
  }

  /** @param log absent: it was said already */
  open(source: string, log: Log | undefined): void {
    this.#stood.add(source);
    this.#ends.set(source, momentOf());
    log?.warn(
      LOG_KEY,
      `Source ${source} is real-time only: what was revoked before now, while it was not followed, may be missing for up to ${Math.round(this.#longestTokenLifeMs / 1000)} s. A store ([tokenRevocationConfig.persistent]) or durableSubscription closes the gap`,
    );
  }

  /** Ends of those that are not closed, epoch milliseconds, by source: for the next run. */
  ends(): ReadonlyMap<string, number> {
    return new Map(this.unclosed().map(({ source, since }) => [source, Math.ceil(since.wall)]));
  }

  unclosed(): readonly Gap[] {
    const now = momentOf().monotonic;
    return [...this.#ends].flatMap(([source, since]) => {
      const leftMs = since.monotonic + this.#longestTokenLifeMs - now;
      return leftMs > 0 ? [{ source, since, leftMs }] : [];
    });
  }
}
