import { setImmediate as turn } from 'node:timers/promises';
import type { Api } from '../openapi/route.ts';
import { TrustedProxies } from './client-address.ts';
import type { DataPlane } from './data-plane.ts';
import { headerPolicy } from './headers.ts';
import { Listener } from './listener.ts';
import { type GatewayCounters, Observer } from './observe.ts';
import {
  type Bound,
  DEFAULT_LIMITS,
  DEFAULT_TIMEOUTS,
  type Gateway,
  type GatewayOptions,
} from './options.ts';
import { compileRoutes, type Routes } from './routes.ts';
import { type Upstream, Upstreams } from './upstream.ts';

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
  readonly #listeners: readonly Listener[];

  constructor(options: GatewayOptions) {
    const upstreams = new Upstreams(options.upstream ?? {});
    this.#upstreams = upstreams;
    const keyManager =
      options.keyManager &&
      upstreams.endpoints([`${options.keyManager.serverUrl}/${options.keyManager.tokenContext}`]);
    this.#keyManager = keyManager?.upstreams ?? [];
    this.#plane = {
      routes: this.#compile(options.apis),
      draining: false,
      authenticator: options.authenticator,
      ready: options.ready,
      filter: options.filter,
      keyManager,
      policy: headerPolicy(options),
      limits: { ...DEFAULT_LIMITS, ...options.limits },
      trustedProxies: new TrustedProxies(options.trustedProxies ?? []),
      idleBodyTimeoutMs: options.upstream?.idleBodyTimeoutMs ?? 60_000,
      realm: options.realm ?? 'Portcullis',
      keepAlive: options.keepAlive ?? true,
      observer: new Observer(),
      log: options.log,
    };
    const timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
    this.#listeners = options.listeners.map(
      (listener) => new Listener(listener, this.#plane, timeouts),
    );
  }

  async listen(): Promise<Bound[]> {
    const results = await Promise.allSettled(this.#listeners.map((listener) => listener.listen()));
    const failed = results.find((result) => result.status === 'rejected');
    if (failed === undefined) {
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
    const closed = Promise.all(this.#listeners.map((listener) => listener.close()));
    const timer = setTimeout(() => {
      for (const listener of this.#listeners) listener.destroy();
    }, graceMs);
    await closed;
    clearTimeout(timer);
    // Responses whose sockets were ended stop their own calls, a turn of the event loop or two later.
    for (let turns = 0; turns < 100 && this.counters().active > 0; turns++) await turn();
    await this.#upstreams.destroy();
  }

  #compile(apis: readonly Api[]): Routes {
    const used = new Set(this.#keyManager);
    const routes = compileRoutes(apis, this.#upstreams, used);
    this.#upstreams.keepOnly(used);
    return routes;
  }
}
