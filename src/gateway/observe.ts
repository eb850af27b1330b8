import type { FaultName } from '../errors.ts';
import type { Exchange } from './exchange.ts';

/**
 * How a request ended: `forwarded` (the upstream's answer went out whole), `answered` (health, readiness), `aborted` (the
 * client left), `filtered` (an extension answered), `brokenOff` (the upstream's body broke), or the fault that refused it.
 */
export type Outcome = 'forwarded' | 'answered' | 'filtered' | 'aborted' | 'brokenOff' | FaultName;

export interface GatewayCounters {
  /** Requests that have begun and not ended. */
  readonly active: number;
  /** Ended requests by outcome; outcomes that never happened are absent. */
  readonly outcomes: Readonly<Partial<Record<Outcome, number>>>;
}

/** One set of counters and one DEBUG line for every request. */
export class Observer {
  #active = 0;
  readonly #outcomes = new Map<Outcome, number>();

  begin(): void {
    this.#active++;
  }

  /** A refusal before there was a request to speak of. */
  count(outcome: Outcome): void {
    this.#outcomes.set(outcome, (this.#outcomes.get(outcome) ?? 0) + 1);
  }

  end(exchange: Exchange): void {
    this.#active--;
    const { outcome, log } = exchange;
    this.count(outcome);
    if (log.debugEnabled) {
      const took = (performance.now() - exchange.startedAt).toFixed(1);
      log.debug(
        'Gateway',
        `${exchange.describe()} -> ${exchange.status} ${outcome}, ${took} ms`,
        exchange.id,
      );
    }
  }

  counters(): GatewayCounters {
    return { active: this.#active, outcomes: Object.fromEntries(this.#outcomes) };
  }
}
