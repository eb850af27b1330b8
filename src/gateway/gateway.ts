import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises';
import type { Api } from '../openapi/route.ts';
import type { EngineListener } from './client-side.ts';
import { AccessLines } from './access-line.ts';
import { TrustedProxies } from './client-address.ts';
import type { DataPlane } from './data-plane.ts';
import { type EdgeRules, edgeRules } from './edge-rules.ts';
import { headerPolicy } from './headers.ts';
import { HeldBack } from './held-back.ts';
import { createListener } from './listener.ts';
import { LiveWatch } from './live-watch.ts';
import { type GatewayCounters, Observer } from './observe.ts';
import {
  type Bound,
  DEFAULT_LIMITS,
  DEFAULT_TIMEOUTS,
  type Gateway,
  type GatewayOptions,
  type Listening,
  type Timeouts,
  type UpstreamOptions,
} from './options.ts';
import { placesOf, RouteMetrics } from './route-metrics.ts';
import { Tracer } from './trace-context.ts';
import { compileRoutes, type Routes } from './routes.ts';
import { errorText } from './error-text.ts';
import { Sweep, tickFor } from './sweep.ts';
import { type Upstream, Upstreams } from './upstream.ts';

/**
 * Milliseconds that the gateway, once it is told to close, still accepts connections, and then again that it waits for requests on those
 * that it has accepted. A rolling restart loses nothing that was sent before the load balancer heard of it.
 */
const LINGER_MS = 500;

/**
 * Makes the data plane of one gateway; nothing is opened before `listen`.
 * @throws OperatorError `ERR_DUPLICATE_ROUTE`, `ERR_ENDPOINT_URL`, `ERR_TRUSTED_PROXY`
 */
export function createGateway(options: GatewayOptions): Gateway {
  return new DataPlaneGateway(options);
}

class DataPlaneGateway implements Gateway {
  readonly #upstreams: Upstreams;
  readonly #keyManager: readonly Upstream[];
  readonly #plane: DataPlane;
  readonly #edge: EdgeRules;
  readonly #placeOf: (key: string) => number;
  readonly #listeners: readonly EngineListener[];
  readonly #watch: LiveWatch | undefined;
  readonly #sweep: Sweep;

  constructor(options: GatewayOptions) {
    const { engine = 'own' } = options;
    const upstreams = new Upstreams(engine, options.upstream ?? {}, options.log);
    this.#upstreams = upstreams;
    this.#edge = edgeRules(options.edge);
    this.#placeOf = placesOf(options.routeCounters?.keys ?? []);
    const keyManager =
      options.keyManager &&
      upstreams.endpoints([`${options.keyManager.serverUrl}/${options.keyManager.tokenContext}`]);
    this.#keyManager = keyManager?.upstreams ?? [];
    const trustedProxies = new TrustedProxies(options.trustedProxies ?? []);
    const tracer = options.tracing && new Tracer(options.tracing, trustedProxies);
    const timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
    this.#plane = {
      routes: this.#compile(options.apis),
      draining: false,
      closing: false,
      authenticator: options.authenticator,
      ready: options.ready,
      filter: options.filter,
      keyManager,
      policy: headerPolicy(options),
      limits: { ...DEFAULT_LIMITS, ...options.limits },
      trustedProxies,
      idleBodyTimeoutMs: options.upstream?.idleBodyTimeoutMs ?? 60_000,
      webSocketIdleMs: timeouts.webSocketIdleMs,
      realm: options.realm ?? 'Portcullis',
      keepAlive: options.keepAlive ?? true,
      observer: new Observer(options.counters, {
        accessLog: options.accessLog && new AccessLines(options.accessLog, trustedProxies),
        routes: options.routeCounters && new RouteMetrics(options.routeCounters.memory),
        tracer,
      }),
      tracer,
      heldBack: new HeldBack(),
      log: options.log,
    };
    this.#listeners = options.listeners.map((listener) =>
      createListener(engine, listener, this.#plane, timeouts),
    );
    this.#sweep = new Sweep(tickFor(deadlines(timeouts, options.upstream)), (error) => {
      options.log.error('Gateway', `a deadline was not looked at: ${errorText(error)}`);
    });
    for (const listener of this.#listeners) this.#sweep.add(listener);
    this.#sweep.add(upstreams);
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

  setRoutes(apis: readonly Api[]): void {
    this.#plane.routes = this.#compile(apis);
  }

  counters(): GatewayCounters {
    return this.#plane.observer.counters();
  }

  async close(graceMs: number): Promise<void> {
    this.#plane.draining = true;
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
    this.#plane.closing = true;
    for (const listener of listeners) listener.closeIdle();
    await closed;
    over.abort();
    clearTimeout(timer);
    this.#watch?.stop();
    // Responses whose sockets were ended stop their own calls, a turn of the event loop or two later.
    for (let turns = 0; turns < 100 && this.counters().active > 0; turns++) await turn();
    await this.#upstreams.destroy();
    this.#sweep.stop();
  }

  #compile(apis: readonly Api[]): Routes {
    const used = new Set(this.#keyManager);
    const routes = compileRoutes(apis, this.#upstreams, used, this.#edge, this.#placeOf);
    this.#upstreams.keepOnly(used);
    return routes;
  }
}

/** All that the sweep has to see in time, milliseconds. */
function deadlines(timeouts: Timeouts, upstream: UpstreamOptions = {}): number[] {
  const { headersMs, requestMs, keepAliveMs, webSocketIdleMs } = timeouts;
  const { connectTimeoutMs, headersTimeoutMs, idleBodyTimeoutMs } = upstream;
  return [
    headersMs,
    requestMs,
    keepAliveMs,
    webSocketIdleMs,
    connectTimeoutMs ?? 0,
    headersTimeoutMs ?? 0,
    idleBodyTimeoutMs ?? 0,
  ];
}
