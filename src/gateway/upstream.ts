import { buildConnector, Pool } from 'undici';
import { OperatorError } from '../errors.ts';
import { secureContext } from '../net/http-client.ts';
import { CallCount } from './call-count.ts';
import type { UpstreamOptions } from './options.ts';

/** One origin that requests are forwarded to. */
export interface Upstream {
  readonly origin: string;
  readonly pool: Pool;
  readonly maxActive: number;
  readonly calls: CallCount;
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

  next(): Endpoint {
    const endpoint = this.#endpoints[this.#next] ?? this.#endpoints[0];
    this.#next = (this.#next + 1) % this.#endpoints.length;
    return endpoint;
  }

  get upstreams(): Upstream[] {
    return this.#endpoints.map((endpoint) => endpoint.upstream);
  }
}

/** All origins in use, each with one connection pool, shared by every route that names it. */
export class Upstreams {
  readonly #options: UpstreamOptions;
  readonly #connect: buildConnector.connector;
  readonly #upstreams = new Map<string, Upstream>();
  /** Origins that there have been: one that comes back is counted anew. */
  #origins = 0;

  constructor(options: UpstreamOptions) {
    this.#options = options;
    this.#connect = connector(options);
  }

  /**
   * The endpoints for a list of base URLs; `undefined` for an empty one.
   * @throws OperatorError `ERR_ENDPOINT_URL`
   */
  endpoints(urls: readonly string[]): Endpoints | undefined {
    const [first, ...others] = urls.map((url) => this.#endpoint(url));
    return first === undefined ? undefined : new Endpoints([first, ...others]);
  }

  /**
   * Forgets origins that are in no route any more. Requests that have begun may still call them; their idle connections end by
   * themselves.
   */
  keepOnly(used: ReadonlySet<Upstream>): void {
    for (const upstream of this.#upstreams.values()) {
      if (!used.has(upstream)) this.#upstreams.delete(upstream.origin);
    }
  }

  async destroy(): Promise<void> {
    const pools = [...this.#upstreams.values()].map((upstream) => upstream.pool);
    this.#upstreams.clear();
    await Promise.all(pools.map((pool) => pool.destroy()));
  }

  #endpoint(text: string): Endpoint {
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
    return { upstream: this.#upstream(url.origin), prefix: url.pathname.replace(/\/$/, '') };
  }

  #upstream(origin: string): Upstream {
    let upstream = this.#upstreams.get(origin);
    if (upstream === undefined) {
      const maxActive = this.#options.maxActive ?? 1_000;
      const pool = new Pool(origin, {
        connections: maxActive,
        connect: this.#connect,
        headersTimeout: this.#options.headersTimeoutMs ?? 60_000,
        bodyTimeout: this.#options.idleBodyTimeoutMs ?? 60_000,
        maxHeaderSize: this.#options.maxHeaderSize ?? 16_384,
      });
      const calls = new CallCount(this.#origins++, this.#options.sharedCalls);
      upstream = { origin, pool, maxActive, calls };
      this.#upstreams.set(origin, upstream);
    }
    return upstream;
  }
}

/** Errors of connections that had served before: nothing says that the upstream saw the last request on them. */
const staleErrors = new WeakSet<Error>();

/** Whether `error` ended a kept connection before it answered, so that the request may be sent once more. */
export function isStale(error: Error): boolean {
  const { socket } = error as Error & { readonly socket?: { readonly bytesRead?: number } };
  return staleErrors.has(error) || (socket?.bytesRead ?? 0) > 0;
}

function connector(options: UpstreamOptions): buildConnector.connector {
  const connect = buildConnector({
    ...secureContext(options),
    timeout: options.connectTimeoutMs ?? 5_000,
    rejectUnauthorized: options.disableSslVerification !== true,
    ...(options.verifyHostname === false && { checkServerIdentity: () => undefined }),
    maxCachedSessions: 0, // a resumed session is not checked again, and the cache does not tell ports apart
  });
  return (target, callback) => {
    connect(target, (...result) => {
      const [error, socket] = result;
      if (error === null) {
        socket.prependListener('error', (cause: NodeJS.ErrnoException) => {
          if (socket.bytesRead > 0) staleErrors.add(cause);
          // undici takes ECONNRESET for the end of a body that has no length: the client would see a whole one.
          if (cause.code === 'ECONNRESET') cause.code = 'ERR_UPSTREAM_RESET';
        });
      }
      callback(...result);
    });
  };
}
