import type { Assembly } from './assembly.ts';
import type { HeaderRule, KeyManagerConfig, MgwConfig, StoreConfig } from './config.ts';
import { assembleIssuers } from './issuers.ts';
import { isLoopback } from './read-value.ts';
import { assembleSources } from './sources.ts';

type PortName = 'httpPort' | 'httpsPort' | 'tokenListenerPort';

/** WSO2's fallback for an empty `server.header`. */
const DEFAULT_SERVER_HEADER = 'ballerina';

/** Settings as written to the configuration as used. Contradictions become complaints of the assembly. */
export function assemble(assembly: Assembly, home: string): MgwConfig {
  const { settings } = assembly.read;
  const { listenerConfig, server, httpClients, caching, authConfig } = settings;
  checkPorts(assembly);
  const issuers = assembleIssuers(assembly);
  const keyManager = assembleKeyManager(assembly);
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
      keepAliveTimeoutMs: listenerConfig.keepAliveTimeout,
    },
    limits: {
      maxUriBytes: listenerConfig.maxUriLength,
      maxHeaderBytes: listenerConfig.maxHeaderSize,
      maxBodyBytes: limit(listenerConfig.maxEntityBodySize),
      maxPipelined: listenerConfig.maxPipelinedRequests,
    },
    server: {
      header: server.header === '' ? DEFAULT_SERVER_HEADER : server.header,
      headerRules: assembleHeaderRules(assembly),
      trustedProxies: server.trustedProxies,
      clockSkewMs:
        server.timestampSkew === -1 ? settings.keyManager.timestampSkew : server.timestampSkew,
      drainTimeoutMs: server.drainTimeout,
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
      longestTokenLifeMs: revocation.longestTokenLife,
      sources,
    },
    httpClients: {
      verifyHostname: httpClients.verifyHostname,
      disableSslVerification: httpClients.disableSslVerification,
      connectTimeoutMs: settings['httpClients.timeouts'].connect,
      headersTimeoutMs: settings['httpClients.timeouts'].responseHeaders,
      bodyIdleTimeoutMs: settings['httpClients.timeouts'].idleBody,
      maxConnections: limit(settings['httpClients.poolConfig'].maxActiveConnections),
      maxResponseHeaderBytes: settings['httpClients.responseLimits'].maxHeaderSize,
    },
    log: settings['b7a.log'],
  };
}

/** -1 in the file is for "none of our own". */
function limit(value: number): number | undefined {
  return value === -1 ? undefined : value;
}

function keyStore(path: string | undefined, password: string): StoreConfig | undefined {
  return path === undefined ? undefined : { path, password };
}

function checkPorts(assembly: Assembly): void {
  const { listenerConfig } = assembly.read.settings;
  const seen = new Map<number, PortName>();
  for (const name of ['httpPort', 'httpsPort', 'tokenListenerPort'] as const) {
    const port = listenerConfig[name];
    const other = port === 0 ? undefined : seen.get(port);
    if (other !== undefined) {
      // The complaint belongs to the line that was written, not to a default.
      const [mine, its] = assembly.has(`listenerConfig.${name}`) ? [name, other] : [other, name];
      const where = assembly.whereIs(`listenerConfig.${its}`);
      const problem = `is ${port}, and so is \`listenerConfig.${its}\` (${where}): each listener needs its own port`;
      assembly.contradiction(`listenerConfig.${mine}`, problem);
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
