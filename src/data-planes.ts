import { extname } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { KeySetReading } from './auth/remote-key-set.ts';
import type { KeyRenewal } from './auth/shared-key-ring.ts';
import type { DataPlaneData, DataPlaneSettings } from './data-plane-settings.ts';
import { CALL_COUNT_BYTES, forgetCalls } from './gateway/call-count.ts';
import {
  COUNTER_BYTES,
  type Degraded,
  type Dropped,
  forgetActive,
  type GatewayCounters,
  readCounters,
  readDegraded,
  readCircuitsOpened,
  readCostlyRefusals,
  readDropped,
  readTallies,
  type Tally,
} from './gateway/observe.ts';
import type { Bound } from './gateway/options.ts';
import { readRoutes, ROUTE_COUNTER_BYTES, type RouteFigures } from './gateway/route-metrics.ts';
import type { LogWriter } from './log-writer.ts';
import { describeError, OperatorError } from './errors.ts';
import type { SharedList, Tables } from './revocation/revocation-list.ts';
import type { DataPlaneThread, Report } from './threads/data-plane-thread.ts';
import { newWaiting, settled } from './telemetry/line-batch.ts';
import { landed, newFlight } from './threads/log-relay.ts';
import type { Fingerprints } from './threads/messages.ts';
import { Supervisor } from './threads/supervisor.ts';

/** The module that each thread runs, from sources as from what was compiled of them. */
const ENTRY = new URL(`./data-plane${extname(import.meta.filename)}`, import.meta.url);

/** Between two rounds of questions whether an entry is seen, milliseconds. */
const CONFIRM_PAUSE_MS = 10;

export interface DataPlanesOptions {
  readonly threads: number;
  readonly settings: DataPlaneSettings;
  /** What a thread that starts now reads the list with. */
  readonly list: () => SharedList;
  /** What it begins to verify with. */
  readonly keySets: () => ReadonlyMap<string, KeySetReading>;
  /** Asks an issuer for its keys anew. Never rejects. */
  readonly renewKeys: (issuer: string) => Promise<KeyRenewal>;
  /** Keeps the entry with this fingerprint until then, epoch milliseconds. */
  readonly prolong: (print: Uint32Array, expiresAtMs: number) => void;
  /** Takes lines of the access log; calls back when they are written or dropped. */
  readonly writeAccessLines: (bytes: Uint8Array, settled: () => void) => void;
  readonly log: LogWriter;
}

/** The data-plane threads as the control thread uses them. */
export class DataPlanes {
  readonly #options: DataPlanesOptions;
  /** What threads are started with. */
  #settings: DataPlaneSettings;
  readonly #supervisor: Supervisor;
  /** By place: a replacement goes on counting where the one before it stopped. */
  readonly #counters: readonly SharedArrayBuffer[];
  readonly #calls: readonly SharedArrayBuffer[];
  /** By place: what the access log has not written yet of any thread that was there. */
  readonly #accessWaiting: readonly SharedArrayBuffer[];
  readonly #routes: readonly SharedArrayBuffer[];
  /** By place, of the thread that is there now: one that dies may leave lines on their way. */
  readonly #flights: SharedArrayBuffer[] = [];

