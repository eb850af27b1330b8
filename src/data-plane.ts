import { parentPort, workerData } from 'node:worker_threads';
import { loadArtifact } from './artifact.ts';
import { createAuthenticator } from './auth/authenticate.ts';
import { SharedKeyRing } from './auth/shared-key-ring.ts';
import type { DataPlaneData, DataPlaneSettings } from './data-plane-settings.ts';
import { createGateway } from './gateway/gateway.ts';
import { countCostlyRefusal, countDegraded, countDropped } from './gateway/observe.ts';
import type { GatewayOptions, PreparedChange } from './gateway/options.ts';
import { SharedPart } from './gateway/shared-part.ts';
import { createLog } from './log-writer.ts';
import { createHttpClient } from './net/http-client.ts';
import { type Knowledge, RevocationReader } from './revocation/reader.ts';
import { monotonicMs } from './revocation/shared-state.ts';
import { LineBatch } from './telemetry/line-batch.ts';
import { SpanExporter } from './telemetry/otlp.ts';
import { ControlLink, type DataPlaneService } from './threads/control-link.ts';
import { VERSION } from './version.ts';

/** What requests are served with, until the settings change. */
interface Equipment {
  readonly options: GatewayOptions;
  /** Lets go of what it holds. */
  end(): Promise<void>;
}

/**
 * The composition root of a data-plane thread, and the module that it runs: from what the control thread hands over to listeners that
 * serve. `startup` and `revocation` extensions are the control thread's; a filter is loaded here, once in each thread.
 * @throws OperatorError when something cannot work as it is configured
 */
async function startDataPlane(data: DataPlaneData, link: ControlLink): Promise<DataPlaneService> {
  const log = createLog({ ...data.settings.log, write: link.writeLine });
  const revocations = new RevocationReader(data.list, {
    ...data.settings.reader,
    onOutlived: (prints, at, expiresAtMs) => link.prolong(prints, at, expiresAtMs),
  });
  const rings = keyRings(data, link);
  const accessLines =
    data.settings.accessLog && new LineBatch(data.accessWaiting, link.writeAccessLines);
  // Also at the end by an uncaught error: what came before it is worth reading.
  process.on('exit', () => accessLines?.flush());

  // Kept over a change of settings that does not concern them, with what they have learnt.
  const callers = new SharedPart(
    (wish: CallerSettings) => {
      const http = createHttpClient(wish.http);
      const authenticator = createAuthenticator({
        ...wish.policy,
        issuers: issuersWith(wish, rings),
        ...(wish.introspection === undefined ? {} : { introspection: wish.introspection }),
        http,
        quiet: true,
        revocations,
        onDegraded: (how) => countDegraded(data.counters, how),
        log,
        clockSkewMs: wish.clockSkewMs,
        longestTokenLifeMs: wish.longestTokenLifeMs,
        cache: wish.tokenCache,
        failedAttempts: wish.failedAttempts,
        onCostlyRefusal: () => countCostlyRefusal(data.counters),
        now: () => revocations.now(),
      });
      return { authenticator, http };
    },
    async ({ authenticator, http }) => {
      await authenticator.close();
      await http.close();
    },
  );
  const exporters = new SharedPart(
    (wish: Pick<DataPlaneSettings, 'tracing' | 'http'>) => {
      const http = createHttpClient(wish.http);
      const spans =
        wish.tracing &&
        new SpanExporter({
          ...wish.tracing,
          version: VERSION,
          http,
          log,
          onDropped: (count) => countDropped(data.counters, 'spans', count),
        });
      return { spans, http };
    },
    async ({ spans, http }) => {
      await spans?.close();
      await http.close();
    },
  );

  let origins: readonly string[] = [];
  const calls = { ...data.calls, indexOf: (origin: string) => origins.indexOf(origin) };
  const inUse = new Set<Equipment>();

  const equip = async (settings: DataPlaneSettings): Promise<Equipment> => {
    const { filterFrom, tracing, http, accessLog, gateway, policy } = settings;
    const filter = filterFrom && (await loadArtifact(filterFrom)).filter;
    origins = settings.origins; // it only grows
    const caller = callers.take(callerSettings(settings));
    const exporter = exporters.take({ tracing, http });
    const { spans } = exporter.part;
    const equipment: Equipment = {
      options: {
        ...gateway,
        upstream: { ...gateway.upstream, sharedCalls: calls },
        apis: settings.apis,
        authenticator: caller.part.authenticator,
        ready: () => admits(revocations.knowledge(), policy),
        revoked: (one) => revocations.revokedBy(one.identity) !== undefined,
        revocationChanges: () => revocations.changes,
        log,
        filter,
        counters: data.counters,
        routeCounters: { memory: data.routes, keys: settings.routeKeys },
        tracing: tracing && spans && { sample: tracing.sample, record: spans.add },
        accessLog: accessLog && accessLines && { ...accessLog, write: accessLines.write },
        onOver: () => void equipment.end(),
      },
      async end() {
        inUse.delete(equipment);
        await exporter.release();
        await caller.release();
      },
    };
    inUse.add(equipment);
    return equipment;
  };

  const gateway = createGateway((await equip(data.settings)).options);
  let prepared: { readonly change: PreparedChange; readonly equipment: Equipment } | undefined;
  return {
    listen: (how) => gateway.listen(how),
    async prepare(settings) {
      const equipment = await equip(settings as DataPlaneSettings);
      try {
        prepared = { change: gateway.prepare(equipment.options), equipment };
      } catch (error) {
        await equipment.end();
        throw error;
      }
    },
    commit() {
      try {
        prepared?.change.commit();
        prepared = undefined;
      } catch (error) {
        // A thread that stopped half-way does not go on: the one that takes its place starts with what was committed.
        setImmediate(() => {
          throw error;
        });
      }
    },
    async discard() {
      const given = prepared;
      prepared = undefined;
      await given?.change.discard();
      await given?.equipment.end();
    },
    async drain(graceMs) {
      await gateway.close(graceMs);
      accessLines?.flush();
      await Promise.all([...inUse].map((equipment) => equipment.end()));
    },
    replaceTables: (tables) => revocations.replace(tables),
    holds: ({ prints, table }) => revocations.holds(prints, table),
    takeKeySet: (issuer, reading) => rings.get(issuer)?.take(reading),
  };
}

