import type { Log } from '../log.ts';
import type { HttpClient } from '../net/http-client.ts';
import type { Bell } from './rounds.ts';
import type { SourceCredentials } from './source-address.ts';

/** One endpoint of etcd as an adapter for API v2 or v3 follows it. */
export interface EtcdLink {
  readonly http: HttpClient;
  /** Where the API begins, without `/v2` or `/v3`. */
  readonly base: string;
  /** Without slashes at its ends; empty for the whole store. */
  readonly directory: string;
  readonly credentials: SourceCredentials | undefined;
  readonly log: Log;
  /** Milliseconds from one whole read to the next. */
  readonly reconcileIntervalMs: number;
  /** Milliseconds from one question whether anything was missed to the next. */
  readonly proofIntervalMs: number;
  /** Entries that one read may have; undefined: no limit. */
  readonly maxEntries: number | undefined;
  /** Milliseconds of silence after which a watch is made anew, which shows whether the other side is still there. */
  readonly watchQuietMs: number;
  /** Bytes of one answer or one event. */
  readonly maxBytes: number;
  /** Rings when a whole new read is wanted. */
  readonly bell: Bell;
}

/** Milliseconds for which an entry that was just read holds at least: it will have been read twice more by then. */
export function keepMs(link: EtcdLink): number {
  return 2 * link.reconcileIntervalMs + READ_TIMEOUT_MS;
}

export const ETCD_LOG_KEY = 'TokenRevocationETCDUtil';

/** Milliseconds for one read of the whole list. */
export const READ_TIMEOUT_MS = 60_000;

/** Two losses of history within this time are no accident: the source gives up and is restarted after a pause. */
const SHORTEST_HISTORY_MS = 1_000;

/** Lets a source read everything again when the watch lost its history, but not in a tight loop. */
export class HistoryLosses {
  readonly #log: Log;
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(log: Log) {
    this.#log = log;
  }

  /** @throws Error when history was lost a moment ago as well */
  note(reason: string): void {
    const now = performance.now();
    if (now - this.#lastMs < SHORTEST_HISTORY_MS) throw new Error(`etcd keeps saying: ${reason}`);
    this.#lastMs = now;
    this.#log.info(ETCD_LOG_KEY, `The whole list is read again, because ${reason}`);
  }
}
