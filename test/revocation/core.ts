import { openJournal } from '../../src/revocation/journal/journal.ts';
import { Revocations, type RevocationsOptions } from '../../src/revocation/revocations.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { POLICY } from './stage.ts';

/**
 * What one gateway knows, with its journal in this folder; restored, and not started. Without sources: its operator is the only one who
 * revokes.
 */
export async function openCore(folder: string, options: Partial<RevocationsOptions> = {}) {
  const log = recordedLog();
  const journal = await openJournal({
    folder,
    log,
    everything: () => revocations.list.everything(),
  });
  const revocations = new Revocations({
    sources: [],
    whenUnknown: 'deny',
    whenStale: 'deny',
    maxStalenessMs: 60_000,
    denyOnUnclosedGap: false,
    maxEntries: 10_000,
    clockSkewMs: POLICY.clockSkewMs,
    longestTokenLifeMs: POLICY.longestTokenLifeMs,
    consumerKeyClaims: [],
    secret: journal.secret,
    journal,
    log,
    ...options,
  });
  await revocations.restore();
  const close = async (): Promise<void> => {
    await revocations.close();
    await journal.close();
  };
  return { revocations, journal, close };
}
