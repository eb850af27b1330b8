import { join } from 'node:path';
import type { Assembly } from './assembly.ts';
import type {
  AccessLogConfig,
  CircuitBreakerConfig,
  FailedVerificationsConfig,
  HeaderRule,
  KeyManagerConfig,
  MgwConfig,
  OperatorConfig,
  StoreConfig,
  TracingConfig,
} from './config.ts';
import { assembleEdgeRules } from './edge-rules.ts';
import { assembleIssuers } from './issuers.ts';
import { isLoopback } from './read-value.ts';
import { assembleSources } from './sources.ts';

/** Names of the port keys, in the order in which they are compared. */
const PORTS = [
  'listenerConfig.httpPort',
  'listenerConfig.httpsPort',
  'listenerConfig.tokenListenerPort',
  'operatorConfig.port',
] as const;
type PortName = (typeof PORTS)[number];

/** WSO2's fallback for an empty `server.header`. */
const DEFAULT_SERVER_HEADER = 'ballerina';

/** Settings as written to the configuration as used. Contradictions become complaints of the assembly. */
export function assemble(assembly: Assembly, home: string): MgwConfig {
  const { settings } = assembly.read;
  const { listenerConfig, server, httpClients, caching, authConfig } = settings;
  checkPorts(assembly);
  const issuers = assembleIssuers(assembly);
  const keyManager = assembleKeyManager(assembly);
  const headerRules = assembleHeaderRules(assembly);
  const revocation = settings.tokenRevocationConfig;
  const sources = assembleSources(issuers, keyManager.issuer, assembly);

  return {
    home,
    listeners: {
      host: listenerConfig.host,
      httpPort: listenerConfig.httpPort,
      httpsPort: listenerConfig.httpsPort,
      tokenPort: listenerConfig.tokenListenerPort,
      http2: settings.http2.enable,
      keepAlive: listenerConfig.keepAlive !== 'NEVER',
      keyStore: keyStore(listenerConfig.keyStorePath, listenerConfig.keyStorePassword),
      trustStore: keyStore(listenerConfig.trustStorePath, listenerConfig.trustStorePassword),
      headersTimeoutMs: listenerConfig.headersTimeout,
      requestTimeoutMs: listenerConfig.requestTimeout,
      keepAliveTimeoutMs: listenerConfig.keepAliveTimeout,
      tlsVersions: listenerConfig.tlsVersions,
    },
    limits: {
      maxUriBytes: listenerConfig.maxUriLength,
      maxHeaderBytes: listenerConfig.maxHeaderSize,
      maxHeaderCount: listenerConfig.maxHeaderCount,
      maxBodyBytes: limit(listenerConfig.maxEntityBodySize),
      minDataRate: listenerConfig.minDataRate,
      maxPipelined: listenerConfig.maxPipelinedRequests,
      maxConnections: listenerConfig.maxConnections,
      maxConnectionsPerAddress: listenerConfig.maxConnectionsPerAddress,
    },
    edge: assembleEdgeRules(assembly),
    failedVerifications: assembleFailedVerifications(settings.failedVerifications),
    loadShedding: settings.loadShedding.enable
      ? { heapPercent: settings.loadShedding.heapPercent }
      : undefined,
    server: {
      header: server.header === '' ? serverHeader(headerRules) : server.header,
      headerRules,
      trustedProxies: server.trustedProxies,
      clockSkewMs:
        server.timestampSkew === -1 ? settings.keyManager.timestampSkew : server.timestampSkew,
      drainTimeoutMs: server.drainTimeout,
      httpEngine: server.httpEngine,
      threads: server.threads,
    },
    auth: {
      header: authConfig.authorizationHeader,
      removeHeader: authConfig.removeAuthHeaderFromOutMessage,
      issuers,
    },
    tokenCache: {
      maxEntries: caching.enabled ? caching.tokenCacheCapacity : 0,
      maxAgeMs: caching.tokenCacheExpiryTime,
    },
    keyManager,
    revocation: {
      whenUnknown: revocation.whenUnknown,
      whenStale: assembleWhenStale(assembly, keyManager),
      maxStalenessMs: revocation.maxStaleness,
      denyOnUnclosedGap: revocation.denyOnUnclosedGap,
      maxEntries: revocation.maxEntries,
      stateFolder: revocation.stateFolder ?? join(home, 'state'),
      streamGraceMs: revocation.streamGrace,
      longestTokenLifeMs: revocation.longestTokenLife,
      sources,
    },
    operator: assembleOperator(assembly, home),
    httpClients: {
      keyStore: keyStore(
        settings['httpClients.sslConfig'].keyStorePath,
        settings['httpClients.sslConfig'].keyStorePassword,
      ),
      verifyHostname: httpClients.verifyHostname,
      disableSslVerification: httpClients.disableSslVerification,
      connectTimeoutMs: settings['httpClients.timeouts'].connect,
      headersTimeoutMs: settings['httpClients.timeouts'].responseHeaders,
      bodyIdleTimeoutMs: settings['httpClients.timeouts'].idleBody,
      maxConnections: limit(settings['httpClients.poolConfig'].maxActiveConnections),
      maxWaitMs: settings['httpClients.poolConfig'].waitTimeInMillis,
      maxIdleConnections: limit(settings['httpClients.poolConfig'].maxIdleConnections),
      circuitBreaker: assembleCircuitBreaker(settings['httpClients.circuitBreaker']),
      maxResponseHeaderBytes: settings['httpClients.responseLimits'].maxHeaderSize,
    },
    log: settings['b7a.log'],
    tracing: assembleTracing(settings['b7a.observability.tracing']),
    accessLog: assembleAccessLog(settings['b7a.http.accesslog']),
  };
}

