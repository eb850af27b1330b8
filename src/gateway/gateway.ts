import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises';
import { createSecureContext } from 'node:tls';
import { OperatorError } from '../errors.ts';
import { Admission } from './admission.ts';
import type { EngineListener } from './client-side.ts';
import { errorText } from './error-text.ts';
import { Generation, type Life, type UpstreamsWish } from './generation.ts';
import { createListener } from './listener.ts';
import { LiveWatch } from './live-watch.ts';
import { COUNTER_BYTES, type GatewayCounters, readCounters } from './observe.ts';
import type {
  Bound,
  Gateway,
  GatewayOptions,
  Listening,
  PreparedChange,
  Timeouts,
  UpstreamOptions,
} from './options.ts';
import { SharedPart } from './shared-part.ts';
import { Shedding } from './shedding.ts';
import { Sweep, tickFor } from './sweep.ts';
import { tlsContext } from './tls-server.ts';
import { Upstreams } from './upstream.ts';

/**
 * Milliseconds that the gateway, once it is told to close, still accepts connections, and then again that it waits for requests on those
 * that it has accepted. A rolling restart loses nothing that was sent before the load balancer heard of it.
 */
const LINGER_MS = 500;

/**
 * Makes the data plane of one gateway; nothing is opened before `listen`.
 * @throws OperatorError `ERR_DUPLICATE_ROUTE`, `ERR_ENDPOINT_URL`, `ERR_TRUSTED_PROXY`, `ERR_KEY_STORE`
 */
export function createGateway(options: GatewayOptions): Gateway {
  return new DataPlaneGateway(options);
}

class DataPlaneGateway implements Gateway {
  readonly #options: GatewayOptions;
  /** Where all generations count. */
  readonly #memory: SharedArrayBuffer;
  readonly #life: Life = { draining: false, closing: false, shedding: false };
  readonly #upstreams: SharedPart<UpstreamsWish, Upstreams>;
  /** What new requests are served with. */
  #generation: Generation;
  /** Those before it that still have requests. */
  readonly #older = new Set<Generation>();
  readonly #listeners: readonly EngineListener[];
  readonly #watch: LiveWatch | undefined;
  readonly #sweep: Sweep;