  constructor(options: DataPlanesOptions) {
    const { threads, log } = options;
    this.#options = options;
    this.#settings = options.settings;
    const places = Array.from({ length: threads });
    this.#counters = places.map(() => new SharedArrayBuffer(COUNTER_BYTES));
    this.#calls = places.map(() => new SharedArrayBuffer(CALL_COUNT_BYTES));
    this.#accessWaiting = places.map(newWaiting);
    this.#routes = places.map(() => new SharedArrayBuffer(ROUTE_COUNTER_BYTES));
    this.#supervisor = new Supervisor({
      entry: ENTRY,
      threads,
      log,
      dataFor: (place) => this.#dataFor(place),
      onReport: (report, thread, place) => this.#take(report, thread, place),
      onGone: (place) => this.#forget(place),
    });
  }

  /** Resolves when no thread can live: the process is to end then. */
  get hopeless(): Promise<OperatorError> {
    return this.#supervisor.hopeless;
  }

  /** Threads that listen now. */
  get serving(): number {
    return this.#supervisor.serving;
  }

  /** Starts the threads: they load what they need, and wait for {@link listen}. */
  start(): void {
    this.#supervisor.start();
  }

  /** Lets them listen. @throws OperatorError what they refused their start with */
  listen(shared: boolean): Promise<readonly Bound[]> {
    return this.#supervisor.listen(shared);
  }

  /** Resolves when no thread reads the list from other tables any more; one that did not answer is gone by then. */
  async replaceTables(tables: Tables): Promise<void> {
    await this.#supervisor.askAll('replaceTables', { tables }, 'started');
  }

  /** What holds now. */
  get settings(): DataPlaneSettings {
    return this.#settings;
  }

  /**
   * Has every thread serve with other settings: all of them, or none.
   * @throws OperatorError why one of them cannot; everything is as before then
   */
  async reload(settings: DataPlaneSettings): Promise<void> {
    const supervisor = this.#supervisor;
    try {
      await supervisor.askEach('prepare', { settings });
    } catch (cause) {
      await supervisor.askAll('discard', undefined, 'started');
      if (cause instanceof OperatorError) throw cause;
      const message = `a data-plane thread could not make itself ready: ${describeError(cause)}`;
      throw new OperatorError('ERR_DATA_PLANE', message, { cause });
    }
    // No thread has started since the last one agreed: from now on they start with this.
    this.#settings = settings;
    await supervisor.askAll('commit', undefined, 'started');
  }

  /** Threads that died and were replaced. */
  get replaced(): number {
    return this.#supervisor.replaced;
  }

  /** How many of the threads that serve see an entry with one of these fingerprints, once all have said so or `waitMs` milliseconds are over. */
  async confirm(
    entries: Fingerprints,
    waitMs: number,
  ): Promise<{ readonly confirmed: number; readonly of: number }> {
    const deadline = performance.now() + waitMs;
    for (;;) {
      let confirmed = 0;
      const asked = this.#supervisor.askAll('holds', entries, 'serving', (sees) => {
        if (sees) confirmed++;
      });
      // A thread that is busy may take longer than whoever asks wants to wait.
      const over = new AbortController();
      const late = pause(Math.max(0, deadline - performance.now()), undefined, over);
      await Promise.race([asked, late.catch(() => undefined)]);
      over.abort();
      const of = this.#supervisor.serving;
      if ((confirmed >= of && of > 0) || performance.now() >= deadline) return { confirmed, of };
      await pause(CONFIRM_PAUSE_MS);
    }
  }

  /** Hands over a JWK Set that was read. */
  takeKeySet(issuer: string, reading: KeySetReading): void {
    this.#supervisor.broadcast({ kind: 'keySet', issuer, reading });
  }

  /** What happened so far, in all threads that there have been. */
  counters(): GatewayCounters {
    return readCounters(this.#counters);
  }

  /** What was to be written of requests and was dropped in its thread. */
  dropped(): Record<Dropped, number> {
    return readDropped(this.#counters);
  }

  /** Tokens that were refused after they were verified or asked about, in all threads that there have been. */
  costlyRefusals(): number {
    return readCostlyRefusals(this.#counters);
  }

  /** How often an upstream was not asked any more, in all threads that there have been. */
  circuitsOpened(): number {
    return readCircuitsOpened(this.#counters);
  }

  /** What was done against too many clients, in all threads that there have been. */
  tallies(): Record<Tally, number> {
    return readTallies(this.#counters);
  }

  /** What happened on each route that was called, in all threads that there have been. */
  routes(): RouteFigures[] {
    return readRoutes(this.#routes, this.#settings.routeKeys);
  }

  /** Requests that were let through although revocations may have been missed. */
  degraded(): Record<Degraded, number> {
    return readDegraded(this.#counters);
  }

  /** Drains every thread, for `graceMs` milliseconds at most. */
  close(graceMs: number): Promise<void> {
    return this.#supervisor.close(graceMs);
  }

  #dataFor(place: number): DataPlaneData {
    const { list, keySets } = this.#options;
    const flight = newFlight();
    this.#flights[place] = flight;
    const counters = this.#counters[place];
    const accessWaiting = this.#accessWaiting[place];
    const routes = this.#routes[place];
    if (counters === undefined || accessWaiting === undefined || routes === undefined)
      throw new RangeError(`there is no place ${place}`);
    const calls = { place, memories: this.#calls };
    return {
      settings: this.#settings,
      keySets: keySets(),
      list: list(),
      counters,
      calls,
      flight,
      accessWaiting,
      routes,
    };
  }

  #take(report: Report, thread: DataPlaneThread, place: number): void {
    const { log, prolong, renewKeys, writeAccessLines } = this.#options;
    switch (report.kind) {
      case 'log': {
        const flight = this.#flights[place];
        if (flight !== undefined) landed(flight, report.lines);
        if (report.dropped > 0)
          log.warn('Log', `${report.dropped} log line(s) of thread ${place + 1} were dropped`);
        log.relay(report.lines);
        break;
      }
      case 'accessLines': {
        const waiting = this.#accessWaiting[place];
        const { bytes } = report;
        writeAccessLines(bytes, () => {
          if (waiting !== undefined) settled(waiting, bytes.length);
        });
        break;
      }
      case 'prolong':
        prolong(report.print, report.expiresAtMs);
        break;
      case 'renew':
        void renewKeys(report.issuer).then((answer) =>
          thread.post({ kind: 'renewed', id: report.id, answer }),
        );
        break;
    }
  }

  #forget(place: number): void {
    const [counters, calls] = [this.#counters[place], this.#calls[place]];
    if (counters !== undefined) forgetActive(counters);
    if (calls !== undefined) forgetCalls(calls);
  }
}
