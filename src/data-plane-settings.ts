import type { Artifact, ArtifactSource } from './artifact.ts';
import type { IssuerOptions } from './auth/authenticator-options.ts';
import type { FailedAttemptsOptions } from './auth/failed-attempts.ts';
import type { IntrospectionOptions } from './auth/introspection.ts';
import type { KeySetReading } from './auth/remote-key-set.ts';
import type { MgwConfig } from './config/config.ts';
import { affordableConnections } from './descriptors.ts';
import type { AccessLogOptions } from './gateway/access-line.ts';
import { callOrigins, type SharedCalls } from './gateway/call-count.ts';
import type { GatewayOptions, ListenAddress, ListenerOptions } from './gateway/options.ts';
import { routeKeys } from './gateway/route-metrics.ts';
import type { HttpClientOptions } from './net/http-client.ts';
import type { Api } from './openapi/route.ts';
import type { ReaderOptions } from './revocation/reader.ts';
import type { SharedList } from './revocation/revocation-list.ts';
import type { Trust } from './trust.ts';

/** An issuer as a data-plane thread is told of it: its JWK Set is read by the control thread. */
export interface SharedIssuer extends Omit<IssuerOptions, 'keys'> {
  readonly keys:
    | { readonly kind: 'certificate'; readonly pem: string }
    | { readonly kind: 'shared' };
}

/** What every data-plane thread of one gateway is started with: plain data, as it crosses between threads. */
export interface DataPlaneSettings {
  readonly log: MgwConfig['log'];
  readonly apis: readonly Api[];
  /** What their routes are called where requests are counted, in the order of their places. */
  readonly routeKeys: readonly string[];
  /** Origins that requests go to, in the order of the places where their calls are counted. */
  readonly origins: readonly string[];
  /** The artifact as it was read, where it has a filter: a function cannot cross. */
  readonly filterFrom: ArtifactSource | undefined;
  /** What is written of requests, where it is. */
  readonly accessLog: Omit<AccessLogOptions, 'write'> | undefined;
  readonly tracing: MgwConfig['tracing'];
  readonly gateway: Omit<
    GatewayOptions,
    | 'accessLog'
    | 'routeCounters'
    | 'tracing'
    | 'apis'
    | 'authenticator'
    | 'ready'
    | 'revoked'
    | 'revocationChanges'
    | 'log'
    | 'filter'
    | 'counters'
    | 'onOver'
  >;
  readonly issuers: readonly SharedIssuer[];
  readonly introspection: IntrospectionOptions | undefined;
  /** For the thread's own calls. */
  readonly http: HttpClientOptions;
  readonly clockSkewMs: number;
  readonly longestTokenLifeMs: number;
  readonly tokenCache: MgwConfig['tokenCache'];
  /** A thread's share. */
  readonly failedAttempts: FailedAttemptsOptions | undefined;
  readonly reader: Omit<ReaderOptions, 'onOutlived'>;
  readonly policy: Pick<MgwConfig['revocation'], 'whenUnknown' | 'whenStale'>;
}

/** The settings, and what holds at the moment that the thread starts. */
export interface DataPlaneData {
  readonly settings: DataPlaneSettings;
  readonly keySets: ReadonlyMap<string, KeySetReading>;
  readonly list: SharedList;
  /** Memory that only this thread counts its requests in. */
  readonly counters: SharedArrayBuffer;
  /** Memories that all threads count their calls in. */
  readonly calls: Omit<SharedCalls, 'indexOf'>;
  /** Memory that only this thread counts its requests in by route. */
  readonly routes: SharedArrayBuffer;
  /** Memory of its log relay. */
  readonly flight: SharedArrayBuffer;
  /** Memory in which its access lines that are not written are counted. */
  readonly accessWaiting: SharedArrayBuffer;
}

/** What there is beside the configuration. */
export interface DataPlaneParts {
  readonly artifact: Artifact;
  readonly artifactSource: ArtifactSource;
  readonly trust: Trust;
  /** 48 bytes that TLS session tickets are sealed with. */
  readonly ticketKeys: Uint8Array;
  /** Every issuer, checked. */
  readonly issuers: readonly IssuerOptions[];
  /** How many there will be. */
  readonly threads: number;
}

/** @param before what holds until these do: what has a place in memory that outlives a change keeps it */
export function dataPlaneSettings(
  config: MgwConfig,
  parts: DataPlaneParts,
  before?: Pick<DataPlaneSettings, 'routeKeys' | 'origins'>,
): DataPlaneSettings {
  const { artifact, artifactSource, trust, issuers, threads } = parts;
  const { revocation } = config;
  return {
    log: config.log,
    apis: artifact.apis,
    routeKeys: routeKeys(artifact.apis, before?.routeKeys),
    origins: callOrigins(baseUrls(config, artifact), before?.origins),
    filterFrom: artifact.filter === undefined ? undefined : artifactSource,
    tracing: config.tracing,
    accessLog: config.accessLog && {
      format: config.accessLog.format,
      sample: config.accessLog.sample,
    },
    gateway: gatewaySettings(config, parts),
    issuers: issuers.map(({ keys, ...rules }) => ({
      ...rules,
      keys: keys.kind === 'certificate' ? keys : { kind: 'shared' },
    })),
    introspection: introspectionOptions(config),
    http: httpClientOptions(config, trust),
    clockSkewMs: config.server.clockSkewMs,
    longestTokenLifeMs: revocation.longestTokenLifeMs,
    tokenCache: config.tokenCache,
    failedAttempts: config.failedVerifications && {
      perSecond: Math.max(1, config.failedVerifications.perSecond / threads),
      burst: Math.max(1, config.failedVerifications.burst / threads),
    },
    reader: readerOptions(config),
    policy: { whenUnknown: revocation.whenUnknown, whenStale: revocation.whenStale },
  };
}

