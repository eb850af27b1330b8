import { OperatorError } from '../errors.ts';
import type { Log } from '../log.ts';
import { CallCount } from './call-count.ts';
import { CallQueue } from './call-queue.ts';
import { Http2Upstream } from './http2-upstream.ts';
import { connector } from './node-engine/connector.ts';
import { UndiciUpstream } from './node-engine/undici-upstream.ts';
import type { Engine, UpstreamOptions } from './options.ts';
import { OwnUpstream } from './own-engine/own-upstream.ts';
import type { Sweep } from './sweep.ts';
import { TurnedAway } from './turned-away.ts';
import { UpstreamHealth } from './upstream-health.ts';
import type { UpstreamSide } from './upstream-side.ts';

/** Milliseconds after which no request can be left that has a route from before. */
const RETIRED_MS = 120_000;

/** One origin that requests are forwarded to. */
export interface Upstream {
  readonly origin: string;
  /** It is called over HTTP/2: what ends a message there, trailers, can be passed on. */
  readonly http2: boolean;
  readonly side: UpstreamSide;
  readonly calls: CallCount;
  readonly queue: CallQueue;
  /** Absent: it is asked whatever comes of it. */
  readonly health: UpstreamHealth | undefined;
  readonly turnedAway: TurnedAway;
}

/** One configured base URL of a back end. */
export interface Endpoint {
  readonly upstream: Upstream;
  /** Path of the base URL without a slash at its end. */
  readonly prefix: string;
}

/** The base URLs of an operation, in turn. */
export class Endpoints {
  readonly #endpoints: readonly [Endpoint, ...Endpoint[]];
  #next = 0;

  constructor(endpoints: readonly [Endpoint, ...Endpoint[]]) {
    this.#endpoints = endpoints;
  }

  /** The next one that can be asked; while none can, the next one. */
  next(): Endpoint {
    let endpoint = this.#turn();
    for (let others = this.#endpoints.length - 1; others > 0 && isOpen(endpoint); others--)
      endpoint = this.#turn();
    return endpoint;
  }

  get upstreams(): Upstream[] {
    return this.#endpoints.map((endpoint) => endpoint.upstream);
  }

  #turn(): Endpoint {
    const endpoint = this.#endpoints[this.#next] ?? this.#endpoints[0];
    this.#next = (this.#next + 1) % this.#endpoints.length;
    return endpoint;
  }
}

function isOpen({ upstream: { health } }: Endpoint): boolean {
  return health !== undefined && !health.allows(performance.now());
}

/** All origins in use, each with one connection pool, shared by every route that names it. */
export class Upstreams {
  readonly #options: UpstreamOptions;
  readonly #maxActive: number;
  readonly #open: OpenUpstream;
  /** By origin, and the version of HTTP where that is 2. */
  readonly #upstreams = new Map<string, Upstream>();
  /** Those that no route names any more, and since when, milliseconds, once the sweep has seen them. */
  readonly #retired = new Map<Upstream, number | undefined>();

  /** @param clock of the sweep that they are looked at by */
  constructor(engine: Engine, options: UpstreamOptions, log: Log, clock: Sweep['clock']) {
    this.#options = options;
    this.#maxActive = options.maxActive ?? 1_000;
    this.#open = opener(engine, options, log, clock, this.#maxActive);
  }

  /**
   * The endpoints for a list of base URLs; `undefined` for an empty one.
   * @param http2 they are called over HTTP/2
   * @throws OperatorError `ERR_ENDPOINT_URL`
   */
  endpoints(urls: readonly string[], http2 = false): Endpoints | undefined {
    const [first, ...others] = urls.map((url) => this.#endpoint(url, http2));
    return first === undefined ? undefined : new Endpoints([first, ...others]);
  }

  /**
   * Forgets origins that are in no route any more. Requests that have begun may still call them; they are closed when that is over.
   */
  keepOnly(used: ReadonlySet<Upstream>): void {
    for (const [key, upstream] of this.#upstreams) {
      if (used.has(upstream)) continue;
      this.#upstreams.delete(key);
      this.#retired.set(upstream, undefined);
    }
  }

  /** As {@link Swept.sweep}. */
  sweep(nowMs: number): void {
    for (const { side, queue } of this.#upstreams.values()) {
      side.sweep(nowMs);
      queue.sweep(nowMs);
    }
    for (const [upstream, since] of this.#retired) {
      upstream.side.sweep(nowMs);
      upstream.queue.sweep(nowMs);
      if (since === undefined) {
        this.#retired.set(upstream, nowMs);
      } else if (upstream.calls.own === 0 && nowMs - since > RETIRED_MS) {
        this.#retired.delete(upstream);
        void upstream.side.close();
      }
    }
  }

  async destroy(): Promise<void> {
    const all = [...this.#upstreams.values(), ...this.#retired.keys()];
    this.#upstreams.clear();
    this.#retired.clear();
    await Promise.all(all.map(({ side }) => side.close()));
  }

  #endpoint(text: string, http2: boolean): Endpoint {
    const url = URL.parse(text);
    if (
      url === null ||
      (url.protocol !== 'http:' && url.protocol !== 'https:') ||
      url.username !== '' ||
      url.password !== '' ||
      text.includes('?') ||
      text.includes('#')
    ) {
      const shown = url === null || url.username !== '' || url.password !== '' ? '' : `: ${text}`;
      throw new OperatorError('ERR_ENDPOINT_URL', `an endpoint URL is not usable${shown}`);
    }
    return { upstream: this.#upstream(url.origin, http2), prefix: url.pathname.replace(/\/$/, '') };
  }

  #upstream(origin: string, http2: boolean): Upstream {
    const key = http2 ? `${origin} HTTP/2` : origin;
    let upstream = this.#upstreams.get(key);
    if (upstream === undefined) {
      const calls = new CallCount(origin, this.#options.sharedCalls);
      const side = this.#open(origin, calls, http2);
      const { circuitBreaker } = this.#options;
      const health = circuitBreaker && new UpstreamHealth(circuitBreaker);
      const queue = new CallQueue(calls, this.#maxActive, this.#options.maxWaitMs ?? 0);
      const turnedAway = new TurnedAway();
      upstream = { origin, http2, side, calls, queue, health, turnedAway };
      this.#upstreams.set(key, upstream);
    }
    return upstream;
  }
}

type OpenUpstream = (origin: string, calls: CallCount, http2: boolean) => UpstreamSide;

/** How the engine opens an origin. HTTP/2 is node:http2's in both. */
function opener(
  engine: Engine,
  options: UpstreamOptions,
  log: Log,
  clock: Sweep['clock'],
  maxActive: number,
): OpenUpstream {
  const connect = engine === 'node' ? connector(options) : undefined;
  return (origin, calls, http2) => {
    if (http2) return new Http2Upstream(origin, options, log, clock);
    if (connect === undefined) return new OwnUpstream(origin, options, log, clock);
    return new UndiciUpstream(origin, maxActive, connect, options, calls);
  };
}
