import type { Authenticator } from '../auth/authenticate.ts';
import type { Caller } from '../auth/caller.ts';
import { OperatorError } from '../errors.ts';
import type { ExtensionFilter } from '../extension.ts';
import type { Log } from '../log.ts';
import type { HttpClientOptions } from '../net/http-client.ts';
import type { Api } from '../openapi/route.ts';
import type { SharedCalls } from './call-count.ts';
import type { AccessLogOptions } from './access-line.ts';
import type { EdgeRules } from './edge-rules.ts';
import type { GatewayCounters } from './observe.ts';
import type { TracingOptions } from './trace-context.ts';
import type { LoadSheddingOptions } from './shedding.ts';
import type { CircuitBreakerOptions } from './upstream-health.ts';

/** PEM certificate chain and private key of a listener. */
export interface ListenerTls {
  readonly cert: string;
  readonly key: string;
  /** 48 bytes that session tickets are sealed with (RFC 5077, RFC 8446 section 4.6.1); listeners with the same resume each other's sessions. */
  readonly ticketKeys?: Uint8Array;
  /** Versions of TLS that are spoken, `1.2` and `1.3`. Default: both. */
  readonly versions?: readonly string[];
}

/** `http` and `https` serve the APIs; `token` (HTTPS) only `/token`, `/revoke`, `/authorize` and `/userinfo`, which `https` has too. */
export type ListenerOptions =
  | { readonly kind: 'http'; readonly host: string; readonly port: number }
  | {
      readonly kind: 'https' | 'token';
      readonly host: string;
      readonly port: number;
      readonly tls: ListenerTls;
      /** HTTP/2 offered beside HTTP/1.1 by ALPN. Default: true for `https`, false for `token`. */
      readonly http2?: boolean;
    };

/** The address that a listener really has: `port` is never 0. */
export interface Bound {
  readonly kind: ListenerOptions['kind'];
  readonly host: string;
  readonly port: number;
}

/** An address as it is configured: port 0 takes any. */
export type ListenAddress = Pick<ListenerOptions, 'kind' | 'host' | 'port'>;

/** A listener that cannot have its address. */
export class ListenError extends OperatorError {
  readonly address: ListenAddress;
  /** What the system said: `EADDRINUSE`. */
  readonly reason: string;

  /** @param remedy in place of the one that the reason has */
  constructor(
    address: ListenAddress,
    cause: Pick<NodeJS.ErrnoException, 'code' | 'message'>,
    remedy = LISTEN_REMEDIES[cause.code ?? cause.message],
  ) {
    const { kind, host, port } = address;
    const reason = cause.code ?? cause.message;
    super(
      'ERR_LISTEN',
      `${kind} listener: cannot listen on ${host}:${port} (${reason})${remedy === undefined ? '' : `: ${remedy}`}`,
      { cause },
    );
    this.address = { kind, host, port };
    this.reason = reason;
  }
}

const LISTEN_REMEDIES: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program has this port. End it, or set another port',
  EACCES: 'ports below 1024 need privileges. Set another port',
  EADDRNOTAVAIL: 'this machine has no such address. Set one of its own, or 0.0.0.0 for all',
};

/** `[httpClients]` for the data plane: trust, deadlines and bounds of calls to upstreams and the key manager. */
export interface UpstreamOptions extends HttpClientOptions {
  /** Milliseconds from the sent request to the response's head. Default 60,000. */
  readonly headersTimeoutMs?: number;
  /** Milliseconds without a byte of a body, in either direction and on either side. Default 60,000. */
  readonly idleBodyTimeoutMs?: number;
  /** Calls at one time to one origin; more wait, or are answered 503. Default 1,000. */
  readonly maxActive?: number;
  /** Milliseconds that they wait, 1,000 at most in each thread. Default 0: not at all. */
  readonly maxWaitMs?: number;
  /** Idle connections to one origin that are kept. Default: all. Of the own engine. */
  readonly maxIdle?: number | undefined;
  /** Where the calls of other threads are found, which count towards `maxActive` too. */
  readonly sharedCalls?: SharedCalls;
  /** When an origin that fails is not asked any more. Absent: it is always asked. */
  readonly circuitBreaker?: CircuitBreakerOptions | undefined;
  /** Bytes of a response's head. Default 16,384. */
  readonly maxHeaderSize?: number;
}