/** A thread's part of what all of them may have together. */
function share(together: number, threads: number): number {
  return Math.max(1, Math.floor(together / threads));
}

/** Every base URL that a request may be sent to. */
function baseUrls({ keyManager }: MgwConfig, { apis }: Artifact): string[] {
  const routes = apis.flatMap((api) => api.routes);
  return [
    keyManager.serverUrl,
    ...routes.flatMap(({ production, sandbox }) => [...production, ...sandbox]),
  ];
}

/** Where requests are taken. */
export function listenAddresses({ listeners }: MgwConfig): readonly ListenAddress[] {
  const { host, tokenPort, httpPort, httpsPort } = listeners;
  return [
    { kind: 'token', host, port: tokenPort },
    { kind: 'http', host, port: httpPort },
    { kind: 'https', host, port: httpsPort },
  ];
}

/** How a thread reads the revocation list. */
function readerOptions({ revocation, server, auth }: MgwConfig): DataPlaneSettings['reader'] {
  return {
    maxStalenessMs: revocation.maxStalenessMs,
    clockSkewMs: server.clockSkewMs,
    staleInGap: revocation.denyOnUnclosedGap,
    consumerKeyClaims: consumerKeyClaims(auth.issuers),
  };
}

/** Names of claims that hold a client id for any issuer, each once. */
export function consumerKeyClaims(issuers: MgwConfig['auth']['issuers']): readonly string[] {
  return [...new Set(issuers.flatMap(({ consumerKeyClaim }) => consumerKeyClaim ?? []))];
}

/** How the gateway's own calls are made. */
export function httpClientOptions({ httpClients }: MgwConfig, trust: Trust): HttpClientOptions {
  return {
    ca: trust.ca,
    verifyHostname: httpClients.verifyHostname,
    disableSslVerification: httpClients.disableSslVerification,
    connectTimeoutMs: httpClients.connectTimeoutMs,
  };
}

/** Undefined: opaque tokens are refused. */
export function introspectionOptions({ keyManager }: MgwConfig): IntrospectionOptions | undefined {
  return (
    keyManager.basic && {
      url: `${keyManager.serverUrl}/${keyManager.tokenContext}/introspect`,
      ...keyManager.basic,
      maxAgeMs: keyManager.introspectionMaxAgeMs,
      issuer: keyManager.issuer,
      timeoutMs: keyManager.timeoutMs,
    }
  );
}

function gatewaySettings(
  config: MgwConfig,
  { trust, ticketKeys, threads }: DataPlaneParts,
): DataPlaneSettings['gateway'] {
  const { listeners, limits, server, httpClients, keyManager, auth, edge } = config;
  // One for all threads, and for as long as the process lives: a client that comes back is served by any of them.
  const tls = { ...trust.listener, ticketKeys, versions: listeners.tlsVersions };
  const open = listenAddresses(config).map(({ kind, ...address }): ListenerOptions => {
    if (kind === 'http') return { kind, ...address };
    return { kind, ...address, tls, ...(kind === 'https' ? { http2: listeners.http2 } : {}) };
  });
  const { serverUrl, tokenContext } = keyManager;
  return {
    engine: server.httpEngine,
    edge,
    listeners: open,
    keyManager: { serverUrl, tokenContext },
    upstream: {
      ...httpClientOptions(config, trust),
      ...(trust.client && { cert: trust.client.cert, key: trust.client.key }),
      headersTimeoutMs: httpClients.headersTimeoutMs,
      idleBodyTimeoutMs: httpClients.bodyIdleTimeoutMs,
      circuitBreaker: httpClients.circuitBreaker,
      maxHeaderSize: httpClients.maxResponseHeaderBytes,
      maxWaitMs: httpClients.maxWaitMs,
      maxIdle: httpClients.maxIdleConnections,
      ...(httpClients.maxConnections === undefined
        ? {}
        : { maxActive: httpClients.maxConnections }),
    },
    timeouts: {
      headersMs: listeners.headersTimeoutMs,
      requestMs: listeners.requestTimeoutMs,
      keepAliveMs: listeners.keepAliveTimeoutMs,
    },
    limits: {
      maxUriLength: limits.maxUriBytes,
      maxHeaderSize: limits.maxHeaderBytes,
      maxHeaderCount: limits.maxHeaderCount,
      minDataRate: limits.minDataRate,
      maxBodySize: limits.maxBodyBytes ?? -1,
      maxPipelined: limits.maxPipelined,
      maxConnections: share(affordableConnections(limits.maxConnections), threads),
      maxConnectionsPerAddress: share(limits.maxConnectionsPerAddress, threads),
    },
    loadShedding: config.loadShedding,
    trustedProxies: server.trustedProxies,
    authorizationHeader: auth.header,
    removeAuthHeader: auth.removeHeader,
    ...(server.header === '' ? {} : { serverHeader: server.header }),
    headerRules: server.headerRules.map(({ name, preserve, value }) => ({
      name,
      preserve,
      override: value,
    })),
    keepAlive: listeners.keepAlive,
    streamGraceMs: config.revocation.streamGraceMs,
  };
}