/** What decides on callers is made of. */
type CallerSettings = Pick<
  DataPlaneSettings,
  | 'issuers'
  | 'introspection'
  | 'http'
  | 'policy'
  | 'clockSkewMs'
  | 'longestTokenLifeMs'
  | 'tokenCache'
  | 'failedAttempts'
>;

function callerSettings(settings: DataPlaneSettings): CallerSettings {
  const { issuers, introspection, http, policy } = settings;
  const { clockSkewMs, longestTokenLifeMs, tokenCache, failedAttempts } = settings;
  return {
    issuers,
    introspection,
    http,
    policy,
    clockSkewMs,
    longestTokenLifeMs,
    tokenCache,
    failedAttempts,
  };
}

/** Whether secured calls are let through, routes with a policy of their own aside. */
function admits(knowledge: Knowledge, policy: DataPlaneSettings['policy']): boolean {
  if (knowledge === 'never') return policy.whenUnknown === 'allow';
  return knowledge === 'fresh' || policy.whenStale !== 'deny';
}

/** Rings by issuer, for those whose JWK Set the control thread reads. */
function keyRings(
  { settings, keySets }: DataPlaneData,
  link: ControlLink,
): ReadonlyMap<string, SharedKeyRing> {
  const shared = settings.issuers.filter(({ keys }) => keys.kind === 'shared');
  return new Map(
    shared.map(({ issuer, algorithms }) => [
      issuer,
      new SharedKeyRing({
        ...(algorithms === undefined ? {} : { algorithms }),
        reading: keySets.get(issuer),
        ask: () => link.renewKeys(issuer),
        monotonicNow: monotonicMs,
      }),
    ]),
  );
}

function issuersWith({ issuers }: CallerSettings, rings: ReadonlyMap<string, SharedKeyRing>) {
  return issuers.map(({ keys, ...rules }) => {
    const ring = rings.get(rules.issuer);
    if (ring !== undefined) return { ...rules, keys: { kind: 'ring' as const, ring } };
    return {
      ...rules,
      keys: { kind: 'certificate' as const, pem: keys.kind === 'certificate' ? keys.pem : '' },
    };
  });
}

if (parentPort !== null) {
  const data = workerData as DataPlaneData;
  const link = new ControlLink(parentPort, data.flight);
  await link.serve(() => startDataPlane(data, link));
}
