import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Log } from '../src/log.ts';
import { openJournal, type Journal } from '../src/revocation/journal/journal.ts';
import { Revocations, type RevocationsOptions } from '../src/revocation/revocations.ts';
import type { RevocationSource } from '../src/revocation/source.ts';

/** As in the gateway's default configuration. */
const MAX_ENTRIES = 20_000_000;
const LONGEST_TOKEN_LIFE_MS = 86_400_000;
const CLOCK_SKEW_MS = 60_000;
const MAX_STALENESS_MS = 60_000;

/** Only what is wrong is seen: that a broker alone leaves a gap behind is known. */
export const log: Log = {
  debugEnabled: false,
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: (key, message) => console.error(`ERROR [${key}] ${message}`),
};

/** What the gateway's control thread has: list, journal and sources, put together as src/open-revocations.ts does. */
export interface ControlThread {
  readonly revocations: Revocations;
  readonly journal: Journal;
  close(): Promise<void>;
}

/** The same on a journal in `folder`, restored, with its sources not followed yet. */
export async function openControlThread(
  folder: string,
  source?: RevocationSource,
): Promise<ControlThread> {
  const journal = await openJournal({
    folder,
    log,
    everything: () => revocations.list.everything(),
  });
  const options: RevocationsOptions = {
    sources: source === undefined ? [] : [followed(source)],
    whenUnknown: 'deny',
    whenStale: 'deny',
    maxStalenessMs: MAX_STALENESS_MS,
    denyOnUnclosedGap: false,
    maxEntries: MAX_ENTRIES,
    clockSkewMs: CLOCK_SKEW_MS,
    longestTokenLifeMs: LONGEST_TOKEN_LIFE_MS,
    consumerKeyClaims: [],
    secret: journal.secret,
    journal,
    log,
  };
  const revocations = new Revocations(options);
  await revocations.restore();
  return {
    revocations,
    journal,
    close: async () => {
      await revocations.close();
      await journal.close();
    },
  };
}

function followed(source: RevocationSource): RevocationsOptions['sources'][number] {
  return {
    source,
    policy: {
      ttlUnit: 'auto',
      longestTokenLifeMs: LONGEST_TOKEN_LIFE_MS,
      clockSkewMs: CLOCK_SKEW_MS,
      rules: new Set(),
    },
    required: true,
    tellsOf: [],
  };
}

/** A folder of the benchmark's own, removed when `use` is done. */
export async function inTemporaryFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-bench-'));
  try {
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
