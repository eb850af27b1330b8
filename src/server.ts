import type { Artifact } from './artifact.ts';
import { createAuthenticator, type Authenticator } from './auth/authenticate.ts';
import type { AuthenticatorOptions, IssuerOptions } from './auth/authenticator-options.ts';
import { IssuerKeyError } from './auth/issuer-certificate.ts';
import type { IssuerConfig, MgwConfig } from './config/config.ts';
import { OperatorError } from './errors.ts';
import { createGateway } from './gateway/gateway.ts';
import {
  type Bound,
  type GatewayOptions,
  ListenError,
  type ListenerOptions,
} from './gateway/options.ts';
import type { LogWriter } from './log-writer.ts';
import { createHttpClient, type HttpClient, type HttpClientOptions } from './net/http-client.ts';
import { type PlaceOf, withPlace } from './place.ts';
import { Revocations } from './revocation/revocations.ts';
import { createSource } from './source-table.ts';
import { runStartup } from './startup.ts';
import { openTrust, readPem, type Trust } from './trust.ts';

const LOG_KEY = 'APIGateway';
/** How long the listeners wait for real-time subscriptions to stand or fail, milliseconds. */
const SUBSCRIBE_WAIT_MS = 3_000;

export interface ServerOptions {
  readonly config: MgwConfig;
  /** Where its keys were written. */
  readonly placeOf: PlaceOf;
  readonly artifact: Artifact;
  readonly log: LogWriter;
}

/** A gateway that runs. */
export interface Server {
  readonly bound: readonly Bound[];
  /** Drains and lets go of everything: resolves when nothing is left. */
  close(): Promise<void>;
}

/**
 * The composition root: configuration and artifact to a running gateway. Sources are followed before the listeners open, so that the
 * first request finds what they said by then; a source that cannot be reached keeps nobody from starting.
 * @throws OperatorError when something cannot work as it is configured; nothing is left behind then
 */
