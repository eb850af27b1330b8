import { randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { type AccessLines, openAccessLines } from './access-log.ts';
import { createAuthenticator, type TokenVerifier } from './auth/authenticate.ts';
import type { IssuerOptions } from './auth/authenticator-options.ts';
import { IssuerKeyError } from './auth/issuer-certificate.ts';
import { IssuerKeySets, type IssuerKeySetsOptions } from './auth/issuer-key-sets.ts';
import type { MgwConfig } from './config/config.ts';
import {
  consumerKeyClaims,
  dataPlaneSettings,
  httpClientOptions,
  introspectionOptions,
  listenAddresses,
} from './data-plane-settings.ts';
import { DataPlanes } from './data-planes.ts';
import type { OperatorError } from './errors.ts';
import { type Bound, ListenError } from './gateway/options.ts';
import { issuerKey, type Loaded, openMaterials } from './loaded.ts';
import type { LogWriter } from './log-writer.ts';
import { createHttpClient, type HttpClient, type HttpClientOptions } from './net/http-client.ts';
import { openRevocations } from './open-revocations.ts';
import type { ThreadsView } from './operations/status.ts';
import { operatorCredentials, startOperator } from './operator.ts';
import { type PlaceOf, withPlace } from './place.ts';
import { Reloads } from './reload.ts';
import type { Journal } from './revocation/journal/journal.ts';
import type { StoredKeySet } from './revocation/journal/key-set-files.ts';
import type { Revocations } from './revocation/revocations.ts';
import { monotonicMs } from './revocation/shared-state.ts';
import { runStartup } from './startup.ts';
import { AddressClaim, CAN_SHARE_ADDRESSES } from './threads/address-claim.ts';
import type { Trust } from './trust.ts';

const LOG_KEY = 'APIGateway';
/** Bytes that TLS session tickets are sealed with. */
const TICKET_KEY_BYTES = 48;
/** How long the listeners wait for real-time subscriptions to stand or fail, milliseconds. */
const SUBSCRIBE_WAIT_MS = 3_000;
/** How long an operator's call that is under way may last when the address goes to another gateway, milliseconds: longer than the longest wait for threads. */
const STEP_ASIDE_MS = 60_000;

export interface ServerOptions extends Loaded {
  /** Loads everything anew. */
  readonly loadAgain: () => Promise<Loaded>;
  /** True: the addresses are shared with a gateway that has them, until that one ends. */
  readonly takeover: boolean;
  readonly log: LogWriter;
}

/** A gateway that runs. */
export interface Server {
  readonly bound: readonly Bound[];
  /** Resolves when the gateway cannot go on: it is to be closed, and the process to end with a failure. */
  readonly failed: Promise<OperatorError>;
  /**
   * Opens the file of the access log anew, after a rotation, and serves with what configuration, artifact and certificates are now. Never
   * rejects: what is wrong is said in the log, and everything stays as it is.
   */
  reload(): Promise<void>;
  /** Drains and lets go of everything: resolves when nothing is left. */
  close(): Promise<void>;
}

/**
 * The composition root: configuration and artifact to a running gateway. Sources are followed before the listeners open, so that the
 * first request finds what they said by then; a source that cannot be reached keeps nobody from starting.
 * @throws OperatorError when something cannot work as it is configured; nothing is left behind then
 */
export async function startServer(options: ServerOptions): Promise<Server> {
  const { config, placeOf, artifact, takeover, log } = options;
  let dataPlanes: DataPlanes | undefined;
  // Ended in the opposite order of their making, also when the start fails half-way.
  const closers: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const end of closers.splice(0).reverse()) await end();
  };
  let draining = false;
  let stepAside = (): void => undefined;
  try {
    const materials = await openMaterials(options, log);
    const { trust } = materials;
    const accessLines = await openAccessLines(config, placeOf, log);
    closers.push(async () => accessLines?.close());

    // Before anything is taken from a gateway that runs: one that cannot start must not cost the other its state folder.
    const credentials = await operatorCredentials(options);
    const addresses = listenAddresses(config);
    const claim = await withListenKey(placeOf, () => AddressClaim.of(addresses, { takeover, log }));
    closers.push(() => Promise.resolve(claim.release()));
    const httpWith = clientFactory(config, trust, closers);
    const http = httpWith({});
    const opened = await openRevocations(
      {
        ...options,
        replaceTables: async (tables) => dataPlanes?.replaceTables(tables),
        onJournalChange: () => stepAside(),
      },
      trust,
      http,
      httpWith,
      closers,
    );
    const { revocations, journal } = opened;
    const kept = new Map((await journal.loadKeySets()).map((set) => [set.issuer, set]));
    const issuers = materials.issuers.map((issuer) =>
      keeping(issuer, kept.get(issuer.issuer), journal),
    );
    const keySets = await startKeySets(options, http, issuers, (issuer, reading) =>
      dataPlanes?.takeKeySet(issuer, reading),
    );
    closers.push(() => keySets.close());

    const threads = threadsOf(config, log);
    const common = { threads, ticketKeys: randomBytes(TICKET_KEY_BYTES) };
    revocations.start();
    const planes = new DataPlanes({
      threads,
      settings: dataPlaneSettings(config, { ...options, ...materials, ...common }),
      list: () => revocations.list.shared,
      keySets: () => keySets.readings,
      renewKeys: (issuer) => keySets.renew(issuer),
      prolong: (print, expiresAtMs) => revocations.list.prolong(print, 0, expiresAtMs),
      writeAccessLines: (bytes, settled) => accessLines?.write(bytes, settled),
      log,
    });
    dataPlanes = planes;
    const reloads = new Reloads({
      first: { ...options, ...materials },
      load: options.loadAgain,
      planes,
      common,
      log,
    });
    const drain = (): Promise<void> => {
      draining = true;
      reloads.close();
      stepAside();
      return planes.close(reloads.current.config.server.drainTimeoutMs);
    };
    closers.push(drain);
    planes.start();

    const stopped = new AbortController();
    closers.push(() => Promise.resolve(stopped.abort()));
    await runStartup(artifact.startup, log, stopped.signal);
    await revocations.subscribed(SUBSCRIBE_WAIT_MS);

    const verifier = verifierOf(options, http, issuers, keySets, revocations);
    const closeOperator = await startOperator(options, credentials, {
      ...opened,
      verifier,
      threads: threadsView(planes, threads, accessLines),
      reloads,
      startedAtMs: Date.now(),
      policy: config.revocation,
      sources: new Map(
        config.revocation.sources.map(({ name, type, required }) => [name, { type, required }]),
      ),
      draining: () => draining,
      longestTokenLifeMs: config.revocation.longestTokenLifeMs,
      clockSkewMs: config.server.clockSkewMs,
      consumerKeyClaims: consumerKeyClaims(config.auth.issuers),
    });
    // Answers until the last request has: what is going on during a drain is worth knowing.
    closers.splice(closers.indexOf(drain), 0, closeOperator, () => verifier.close());
    // Not where another gateway has the journal: that one waits for the address, and only that one can keep what an operator revokes.
    stepAside = () => {
      if (draining && journal.lent) void closeOperator(STEP_ASIDE_MS);
    };
    const bound = await withListenKey(placeOf, () => planes.listen(CAN_SHARE_ADDRESSES));
    await claim.hold(addresses, bound);
    sayListeners(bound, log);
    return {
      bound,
      failed: planes.hopeless,
      reload: async () => {
        await accessLines?.reopen();
        await reloads.request();
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Keys of the listeners' ports. */
const PORT_KEYS = { http: 'httpPort', https: 'httpsPort', token: 'tokenListenerPort' } as const;

/** A listener that cannot have its address is refused with the place of the key that is to be changed. */
async function withListenKey<T>(placeOf: PlaceOf, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ListenError)) throw error;
    const wrongHost = error.reason === 'EADDRNOTAVAIL' || error.reason === 'ENOTFOUND';
    const key = `listenerConfig.${wrongHost ? 'host' : PORT_KEYS[error.address.kind]}`;
    return await withPlace<T>(placeOf, key, () => Promise.reject(error));
  }
}

