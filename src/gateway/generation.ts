import type { Upstream, Upstreams } from './upstream.ts';
import { AccessLines } from './access-line.ts';
import { TrustedProxies } from './client-address.ts';
import type { DataPlane } from './data-plane.ts';
import { edgeRules } from './edge-rules.ts';
import { headerPolicy } from './headers.ts';
import { HeldBack } from './held-back.ts';
import { Observer } from './observe.ts';
import {
  DEFAULT_LIMITS,
  DEFAULT_TIMEOUTS,
  type Engine,
  type GatewayOptions,
  type Timeouts,
  type UpstreamOptions,
} from './options.ts';
import { placesOf, RouteMetrics } from './route-metrics.ts';
import { compileRoutes } from './routes.ts';
import type { Lease, SharedPart } from './shared-part.ts';
import { Tracer } from './trace-context.ts';

/** Whether the gateway is about to close: one for all generations, as connections outlive them. */
export interface Life {
  draining: boolean;
  closing: boolean;
  /** Requests are refused unread: there is too much to do. */
  shedding: boolean;
}

/** What a set of upstreams is made of. */
export interface UpstreamsWish {
  readonly engine: Engine;
  readonly options: UpstreamOptions;
}

/**
 * Everything that requests are served with between two changes of configuration. It is made whole before the first request gets it, and
 * let go of when the last one is over.
 */
export class Generation {
  readonly plane: DataPlane;
  readonly timeouts: Timeouts;
  readonly options: GatewayOptions;
  readonly #upstreams: Lease<Upstreams>;
  readonly #used: ReadonlySet<Upstream>;
  readonly #observer: Observer;
  #idleBefore = false;

  /** @throws OperatorError `ERR_DUPLICATE_ROUTE`, `ERR_ENDPOINT_URL`, `ERR_TRUSTED_PROXY`; nothing is left behind then */
  constructor(
    options: GatewayOptions,
    life: Readonly<Life>,
    upstreams: SharedPart<UpstreamsWish, Upstreams>,
  ) {
    const { engine = 'own', upstream = {}, keyManager } = options;
    this.options = options;
    this.timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
    const trustedProxies = new TrustedProxies(options.trustedProxies ?? []);
    const tracer = options.tracing && new Tracer(options.tracing, trustedProxies);
    this.#observer = new Observer(options.counters, {
      accessLog: options.accessLog && new AccessLines(options.accessLog, trustedProxies),
      routes: options.routeCounters && new RouteMetrics(options.routeCounters.memory),
      tracer,
    });
    this.#upstreams = upstreams.take({ engine, options: upstream });
    try {
      const origins = this.#upstreams.part;
      const tokenEndpoints =
        keyManager && origins.endpoints([`${keyManager.serverUrl}/${keyManager.tokenContext}`]);
      const used = new Set(tokenEndpoints?.upstreams);
      const placeOf = placesOf(options.routeCounters?.keys ?? []);
      this.plane = {
        routes: compileRoutes(options.apis, origins, used, edgeRules(options.edge), placeOf),
        get draining() {
          return life.draining;
        },
        get closing() {
          return life.closing;
        },
        get shedding() {
          return life.shedding;
        },
        authenticator: options.authenticator,
        ready: options.ready,
        filter: options.filter,
        keyManager: tokenEndpoints,
        policy: headerPolicy(options),
        limits: { ...DEFAULT_LIMITS, ...options.limits },
        trustedProxies,
        idleBodyTimeoutMs: upstream.idleBodyTimeoutMs ?? 60_000,
        webSocketIdleMs: this.timeouts.webSocketIdleMs,
        realm: options.realm ?? 'Portcullis',
        keepAlive: options.keepAlive ?? true,
        observer: this.#observer,
        tracer,
        heldBack: new HeldBack(),
        log: options.log,
      };
      this.#used = used;
    } catch (error) {
      void this.#upstreams.release(); // what it has opened has no connection yet
      throw error;
    }
  }

  /** It serves from now on: origins that only others have named are forgotten, once their calls are over. */
  begin(): void {
    this.#upstreams.part.keepOnly(this.#used);
  }

  /** Whether it has been idle for a while: calls of requests that are over end a turn of the event loop or two later. To be asked once a tick. */
  isOver(): boolean {
    const idle = this.#observer.active === 0;
    const over = idle && this.#idleBefore;
    this.#idleBefore = idle;
    return over;
  }

  /** Lets go of what it shares, which ends where nobody else has it. */
  end(): Promise<void> {
    return this.#upstreams.release();
  }
}
