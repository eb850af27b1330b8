import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { live, pathWords } from '../test/crash/life.ts';
import { syncOrder, type SyncOrder } from '../test/crash/sync-order.ts';
import type { Replacement } from './mutation.ts';
import { mutatedEnvironment } from './mutants.ts';

/** A sync that somebody could have left out. Killing shows none of them: the kernel has what was written. Only a power cut loses it. */
export interface Unsynced {
  readonly name: string;
  readonly bug: string;
  readonly replacement: Replacement;
}

const FOLDER = 'revocation/journal/state-folder.js';
const SEGMENTS = 'revocation/journal/segment-writer.js';

/** The one that `check:faults` looks for. */
export const SNAPSHOT_UNSYNCED: Unsynced = {
  name: 'snapshot-without-fsync',
  bug: 'a snapshot gets its name, and the segments in it are removed, before it is synced',
  replacement: {
    file: 'revocation/journal/snapshot-writer.js',
    from: 'await this.#file.sync();',
    to: '',
  },
};

export const UNSYNCED: readonly Unsynced[] = [
  SNAPSHOT_UNSYNCED,
  {
    name: 'batch-without-fsync',
    bug: 'a batch counts before it is synced',
    replacement: { file: SEGMENTS, from: 'await active.file.datasync();', to: '' },
  },
  {
    name: 'segment-without-fsync',
    bug: 'a segment gets its name before its header is synced',
    replacement: { file: SEGMENTS, from: 'await file.sync();', to: '' },
  },
  {
    name: 'name-without-fsync',
    bug: 'the names of segments and snapshots are not synced',
    replacement: { file: FOLDER, from: 'await this.sync();', to: '' },
  },
  {
    name: 'small-file-without-fsync',
    bug: 'a small file gets its name before it is synced',
    replacement: { file: FOLDER, from: 'await file.sync();', to: '' },
  },
  {
    name: 'small-name-without-fsync',
    bug: 'the names of small files are not synced',
    replacement: { file: FOLDER, from: 'await syncFolder(folder);', to: '' },
  },
];

/**
 * A life of a journal with a snapshot, in a new folder, traced with strace.
 * @param scratch a folder for it
 */
export async function tracedLife(
  scratch: string,
  replacements: readonly Replacement[],
): Promise<SyncOrder> {
  const folder = join(scratch, 'state');
  const log = join(scratch, 'trace');
  const words = ['-y', '-o', log, ...pathWords(folder, 'files')];
  const env = replacements.length === 0 ? {} : mutatedEnvironment(replacements);
  const { said } = await live(folder, 0, 'long', words, env);
  if (said.at(-1) !== 'closed') throw new Error(`the journal said ${said.join()}`);
  return syncOrder(await readFile(log, 'utf8'), folder);
}