/** Milliseconds. */
export interface Timeouts {
  /** From the first byte of a request (or the connection) to the end of its head. Default 10,000. */
  readonly headersMs: number;
  /** From the first byte of a request to the end of its body; 0: no limit. Default 300,000. */
  readonly requestMs: number;
  /** An idle connection is kept this long. Default 65,000. */
  readonly keepAliveMs: number;
  /** TLS handshake. Default 10,000. */
  readonly handshakeMs: number;
  /** A WebSocket without a byte in either direction. Default 300,000. */
  readonly webSocketIdleMs: number;
}

export interface Limits {
  /** Characters of the request target. Default 4,096. */
  readonly maxUriLength: number;
  /** Bytes of the header fields. Default 8,192. */
  readonly maxHeaderSize: number;
  /** Number of header fields. Default 100. */
  readonly maxHeaderCount: number;
  /** Bytes of a request body; -1: no limit. Default -1. */
  readonly maxBodySize: number;
  /** Requests of one HTTP/1.1 connection that may wait for their turn before no more is read. Of the engine "node". Default 10. */
  readonly maxPipelined: number;
  /** Connections of all listeners. Default 10,000. */
  readonly maxConnections: number;
  /** Of one address, that is no trusted proxy's. Default 1,000. */
  readonly maxConnectionsPerAddress: number;
  /** HTTP/2 streams of one connection at one time. Default 100. */
  readonly maxStreams: number;
  /**
   * Bytes a second that a client has to send of a body that is waited for, and to take of an answer, measured over 10 seconds or more; 0: any.
   * Of HTTP/1.1 of the own engine. Default 240.
   */
  readonly minDataRate: number;
}

/** What speaks HTTP/1.1: Node's own server with undici, or `src/http1`. */
export type Engine = 'node' | 'own';

/** `[[server.headerConf]]`: `Server` is meant in responses, any other name in requests. */
export interface HeaderRule {
  readonly name: string;
  /** True: as it came. False: `override` in its place. */
  readonly preserve: boolean;
  readonly override: string;
}

