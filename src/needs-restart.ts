import { isDeepStrictEqual } from 'node:util';
import type { MgwConfig } from './config/config.ts';

/** A reload can change it. */
const RELOADED = undefined;

/** {@link RELOADED}, or the key that is named when it has changed. */
type Rule = string | undefined;

type Rules = {
  readonly [Part in keyof MgwConfig]:
    | Rule
    | { readonly [Key in keyof NonNullable<MgwConfig[Part]>]: Rule };
};

/**
 * What the control thread, the listeners' sockets or the memory that threads share are made of stays as it was at the start. Every part of
 * the configuration is here: one that is left out does not compile.
 */
const RULES: Rules = {
  home: 'MGW_HOME',
  listeners: {
    host: 'listenerConfig.host',
    httpPort: 'listenerConfig.httpPort',
    httpsPort: 'listenerConfig.httpsPort',
    tokenPort: 'listenerConfig.tokenListenerPort',
    http2: 'http2.enable',
    keepAlive: RELOADED,
    keyStore: RELOADED,
    trustStore: RELOADED,
    headersTimeoutMs: RELOADED,
    requestTimeoutMs: RELOADED,
    keepAliveTimeoutMs: RELOADED,
    tlsVersions: RELOADED,
  },
  limits: RELOADED,
  edge: RELOADED,
  failedVerifications: RELOADED,
  loadShedding: RELOADED,
  server: {
    header: RELOADED,
    headerRules: RELOADED,
    trustedProxies: RELOADED,
    clockSkewMs: 'server.timestampSkew',
    drainTimeoutMs: RELOADED,
    httpEngine: 'server.httpEngine',
    threads: 'server.threads',
  },
  auth: { header: RELOADED, removeHeader: RELOADED, issuers: 'jwtTokenConfig' },
  tokenCache: RELOADED,
  keyManager: 'keyManager',
  revocation: 'tokenRevocationConfig',
  operator: 'operatorConfig',
  httpClients: {
    keyStore: RELOADED,
    // The control thread's own calls have to be as safe as those of the others.
    verifyHostname: 'httpClients.verifyHostname',
    disableSslVerification: 'httpClients.disableSslVerification',
    connectTimeoutMs: RELOADED,
    headersTimeoutMs: RELOADED,
    bodyIdleTimeoutMs: RELOADED,
    maxConnections: RELOADED,
    maxWaitMs: RELOADED,
    maxIdleConnections: RELOADED,
    circuitBreaker: RELOADED,
    maxResponseHeaderBytes: RELOADED,
  },
  log: 'b7a.log',
  accessLog: {
    console: 'b7a.http.accesslog.console',
    path: 'b7a.http.accesslog.path',
    format: RELOADED,
    sample: RELOADED,
  },
  tracing: RELOADED,
};

/** The keys that have changed and cannot without a restart, as they are written in micro-gw.conf. */
export function needsRestart(before: MgwConfig, after: MgwConfig): string[] {
  return changed(RULES, before, after);
}

function changed(
  rules: Readonly<Record<string, unknown>>,
  before: unknown,
  after: unknown,
): string[] {
  return Object.entries(rules).flatMap(([name, rule]) => {
    if (rule === RELOADED) return [];
    const [old, young] = [member(before, name), member(after, name)];
    if (typeof rule !== 'string')
      return changed(rule as Readonly<Record<string, unknown>>, old, young);
    return isDeepStrictEqual(old, young) ? [] : [rule];
  });
}

function member(value: unknown, name: string): unknown {
  return (value as Readonly<Record<string, unknown>> | undefined)?.[name];
}
