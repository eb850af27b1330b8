import type { Degraded } from '../auth/authenticator-options.ts';
import { FAULTS, type FaultName } from '../errors.ts';
import type { Log } from '../log.ts';
import type { AccessLines } from './access-line.ts';
import type { Finished } from './finished.ts';
import type { RouteMetrics } from './route-metrics.ts';
import type { Tracer } from './trace-context.ts';

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

/** Places of what is counted beside the outcomes: requests that have not ended, those let through in a degraded state, and what could not be written of them. */
const ACTIVE = 0;
const DEGRADED: Readonly<Record<Degraded, number>> = { allowed: 1, introspected: 2 };
const DROPPED = { accessLines: 3, spans: 4 } as const;
const COSTLY_REFUSALS = 5;
const CIRCUITS_OPENED = 6;
const TALLIES = { connectionsEvicted: 7, connectionsRefused: 8, requestsShed: 9 } as const;
const FIRST_OUTCOME = 10;
const CELL_OF = Object.fromEntries(
  OUTCOMES.map((outcome, index) => [outcome, FIRST_OUTCOME + index]),
) as Record<Outcome, number>;

/** Size of the memory that one {@link Observer} counts in. */
export const COUNTER_BYTES = (FIRST_OUTCOME + OUTCOMES.length) * Float64Array.BYTES_PER_ELEMENT;

export type { Degraded };

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

/** Counts a token that was refused after it was verified or asked about. */
export function countCostlyRefusal(memory: SharedArrayBuffer): void {
  const cells = new Float64Array(memory);
  cells[COSTLY_REFUSALS] = (cells[COSTLY_REFUSALS] ?? 0) + 1;
}

/** Tokens that were refused so, added up over these memories. */
export function readCostlyRefusals(memories: readonly SharedArrayBuffer[]): number {
  return memories.reduce(
    (total, memory) => total + (new Float64Array(memory)[COSTLY_REFUSALS] ?? 0),
    0,
  );
}

/** How often upstreams failed too often, added up over these memories. */
export function readCircuitsOpened(memories: readonly SharedArrayBuffer[]): number {
  return memories.reduce(
    (total, memory) => total + (new Float64Array(memory)[CIRCUITS_OPENED] ?? 0),
    0,
  );
}

/** What was done against too many clients: connections closed in favour of new ones, new ones closed, requests refused unread. */
export type Tally = keyof typeof TALLIES;

/** What was done so, added up over these memories. */
export function readTallies(memories: readonly SharedArrayBuffer[]): Record<Tally, number> {
  const sum = (at: number): number =>
    memories.reduce((total, memory) => total + (new Float64Array(memory)[at] ?? 0), 0);
  return {
    connectionsEvicted: sum(TALLIES.connectionsEvicted),
    connectionsRefused: sum(TALLIES.connectionsRefused),
    requestsShed: sum(TALLIES.requestsShed),
  };
}

/** What was to be written of requests and was dropped, within its thread. */
export type Dropped = keyof typeof DROPPED;

/** Counts what was dropped. */
export function countDropped(memory: SharedArrayBuffer, what: Dropped, count: number): void {
  const cells = new Float64Array(memory);
  cells[DROPPED[what]] = (cells[DROPPED[what]] ?? 0) + count;
}

/** What was dropped, added up over these memories. */
export function readDropped(memories: readonly SharedArrayBuffer[]): Record<Dropped, number> {
  const sum = (at: number): number =>
    memories.reduce((total, memory) => total + (new Float64Array(memory)[at] ?? 0), 0);
  return { accessLines: sum(DROPPED.accessLines), spans: sum(DROPPED.spans) };
}

/** Whoever counted here is gone, and its requests with it. What has ended stays counted. */
export function forgetActive(memory: SharedArrayBuffer): void {
  new Float64Array(memory)[ACTIVE] = 0;
}

/** For the DEBUG line. */
interface Described {
  readonly log: Log;
  describe(): string;
}

/** Where requests are written down when they are over, beside the counters. */
export interface Records {
  readonly accessLog?: AccessLines | undefined;
  readonly routes?: RouteMetrics | undefined;
  readonly tracer?: Tracer | undefined;
}

/** One set of counters, one line of the access log and one DEBUG line for every request; and the figures of its route. */
export class Observer {
  readonly #memory: SharedArrayBuffer;
  readonly #cells: Float64Array;
  readonly #accessLog: AccessLines | undefined;
  readonly #routes: RouteMetrics | undefined;
  readonly #tracer: Tracer | undefined;
  #active = 0;

  /** @param memory {@link COUNTER_BYTES} that only this observer writes; counts that are in it go on */
  constructor(
    memory = new SharedArrayBuffer(COUNTER_BYTES),
    { accessLog, routes, tracer }: Records = {},
  ) {
    this.#memory = memory;
    this.#cells = new Float64Array(memory);
    this.#accessLog = accessLog;
    this.#routes = routes;
    this.#tracer = tracer;
  }

  /** Requests that have begun here and not ended; the memory may count those of others too. */
  get active(): number {
    return this.#active;
  }

  begin(): void {
    this.#active++;
    this.#add(ACTIVE, 1);
  }

  /** What went wrong without a request and without an answer. */
  count(fault: FaultName): void {
    this.#add(CELL_OF[fault], 1);
  }

  /** A refusal before there was a request to speak of. @param bytesOut bytes of the answer's body */
  refused(fault: FaultName, id: string, peer: string, bytesOut: number): void {
    this.#add(CELL_OF[fault], 1);
    if (this.#accessLog?.refused(fault, FAULTS[fault].status, id, peer, bytesOut) === false)
      this.#add(DROPPED.accessLines, 1);
  }

  /** An upstream has failed too often and is not asked for a while. */
  circuitOpened(): void {
    this.#add(CIRCUITS_OPENED, 1);
  }

  tally(what: Tally): void {
    this.#add(TALLIES[what], 1);
  }

  /** A request is over. */
  end(request: Finished & Described): void {
    this.#active--;
    this.#add(ACTIVE, -1);
    const { outcome, log, operation, status } = request;
    const tookMs = performance.now() - request.startedAt;
    this.#add(CELL_OF[outcome], 1);
    if (operation !== undefined) {
      const failed = outcome === 'brokenOff' || !(outcome in ENDINGS);
      this.#routes?.count(operation.place, status, failed, tookMs / 1_000);
    }
    if (this.#accessLog?.finished(request, tookMs) === false) this.#add(DROPPED.accessLines, 1);
    this.#tracer?.finished(request, tookMs);
    if (log.debugEnabled) {
      log.debug(
        'Gateway',
        `${request.describe()} -> ${request.status} ${outcome}, ${tookMs.toFixed(1)} ms`,
        request.id,
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
