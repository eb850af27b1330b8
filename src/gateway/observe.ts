import { FAULTS, type FaultName } from '../errors.ts';
import type { Exchange } from './exchange.ts';

/**
 * How a request ended: `forwarded` (the upstream's answer went out whole), `answered` (health, readiness), `aborted` (the
 * client left), `filtered` (an extension answered), `brokenOff` (the upstream's body broke), `revoked` (the token was revoked while the answer
 * or the WebSocket was under way), or the fault that refused it.
 */
export type Outcome =
  | 'forwarded'
  | 'answered'
  | 'filtered'
  | 'aborted'
  | 'brokenOff'
  | 'revoked'
  | FaultName;

export interface GatewayCounters {
  /** Requests that have begun and not ended. */
  readonly active: number;
  /** Ended requests by outcome; outcomes that never happened are absent. */
  readonly outcomes: Readonly<Partial<Record<Outcome, number>>>;
}

/** The outcomes that are no fault. */
const ENDINGS: Readonly<Record<Exclude<Outcome, FaultName>, true>> = {
  forwarded: true,
  answered: true,
  filtered: true,
  aborted: true,
  brokenOff: true,
  revoked: true,
};
/** Every outcome, in the order of the cells. */
const OUTCOMES = [...Object.keys(ENDINGS), ...Object.keys(FAULTS)] as readonly Outcome[];

/** Places of what is counted beside the outcomes: requests that have not ended, and those let through in a degraded state. */
const ACTIVE = 0;
const DEGRADED = { allowed: 1, introspected: 2 } as const;
const FIRST_OUTCOME = 3;
const CELL_OF = Object.fromEntries(
  OUTCOMES.map((outcome, index) => [outcome, FIRST_OUTCOME + index]),
) as Record<Outcome, number>;

/** Size of the memory that one {@link Observer} counts in. */
export const COUNTER_BYTES = (FIRST_OUTCOME + OUTCOMES.length) * Float64Array.BYTES_PER_ELEMENT;

/** How a request was let through although revocations may have been missed. */
export type Degraded = keyof typeof DEGRADED;

/** Counts that observers have left in their memories, added up. Each is a 64-bit float with one writer: no reader sees half of one. */
export function readCounters(memories: readonly SharedArrayBuffer[]): GatewayCounters {
  const cells = memories.map((memory) => new Float64Array(memory));
  const sum = (at: number): number => cells.reduce((total, own) => total + (own[at] ?? 0), 0);
  const outcomes = OUTCOMES.map((outcome) => [outcome, sum(CELL_OF[outcome])] as const);
  return {
    active: sum(ACTIVE),
    outcomes: Object.fromEntries(outcomes.filter(([, count]) => count > 0)),
  };
}

/** Counts one request that was let through in a degraded state. */
export function countDegraded(memory: SharedArrayBuffer, how: Degraded): void {
  const cells = new Float64Array(memory);
  cells[DEGRADED[how]] = (cells[DEGRADED[how]] ?? 0) + 1;
}

/** Requests let through in a degraded state, added up over these memories. */
export function readDegraded(memories: readonly SharedArrayBuffer[]): Record<Degraded, number> {
  const sum = (at: number): number =>
    memories.reduce((total, memory) => total + (new Float64Array(memory)[at] ?? 0), 0);
  return { allowed: sum(DEGRADED.allowed), introspected: sum(DEGRADED.introspected) };
}

/** Whoever counted here is gone, and its requests with it. What has ended stays counted. */
export function forgetActive(memory: SharedArrayBuffer): void {
  new Float64Array(memory)[ACTIVE] = 0;
}

/** One set of counters and one DEBUG line for every request. */
export class Observer {
  readonly #memory: SharedArrayBuffer;
  readonly #cells: Float64Array;

  /** @param memory {@link COUNTER_BYTES} that only this observer writes; counts that are in it go on */
  constructor(memory = new SharedArrayBuffer(COUNTER_BYTES)) {
    this.#memory = memory;
    this.#cells = new Float64Array(memory);
  }

  begin(): void {
    this.#add(ACTIVE, 1);
  }

  /** A refusal before there was a request to speak of. */
  count(outcome: Outcome): void {
    this.#add(CELL_OF[outcome], 1);
  }

  end(exchange: Exchange): void {
    this.#add(ACTIVE, -1);
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
    return readCounters([this.#memory]);
  }

  #add(at: number, change: number): void {
    this.#cells[at] = (this.#cells[at] ?? 0) + change;
  }
}