function assembleWhenStale(
  assembly: Assembly,
  { basic }: KeyManagerConfig,
): 'deny' | 'introspect' | 'allow' {
  const { whenStale } = assembly.read.settings.tokenRevocationConfig;
  if (whenStale === 'introspect' && basic === undefined)
    assembly.contradiction(
      'tokenRevocationConfig.whenStale',
      'is "introspect", but there are no credentials for the key manager: enable [keymanager.security.basic]',
    );
  return whenStale;
}

function assembleOperator(assembly: Assembly, home: string): OperatorConfig | undefined {
  const { operatorConfig: table } = assembly.read.settings;
  if (!table.enable) return undefined;
  if (table.keyStorePath === undefined && !isLoopbackHost(table.host))
    assembly.contradiction(
      'operatorConfig.host',
      'is not loopback, and there is no `keyStorePath`: beyond this machine the API is served with TLS only',
    );
  if (table.clientCaPath !== undefined && table.keyStorePath === undefined)
    assembly.contradiction(
      'operatorConfig.clientCaPath',
      'is set, but `keyStorePath` is not: client certificates are a part of TLS',
    );
  return {
    host: table.host,
    port: table.port,
    tokenPath: table.tokenPath ?? join(home, 'security', 'operator.token'),
    keyStore: keyStore(table.keyStorePath, table.keyStorePassword),
    clientCaPath: table.clientCaPath,
    allowedHosts: table.allowedHosts,
  };
}

function assembleFailedVerifications({
  enable,
  ...limit
}: FailedVerificationsConfig & { readonly enable: boolean }):
  | FailedVerificationsConfig
  | undefined {
  return enable ? limit : undefined;
}

function assembleCircuitBreaker(table: {
  readonly enable: boolean;
  readonly failures: number;
  readonly openFor: number;
}): CircuitBreakerConfig | undefined {
  return table.enable ? { failures: table.failures, openForMs: table.openFor } : undefined;
}

function assembleTracing({
  enabled,
  ...tracing
}: TracingConfig & { readonly enabled: boolean }): TracingConfig | undefined {
  return enabled ? tracing : undefined;
}

/** Undefined when it is to go nowhere. */
function assembleAccessLog(table: AccessLogConfig): AccessLogConfig | undefined {
  return table.console || table.path !== undefined ? table : undefined;
}

function isLoopbackHost(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.');
}

/** -1 in the file is for "none of our own". */
function limit(value: number): number | undefined {
  return value === -1 ? undefined : value;
}

function keyStore(path: string | undefined, password: string): StoreConfig | undefined {
  return path === undefined ? undefined : { path, password };
}

function checkPorts(assembly: Assembly): void {
  const { listenerConfig, operatorConfig } = assembly.read.settings;
  const portOf: Readonly<Record<PortName, number>> = {
    'listenerConfig.httpPort': listenerConfig.httpPort,
    'listenerConfig.httpsPort': listenerConfig.httpsPort,
    'listenerConfig.tokenListenerPort': listenerConfig.tokenListenerPort,
    'operatorConfig.port': operatorConfig.enable ? operatorConfig.port : 0,
  };
  const seen = new Map<number, PortName>();
  for (const name of PORTS) {
    const port = portOf[name];
    const other = port === 0 ? undefined : seen.get(port);
    if (other !== undefined) {
      // The complaint belongs to the line that was written, not to a default.
      const [mine, its] = assembly.has(name) ? [name, other] : [other, name];
      const problem = `is ${port}, and so is \`${its}\` (${assembly.whereIs(its)}): each listener needs its own port`;
      assembly.contradiction(mine, problem);
    }
    seen.set(port, name);
  }
}

function assembleHeaderRules(assembly: Assembly): HeaderRule[] {
  const seen = new Set<string>();
  return assembly.read.settings['server.headerConf'].flatMap((rule, i) => {
    const at = `server.headerConf.${i}`;
    const { headerName } = rule;
    if (headerName === undefined) {
      assembly.contradiction(`${at}.headerName`, 'is missing: write which header is meant');
      return [];
    }
    if (seen.has(headerName.toLowerCase()))
      assembly.contradiction(`${at}.headerName`, 'is configured twice: keep one of the tables');
    seen.add(headerName.toLowerCase());
    return [{ name: headerName, preserve: rule.preserveHeader, value: rule.overrideValue }];
  });
}

/** `Server` of answers where `server.header` says nothing. */
function serverHeader(rules: readonly HeaderRule[]): string {
  const rule = rules.find(({ name }) => name.toLowerCase() === 'server');
  return rule?.preserve === false ? rule.value : DEFAULT_SERVER_HEADER;
}

function assembleKeyManager(assembly: Assembly): KeyManagerConfig {
  const { keyManager, ['keymanager.security.basic']: basic } = assembly.read.settings;
  const url = new URL(keyManager.serverUrl);
  if (url.search !== '')
    assembly.badValue('keyManager.serverUrl', 'must not have a query (`?...`)');
  if (url.protocol === 'http:' && !isLoopback(url))
    assembly.warn(
      '`keyManager.serverUrl` is plain http to another machine: whoever is in between can read tokens and credentials',
    );
  if (!/^\/*[\w.~-]+(?:\/[\w.~-]+)*\/*$/.test(keyManager.tokenContext))
    assembly.badValue('keyManager.tokenContext', 'must be a URL path, such as "oauth2"');
  return {
    serverUrl: keyManager.serverUrl.replace(/\/+$/, ''),
    tokenContext: keyManager.tokenContext.replace(/^\/+|\/+$/g, ''),
    issuer: keyManager.issuer,
    basic: basic.enabled ? { username: basic.username, password: basic.password } : undefined,
    introspectionMaxAgeMs: keyManager.introspectionCacheAge,
    timeoutMs: keyManager.timeout,
  };
}