export async function startServer(options: ServerOptions): Promise<Server> {
  const { config, placeOf, artifact, log } = options;
  // Ended in the opposite order of their making, also when the start fails half-way.
  const closers: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const end of closers.splice(0).reverse()) await end();
  };
  try {
    sayWarnings(config, log);
    const trust = await openTrust(config, placeOf);
    for (const { level, message } of trust.notes) log[level](LOG_KEY, message);

    const httpWith = clientFactory(config, trust, closers);
    const http = httpWith({});
    const revocations = await startRevocations(options, trust, http, httpWith);
    closers.push(() => revocations.close());
    const authenticator = await startAuthenticator(options, trust, http, revocations);
    closers.push(() => authenticator.close());

    const stopped = new AbortController();
    closers.push(() => Promise.resolve(stopped.abort()));
    await runStartup(artifact.startup, log, stopped.signal);
    await revocations.subscribed(SUBSCRIBE_WAIT_MS);

    let draining = false;
    const gateway = createGateway(
      gatewayOptions(options, trust, authenticator, () => !draining && revocations.ready),
    );
    const bound = await withPlace(placeOf, listenKey, () => gateway.listen());
    closers.push(() => {
      draining = true;
      return gateway.close(config.server.drainTimeoutMs);
    });
    sayListeners(bound, log);
    return { bound, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Keys of the listeners' ports. */
const PORT_KEYS = { http: 'httpPort', https: 'httpsPort', token: 'tokenListenerPort' } as const;

/** The key that is to be changed when a listener cannot have its address. */
function listenKey(refusal: OperatorError): string {
  if (!(refusal instanceof ListenError)) return 'listenerConfig';
  const wrongHost = refusal.reason === 'EADDRNOTAVAIL' || refusal.reason === 'ENOTFOUND';
  return `listenerConfig.${wrongHost ? 'host' : PORT_KEYS[refusal.kind]}`;
}

/** What weakens the gateway is said at every start. */
function sayWarnings(config: MgwConfig, log: LogWriter): void {
  const { revocation, httpClients } = config;
  if (revocation.sources.length === 0)
    log.warn(
      'TokenRevocation',
      'No revocation source is enabled: revoked tokens are admitted until they expire. Configure [tokenRevocationConfig]',
    );
  if (revocation.whenUnknown === 'allow')
    log.warn(
      'TokenRevocation',
      'tokenRevocationConfig.whenUnknown is "allow": until the revocation list was read, revoked tokens may be admitted',
    );
  if (httpClients.disableSslVerification)
    log.warn(
      LOG_KEY,
      'httpClients.disableSslVerification is true: nobody whom this gateway calls is checked to be who they are',
    );
}

/** Makes clients for the gateway's own calls, all with the same trust, and has them closed. */
function clientFactory(
  { httpClients }: MgwConfig,
  trust: Trust,
  closers: (() => Promise<void>)[],
): (certificate: Pick<HttpClientOptions, 'cert' | 'key'>) => HttpClient {
  return (certificate) => {
    const client = createHttpClient({
      ca: trust.ca,
      verifyHostname: httpClients.verifyHostname,
      disableSslVerification: httpClients.disableSslVerification,
      connectTimeoutMs: httpClients.connectTimeoutMs,
      ...certificate,
    });
    closers.push(() => client.close());
    return client;
  };
}

async function startRevocations(
  { config, placeOf, artifact, log }: ServerOptions,
  trust: Trust,
  http: HttpClient,
  httpWith: (certificate: Pick<HttpClientOptions, 'cert' | 'key'>) => HttpClient,
): Promise<Revocations> {
  const { longestTokenLifeMs, whenUnknown } = config.revocation;
  const context = {
    log,
    placeOf,
    ca: trust.ca,
    http,
    httpWith,
    extension: artifact.revocation,
    rereadStores: () => revocations.rereadStores(),
  };
  const sources = await Promise.all(
    config.revocation.sources.map(async (source) => ({
      source: await createSource(source, config.revocation.sources, context),
      policy: {
        ttlUnit: source.ttlUnit,
        longestTokenLifeMs,
        ...(source.issuers === undefined ? {} : { issuers: source.issuers }),
      },
    })),
  );
  const revocations = new Revocations({
    sources,
    whenUnknown,
    clockSkewMs: config.server.clockSkewMs,
    log,
  });
  revocations.start();
  return revocations;
}

async function startAuthenticator(
  { config, placeOf, log }: ServerOptions,
  trust: Trust,
  http: HttpClient,
  revocations: Revocations,
): Promise<Authenticator & { close(): Promise<void> }> {
  const { keyManager, tokenCache, auth } = config;
  const keySets = auth.issuers.flatMap(({ keys }) => (keys.kind === 'jwks' ? [keys] : []));
  const issuers = await Promise.all(
    auth.issuers.map((issuer, i) => issuerOptions(issuer, i, trust, placeOf)),
  );
  const options: AuthenticatorOptions = {
    issuers,
    ...(keySets[0] === undefined
      ? {}
      : {
          keySetTimings: {
            refreshMs: keySets[0].refreshIntervalMs,
            maxStaleMs: keySets[0].maxStaleMs,
          },
        }),
    ...(keyManager.basic === undefined
      ? {}
      : {
          introspection: {
            url: `${keyManager.serverUrl}/${keyManager.tokenContext}/introspect`,
            ...keyManager.basic,
            maxAgeMs: keyManager.introspectionMaxAgeMs,
            issuer: keyManager.issuer,
            timeoutMs: keyManager.timeoutMs,
          },
        }),
    http,
    revocations,
    log,
    clockSkewMs: config.server.clockSkewMs,
    longestTokenLifeMs: config.revocation.longestTokenLifeMs,
    cache: tokenCache,
    now: () => revocations.now(),
  };
  // The configuration was checked; what is left to find out is whether a key is any good.
  const keyOf = (refusal: OperatorError): string => {
    if (!(refusal instanceof IssuerKeyError)) return 'jwtTokenConfig';
    const index = auth.issuers.findIndex(({ issuer }) => issuer === refusal.issuer);
    return issuerKey(auth.issuers[index], index);
  };
  return withPlace(placeOf, keyOf, () => createAuthenticator(options));
}

/** The key of the configuration that says where an issuer's keys are. */
function issuerKey(issuer: IssuerConfig | undefined, index: number): string {
  const keys = { jwks: 'jwksURL', alias: 'certificateAlias', pem: 'certificatePath' } as const;
  return `jwtTokenConfig.${index}.${keys[issuer?.keys.kind ?? 'pem']}`;
}

async function issuerOptions(
  issuer: IssuerConfig,
  index: number,
  trust: Trust,
  placeOf: PlaceOf,
): Promise<IssuerOptions> {
  const { keys, algorithms, ...rules } = issuer;
  const common = { ...rules, ...(algorithms.length === 0 ? {} : { algorithms }) };
  if (keys.kind === 'jwks') return { ...common, keys: { kind: 'jwks', url: keys.url } };
  const pem = await withPlace(placeOf, issuerKey(issuer, index), async () => {
    try {
      return keys.kind === 'alias' ? trust.certificate(keys.alias) : await readPem(keys.path);
    } catch (cause) {
      if (!(cause instanceof OperatorError)) throw cause;
      const message = `the key of issuer ${JSON.stringify(issuer.issuer)}: ${cause.message}`;
      throw new OperatorError(cause.code, message, { cause });
    }
  });
  return { ...common, keys: { kind: 'certificate', pem } };
}

function gatewayOptions(
  { config, artifact, log }: ServerOptions,
  trust: Trust,
  authenticator: Authenticator,
  ready: () => boolean,
): GatewayOptions {
  const { listeners, limits, server, httpClients, keyManager, auth } = config;
  const { host } = listeners;
  const tls = trust.listener;
  const open: ListenerOptions[] = [
    { kind: 'token', host, port: listeners.tokenPort, tls },
    { kind: 'http', host, port: listeners.httpPort },
    { kind: 'https', host, port: listeners.httpsPort, tls, http2: listeners.http2 },
  ];
  return {
    listeners: open,
    apis: artifact.apis,
    authenticator,
    ready,
    log,
    filter: artifact.filter,
    keyManager,
    upstream: {
      ca: trust.ca,
      verifyHostname: httpClients.verifyHostname,
      disableSslVerification: httpClients.disableSslVerification,
      connectTimeoutMs: httpClients.connectTimeoutMs,
      headersTimeoutMs: httpClients.headersTimeoutMs,
      idleBodyTimeoutMs: httpClients.bodyIdleTimeoutMs,
      maxHeaderSize: httpClients.maxResponseHeaderBytes,
      ...(httpClients.maxConnections === undefined
        ? {}
        : { maxActive: httpClients.maxConnections }),
    },
    timeouts: {
      headersMs: listeners.headersTimeoutMs,
      keepAliveMs: listeners.keepAliveTimeoutMs,
    },
    limits: {
      maxUriLength: limits.maxUriBytes,
      maxHeaderSize: limits.maxHeaderBytes,
      maxBodySize: limits.maxBodyBytes ?? -1,
      maxPipelined: limits.maxPipelined,
    },
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
  };
}

/** WSO2's start lines, the runtime's without time and level, as what watches for them expects. */
function sayListeners(bound: readonly Bound[], log: LogWriter): void {
  for (const { kind, host, port } of bound) {
    const protocol = kind === 'http' ? 'HTTP/WS' : 'HTTPS/WSS';
    log.plain(`[ballerina/http] started ${protocol} listener ${host}:${port}`);
    if (kind !== 'token')
      log.info('APIGatewayListener', `${kind.toUpperCase()} listener is active on port ${port}`);
  }
}