  constructor(options: GatewayOptions) {
    const { engine = 'own', log, counters = new SharedArrayBuffer(COUNTER_BYTES) } = options;
    checkCertificates(options);
    this.#options = options;
    this.#memory = counters;
    this.#sweep = new Sweep((error) => {
      log.error('Gateway', `a deadline was not looked at: ${errorText(error)}`);
    });
    const { clock } = this.#sweep;
    this.#upstreams = new SharedPart(
      (wish) => new Upstreams(wish.engine, wish.options, log, clock),
      (upstreams) => upstreams.destroy(),
    );
    const generation = this.#make(options);
    this.#generation = generation;
    generation.begin();
    const { plane, timeouts } = generation;
    const admission = new Admission(() => this.#generation.plane);
    this.#listeners = options.listeners.map((listener) =>
      createListener(engine, listener, plane, timeouts, admission, clock),
    );
    this.#sweep.every(tickFor(deadlines(timeouts, options.upstream)));
    for (const listener of this.#listeners) this.#sweep.add(listener);
    this.#sweep.add(admission);
    this.#sweep.add(new Shedding(this.#life, () => this.#generation.options.loadShedding, log));
    this.#sweep.add({ sweep: (nowMs) => this.#look(nowMs) });
    const { revoked, revocationChanges, streamGraceMs = 0 } = options;
    this.#watch =
      revoked &&
      new LiveWatch(this.#listeners, { revoked, changes: revocationChanges }, streamGraceMs);
  }

  async listen(how: Listening = {}): Promise<Bound[]> {
    const results = await Promise.allSettled(
      this.#listeners.map((listener) => listener.listen(how)),
    );
    const failed = results.find((result) => result.status === 'rejected');
    if (failed === undefined) {
      this.#watch?.start();
      this.#sweep.start();
      return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    }
    await this.close(0);
    throw failed.reason;
  }

  prepare(options: GatewayOptions): PreparedChange {
    checkCertificates(options);
    const next = this.#make(options);
    return {
      commit: () => this.#commit(next),
      discard: async () => {
        await next.end();
        this.#generation.begin(); // origins that only the other one has named are not kept
      },
    };
  }

  counters(): GatewayCounters {
    return readCounters([this.#memory]);
  }

  async close(graceMs: number): Promise<void> {
    this.#life.draining = true;
    const listeners = this.#listeners;
    const over = new AbortController();
    const timer = setTimeout(() => {
      for (const listener of listeners) listener.destroy();
    }, graceMs);
    const lingerMs = Math.min(LINGER_MS, graceMs / 4);
    if (lingerMs > 0) {
      for (const listener of listeners) listener.announceClose();
      await pause(lingerMs);
      await turn(); // right after the event loop has accepted what waited
    }
    const closed = Promise.all(listeners.map((listener) => listener.stopAccepting()));
    if (lingerMs > 0) {
      const { signal } = over;
      await Promise.race([closed, pause(lingerMs, undefined, { signal }).catch(() => undefined)]);
    }
    this.#life.closing = true;
    for (const listener of listeners) listener.closeIdle();
    await closed;
    over.abort();
    clearTimeout(timer);
    this.#watch?.stop();
    // Responses whose sockets were ended stop their own calls, a turn of the event loop or two later.
    for (let turns = 0; turns < 100 && this.counters().active > 0; turns++) await turn();
    await Promise.all([this.#generation, ...this.#older].map((generation) => generation.end()));
    this.#sweep.stop();
  }

  /** What this gateway keeps through all changes is its own. */
  #make(options: GatewayOptions): Generation {
    return new Generation({ ...options, counters: this.#memory }, this.#life, this.#upstreams);
  }

  #commit(next: Generation): void {
    this.#older.add(this.#generation);
    this.#generation = next;
    next.begin();
    const { plane, timeouts, options } = next;
    for (const [at, listener] of this.#listeners.entries()) {
      listener.setPlane(plane, timeouts);
      const { kind } = this.#options.listeners[at] ?? {};
      const wanted = options.listeners.find((one) => one.kind === kind);
      if (wanted !== undefined && wanted.kind !== 'http') listener.setCertificate(wanted.tls);
    }
    this.#sweep.every(tickFor(deadlines(timeouts, options.upstream)));
  }

  /** What the sweep looks at beside the listeners. */
  #look(nowMs: number): void {
    for (const upstreams of this.#upstreams.parts()) upstreams.sweep(nowMs);
    for (const generation of this.#older) {
      if (!generation.isOver()) continue;
      this.#older.delete(generation);
      void generation.end();
      generation.options.onOver?.();
    }
  }
}

/** @throws OperatorError `ERR_KEY_STORE` */
function checkCertificates({ listeners }: GatewayOptions): void {
  for (const listener of listeners) {
    if (listener.kind === 'http') continue;
    try {
      createSecureContext(tlsContext(listener.tls));
    } catch (cause) {
      const message = `the certificate cannot be shown: ${errorText(cause)}`;
      throw new OperatorError('ERR_KEY_STORE', message, { cause });
    }
  }
}

/** All that the sweep has to see in time, milliseconds. */
function deadlines(timeouts: Timeouts, upstream: UpstreamOptions = {}): number[] {
  const { headersMs, requestMs, keepAliveMs, webSocketIdleMs } = timeouts;
  const { connectTimeoutMs, headersTimeoutMs, idleBodyTimeoutMs, maxWaitMs } = upstream;
  return [
    headersMs,
    requestMs,
    keepAliveMs,
    webSocketIdleMs,
    connectTimeoutMs ?? 0,
    headersTimeoutMs ?? 0,
    idleBodyTimeoutMs ?? 0,
    maxWaitMs ?? 0,
  ];
}
