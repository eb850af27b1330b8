import type { Artifact } from './artifact.ts';
import type { MgwConfig, SourceConfig } from './config/config.ts';
import { consumerKeyClaims } from './data-plane-settings.ts';
import { OperatorError } from './errors.ts';
import type { LogWriter } from './log-writer.ts';
import type { HttpClient, HttpClientOptions } from './net/http-client.ts';
import { Publishing } from './operations/publish.ts';
import { type PlaceOf, withPlace } from './place.ts';
import { type Journal, openJournal } from './revocation/journal/journal.ts';
import type { Tables } from './revocation/revocation-list.ts';
import { Revocations, type RevocationsOptions } from './revocation/revocations.ts';
import { basisOf } from './source-basis.ts';
import { createPublisher, createSource, type SourceContext } from './source-table.ts';
import { allowHandover, requestHandover } from './state-handover.ts';
import type { Trust } from './trust.ts';

/** How often a source has to prove itself within `maxStaleness`: oftener than three times, for the way there and back. */
const PROOFS_PER_STALENESS = 4;
const SHORTEST_PROOF_MS = 200;
/** How long a gateway that takes over waits for the other to let go of the state folder, milliseconds. */
const TAKEOVER_MS = 30_000;

export interface RevocationsSetup {
  readonly config: MgwConfig;
  readonly placeOf: PlaceOf;
  readonly artifact: Artifact;
  readonly log: LogWriter;
  /** Waits for a gateway that has the state folder, instead of being refused. */
  readonly takeover: boolean;
  /** Has every thread read the list from other tables; resolves when all do. */
  readonly replaceTables: (tables: Tables) => Promise<void>;
  /** Called when another gateway got the journal, among others. */
  readonly onJournalChange: () => void;
}

/** Everything that knows of revocations, ready to be started. */
export interface OpenRevocations {
  readonly revocations: Revocations;
  readonly journal: Journal;
  readonly publishing: Publishing;
}

/**
 * Opens the journal, takes in what it has, and makes the sources, none of them followed yet.
 * @throws OperatorError when a source cannot work as it is configured, or the state folder cannot be used
 */
export async function openRevocations(
  { config, placeOf, artifact, log, takeover, replaceTables, onJournalChange }: RevocationsSetup,
  trust: Trust,
  http: HttpClient,
  httpWith: (certificate: Pick<HttpClientOptions, 'cert' | 'key'>) => HttpClient,
  closers: (() => Promise<void>)[],
): Promise<OpenRevocations> {
  const { revocation, server, auth } = config;
  const context: SourceContext = {
    log,
    placeOf,
    ca: trust.ca,
    http,
    httpWith,
    extension: artifact.revocation,
    rereadStores: () => revocations.rereadStores(),
    proofIntervalMs: Math.max(
      SHORTEST_PROOF_MS,
      Math.floor(revocation.maxStalenessMs / PROOFS_PER_STALENESS),
    ),
    longestTokenLifeMs: revocation.longestTokenLifeMs,
    maxEntries: revocation.maxEntries,
  };
  const sources = await Promise.all(
    revocation.sources.map(async (source) => ({
      source: await createSource(source, revocation.sources, context),
      policy: {
        ttlUnit: source.ttlUnit,
        longestTokenLifeMs: revocation.longestTokenLifeMs,
        clockSkewMs: server.clockSkewMs,
        rules: new Set(source.rules),
        ...(source.issuers === undefined ? {} : { issuers: source.issuers }),
      },
      required: source.required,
      tellsOf: storesOf(source, revocation.sources),
    })),
  );
  const publishers = await Promise.all(
    revocation.sources.map((source) => createPublisher(source, context)),
  );
  const publishing = new Publishing(publishers.filter((one) => one !== undefined));
  closers.push(() => publishing.close());

  const stopAsking = takeover ? requestHandover(revocation.stateFolder) : undefined;
  const journal = await withPlace(
    placeOf,
    () => 'tokenRevocationConfig.stateFolder',
    () =>
      openJournal({
        folder: revocation.stateFolder,
        log,
        everything: () => revocations.list.everything(),
        onChange: onJournalChange,
        ...(takeover ? { takeoverMs: TAKEOVER_MS } : {}),
      }),
  ).finally(stopAsking);
  closers.push(() => journal.close());
  const stopLooking = allowHandover(revocation.stateFolder, journal, log);
  closers.push(() => Promise.resolve(stopLooking()));
  const options: RevocationsOptions = {
    sources,
    whenUnknown: revocation.whenUnknown,
    whenStale: revocation.whenStale,
    maxStalenessMs: revocation.maxStalenessMs,
    denyOnUnclosedGap: revocation.denyOnUnclosedGap,
    maxEntries: revocation.maxEntries,
    clockSkewMs: server.clockSkewMs,
    longestTokenLifeMs: revocation.longestTokenLifeMs,
    consumerKeyClaims: consumerKeyClaims(auth.issuers),
    basis: basisOf(revocation.sources, revocation.longestTokenLifeMs, journal.secret),
    secret: journal.secret,
    journal,
    replaceTables,
    log,
  };
  const revocations = await withPlace(placeOf, 'tokenRevocationConfig.maxEntries', () =>
    newRevocations(options),
  );
  await revocations.restore();
  closers.push(() => revocations.close());
  return { revocations, journal, publishing };
}

/** @throws OperatorError when there is no address space for as many entries as the list may have */
function newRevocations(options: RevocationsOptions): Revocations {
  try {
    return new Revocations(options);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new OperatorError(
      'ERR_LIST_MEMORY',
      `the system does not give the address space for a list of ${options.maxEntries} entries`,
      { cause },
    );
  }
}

/** WSO2's topic tells of what is put into WSO2's store; nothing is known of how other sources belong together. */
function storesOf({ name }: SourceConfig, all: readonly SourceConfig[]): readonly string[] {
  return name === 'realtime' && all.some((source) => source.name === 'persistent')
    ? ['persistent']
    : [];
}