/** Makes clients for the gateway's own calls, all with the same trust, and has them closed. */
function clientFactory(
  config: MgwConfig,
  trust: Trust,
  closers: (() => Promise<void>)[],
): (certificate: Pick<HttpClientOptions, 'cert' | 'key'>) => HttpClient {
  return (certificate) => {
    const client = createHttpClient({ ...httpClientOptions(config, trust), ...certificate });
    closers.push(() => client.close());
    return client;
  };
}

/** An issuer whose key set is kept on disk: used after a start until it can be read, and written down whenever it was. */
function keeping(
  issuer: IssuerOptions,
  stored: StoredKeySet | undefined,
  journal: Journal,
): IssuerOptions {
  const { keys } = issuer;
  if (keys.kind !== 'jwks') return issuer;
  return {
    ...issuer,
    keys: {
      ...keys,
      ...(stored === undefined
        ? {}
        : { initial: { text: stored.jwks, readAtMs: stored.readAtMs } }),
      // What goes wrong is said by the journal; the keys are used all the same.
      onRead: ({ text, readAtMs }) =>
        void journal.saveKeySet(issuer.issuer, text, readAtMs).catch(() => undefined),
    },
  };
}

/** Verifies tokens in this thread, for explanations: with the same keys, rules and key manager as the threads that serve. */
function verifierOf(
  { config, log }: ServerOptions,
  http: HttpClient,
  issuers: readonly IssuerOptions[],
  keySets: IssuerKeySets,
  revocations: Revocations,
): TokenVerifier & { close(): Promise<void> } {
  const { whenUnknown, whenStale, longestTokenLifeMs } = config.revocation;
  const introspection = introspectionOptions(config);
  return createAuthenticator({
    issuers: issuers.map((issuer) => {
      const ring = keySets.ringOf(issuer.issuer);
      return ring === undefined ? issuer : { ...issuer, keys: { kind: 'ring', ring } };
    }),
    ...(introspection === undefined ? {} : { introspection }),
    http,
    quiet: true,
    revocations: revocations.reader,
    whenUnknown,
    whenStale,
    log,
    clockSkewMs: config.server.clockSkewMs,
    longestTokenLifeMs,
    cache: { maxEntries: 0, maxAgeMs: 0 },
    now: () => revocations.reader.now(),
    monotonicNow: monotonicMs,
  });
}