export interface GatewayOptions {
  readonly listeners: readonly ListenerOptions[];
  readonly apis: readonly Api[];
  readonly authenticator: Authenticator;
  /** Whether the revocation sources have been read: `GET /ready`. */
  readonly ready: () => boolean;
  /**
   * Whether the token of a caller who was let in has been revoked since. Asked about everything that is still under way a moment later:
   * WebSockets, streamed answers and requests that wait for one end within a second. Absent: they last as long as they like.
   */
  readonly revoked?: ((caller: Caller) => boolean) | undefined;
  /** As long as this says the same, nobody was revoked, and nobody is asked about twice. Absent: they are asked about again and again. */
  readonly revocationChanges?: () => number;
  /** Milliseconds that they are left when their token is revoked. Default 0. */
  readonly streamGraceMs?: number;
  readonly log: Log;
  readonly filter?: ExtensionFilter | undefined;
  /** Where the token endpoints are proxied to: `serverUrl + "/" + tokenContext + path`. Absent: 404. */
  readonly keyManager?: { readonly serverUrl: string; readonly tokenContext: string } | undefined;
  /** What speaks HTTP/1.1 with clients and upstreams. Default `own`. */
  readonly engine?: Engine;
  /** Rules for what two readers could understand in two ways. Default: all closed. */
  readonly edge?: Partial<EdgeRules>;
  readonly upstream?: UpstreamOptions;
  readonly timeouts?: Partial<Timeouts>;
  readonly limits?: Partial<Limits>;
  /** When a thread refuses requests to save itself. Absent: never. */
  readonly loadShedding?: LoadSheddingOptions | undefined;
  /** Addresses and CIDR ranges whose `X-Forwarded-*` and `Forwarded` are believed. Default none. */
  readonly trustedProxies?: readonly string[];
  /** Name of the credential header. Default `Authorization`. */
  readonly authorizationHeader?: string;
  /** `removeAuthHeaderFromOutMessage`. Default true. */
  readonly removeAuthHeader?: boolean;
  /** `Server` of every response. Default: none on answers of the gateway itself, the upstream's on its own. */
  readonly serverHeader?: string | undefined;
  readonly headerRules?: readonly HeaderRule[];
  /** Realm of `WWW-Authenticate`. Default `Portcullis`. */
  readonly realm?: string;
  /** False: every HTTP/1.1 connection is closed after one response (`keepAlive = "NEVER"`). Default true. */
  readonly keepAlive?: boolean;
  /** Where requests are counted by route, for somebody else to read: `ROUTE_COUNTER_BYTES`, and the keys in the order of their places (route-metrics.ts). Absent: they are not. */
  readonly routeCounters?: {
    readonly memory: SharedArrayBuffer;
    readonly keys: readonly string[];
  };
  /** How traces are passed on, and where spans go. Absent: `traceparent` and `tracestate` pass untouched. */
  readonly tracing?: TracingOptions | undefined;
  /** Where a line for each request goes. Absent: none is made. */
  readonly accessLog?: AccessLogOptions | undefined;
  /** Called once, when others have taken the place of these options and the last request that was served with them is over. */
  readonly onOver?: () => void;
  /** Memory of `COUNTER_BYTES` (observe.ts) that the counters live in, where somebody else is to read them. */
  readonly counters?: SharedArrayBuffer;
}

/** How the addresses are taken. */
export interface Listening {
  /** Ports in place of the configured ones, by kind: what another thread got for a port 0. */
  readonly ports?: Readonly<Partial<Record<ListenerOptions['kind'], number>>>;
  /** True: others that say so too may listen on the same addresses; the kernel shares out the connections (`SO_REUSEPORT`). */
  readonly shared?: boolean;
}

/** A change that is ready. One of the two is to be called, once. */
export interface PreparedChange {
  /** Requests that begin from now on are served with it, also on connections that are open; those that have begun keep what they have. */
  commit(): void;
  discard(): Promise<void>;
}

/** The data plane. */
export interface Gateway {
  /**
   * Opens every listener, or none.
   * @throws ListenError when an address cannot be had
   */
  listen(how?: Listening): Promise<Bound[]>;
  /**
   * Makes all that requests are to be served with from now on, and changes nothing yet. What belongs to the process stays as it is:
   * addresses, engine, counters, and what is asked about revocations of what is under way.
   * @throws OperatorError as `createGateway`, or `ERR_KEY_STORE`; nothing has happened then
   */
  prepare(options: GatewayOptions): PreparedChange;
  /** What happened so far. */
  counters(): GatewayCounters;
  /**
   * Drains: is not ready any more and tells clients to go (`Connection: close`, GOAWAY), stops accepting after half a second and closes
   * idle connections after another, lets requests finish, and after `graceMs` milliseconds ends what is left. With a grace of less than
   * two seconds each half second is a quarter of it. Resolves when every listener and connection is closed.
   */
  close(graceMs: number): Promise<void>;
}

export const DEFAULT_TIMEOUTS: Timeouts = {
  headersMs: 10_000,
  requestMs: 300_000,
  keepAliveMs: 65_000,
  handshakeMs: 10_000,
  webSocketIdleMs: 300_000,
};

export const DEFAULT_LIMITS: Limits = {
  maxUriLength: 4_096,
  maxHeaderSize: 8_192,
  maxHeaderCount: 100,
  maxBodySize: -1,
  maxPipelined: 10,
  maxConnections: 10_000,
  maxConnectionsPerAddress: 1_000,
  maxStreams: 100,
  minDataRate: 240,
};
