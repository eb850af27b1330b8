import { parentPort, workerData } from 'node:worker_threads';
import { loadArtifact } from './artifact.ts';
import { createAuthenticator } from './auth/authenticate.ts';
import { SharedKeyRing } from './auth/shared-key-ring.ts';
import type { DataPlaneData, DataPlaneSettings } from './data-plane-settings.ts';
import { createGateway } from './gateway/gateway.ts';
import { countCostlyRefusal, countDegraded, countDropped } from './gateway/observe.ts';
import { createLog } from './log-writer.ts';
import { createHttpClient } from './net/http-client.ts';
import { type Knowledge, RevocationReader } from './revocation/reader.ts';
import { monotonicMs } from './revocation/shared-state.ts';
import { LineBatch } from './telemetry/line-batch.ts';
import { SpanExporter } from './telemetry/otlp.ts';
import { ControlLink, type DataPlaneService } from './threads/control-link.ts';
import { VERSION } from './version.ts';

/**
 * The composition root of a data-plane thread, and the module that it runs: from what the control thread hands over to listeners that
 * serve. `startup` and `revocation` extensions are the control thread's; a filter is loaded here, once in each thread.
 * @throws OperatorError when something cannot work as it is configured
 */
async function startDataPlane(data: DataPlaneData, link: ControlLink): Promise<DataPlaneService> {
  const { settings } = data;
  const log = createLog({ ...settings.log, write: link.writeLine });
  const filter =
    settings.filterFrom === undefined
      ? undefined
      : (await loadArtifact(settings.filterFrom)).filter;
  const revocations = new RevocationReader(data.list, {
    ...settings.reader,
    onOutlived: (prints, at, expiresAtMs) => link.prolong(prints, at, expiresAtMs),
  });
  const http = createHttpClient(settings.http);
  const rings = keyRings(data, link);
  const authenticator = createAuthenticator({
    issuers: issuersWith(settings, rings),
    ...(settings.introspection === undefined ? {} : { introspection: settings.introspection }),
    http,
    quiet: true,
    revocations,
    ...settings.policy,
    onDegraded: (how) => countDegraded(data.counters, how),
    log,
    clockSkewMs: settings.clockSkewMs,
    longestTokenLifeMs: settings.longestTokenLifeMs,
    cache: settings.tokenCache,
    failedAttempts: settings.failedAttempts,
    onCostlyRefusal: () => countCostlyRefusal(data.counters),
    now: () => revocations.now(),
  });
  const accessLines =
    settings.accessLog && new LineBatch(data.accessWaiting, link.writeAccessLines);
  // Also at the end by an uncaught error: what came before it is worth reading.
  process.on('exit', () => accessLines?.flush());
  const spans =
    settings.tracing &&
    new SpanExporter({
      ...settings.tracing,
      version: VERSION,
      http,
      log,
      onDropped: (count) => countDropped(data.counters, 'spans', count),
    });
  const gateway = createGateway({
    ...settings.gateway,
    upstream: { ...settings.gateway.upstream, sharedCalls: data.calls },
    apis: settings.apis,
    authenticator,
    ready: () => admits(revocations.knowledge(), settings.policy),
    revoked: (caller) => revocations.revokedBy(caller.identity) !== undefined,
    revocationChanges: () => revocations.changes,
    log,
    filter,
    counters: data.counters,
    routeCounters: { memory: data.routes, keys: settings.routeKeys },
    tracing: settings.tracing && spans && { sample: settings.tracing.sample, record: spans.add },
    accessLog: settings.accessLog &&
      accessLines && { ...settings.accessLog, write: accessLines.write },
  });
  return {
    listen: (how) => gateway.listen(how),
    async drain(graceMs) {
      await gateway.close(graceMs);
      accessLines?.flush();
      await spans?.close();
      await authenticator.close();
      await http.close();
    },
    replaceTables: (tables) => revocations.replace(tables),
    holds: ({ prints, table }) => revocations.holds(prints, table),
    takeKeySet: (issuer, reading) => rings.get(issuer)?.take(reading),
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

function issuersWith({ issuers }: DataPlaneSettings, rings: ReadonlyMap<string, SharedKeyRing>) {
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