/** The data-plane threads as the operator sees them. */
function threadsView(
  planes: DataPlanes,
  wanted: number,
  accessLines: AccessLines | undefined,
): ThreadsView {
  return {
    get serving() {
      return planes.serving;
    },
    wanted,
    get replaced() {
      return planes.replaced;
    },
    confirm: (entries, waitMs) => planes.confirm(entries, waitMs),
    counters: () => planes.counters(),
    degraded: () => planes.degraded(),
    costlyRefusals: () => planes.costlyRefusals(),
    circuitsOpened: () => planes.circuitsOpened(),
    tallies: () => planes.tallies(),
    routes: () => planes.routes(),
    dropped() {
      const { accessLines: lines, spans } = planes.dropped();
      return { accessLines: lines + (accessLines?.dropped ?? 0), spans };
    },
  };
}

/** Reads the issuers' key sets, for all threads; what is wrong with an issuer's keys is found here. */
function startKeySets(
  { config, placeOf, log }: ServerOptions,
  http: HttpClient,
  issuers: readonly IssuerOptions[],
  onReading: IssuerKeySetsOptions['onReading'],
): Promise<IssuerKeySets> {
  const { auth } = config;
  const introspection = introspectionOptions(config);
  const keySets = auth.issuers.flatMap(({ keys }) => (keys.kind === 'jwks' ? [keys] : []));
  const options: IssuerKeySetsOptions = {
    issuers,
    ...(keySets[0] === undefined
      ? {}
      : {
          keySetTimings: {
            refreshMs: keySets[0].refreshIntervalMs,
            maxStaleMs: keySets[0].maxStaleMs,
          },
        }),
    ...(introspection === undefined ? {} : { introspection }),
    http,
    log,
    monotonicNow: monotonicMs,
    onReading,
  };
  // The configuration was checked; what is left to find out is whether a key is any good.
  const keyOf = (refusal: OperatorError): string => {
    if (!(refusal instanceof IssuerKeyError)) return 'jwtTokenConfig';
    const index = auth.issuers.findIndex(({ issuer }) => issuer === refusal.issuer);
    return issuerKey(auth.issuers[index], index);
  };
  return withPlace(placeOf, keyOf, () => new IssuerKeySets(options));
}

/** Threads for requests: as configured, or one per core. */
function threadsOf({ server }: MgwConfig, log: LogWriter): number {
  if (CAN_SHARE_ADDRESSES) return server.threads === 0 ? availableParallelism() : server.threads;
  if (server.threads > 1)
    log.warn(
      LOG_KEY,
      `server.threads is ${server.threads}, but threads cannot share an address on ${process.platform}: one handles all requests`,
    );
  return 1;
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
