import { rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Log } from './log.ts';
import type { Journal } from './revocation/journal/journal.ts';

/** In the state folder: a gateway that was started with `--takeover` asks for the folder. */
const REQUEST = 'takeover';
const LOOK_EVERY_MS = 250;

/** Asks the gateway that has the state folder to let go of it. It goes on serving from what it has in memory. */
export function requestHandover(folder: string): void {
  try {
    writeFileSync(join(folder, REQUEST), '', { mode: 0o600 });
  } catch {
    // Without a folder nobody has it; what else is wrong with it is said when it is opened.
  }
}

/**
 * Lets go of the journal when another gateway asks for it, so that both can serve until this one is told to end: what this one learns from
 * then on is written down by the other, which follows the same sources. Returns how to stop looking.
 */
export function allowHandover(folder: string, journal: Journal, log: Log): () => void {
  const file = join(folder, REQUEST);
  // Left by a gateway that asked and was never answered, or by this one, which has what it asked for.
  rmSync(file, { force: true });
  const timer = setInterval(() => {
    if (statSync(file, { throwIfNoEntry: false }) === undefined) return;
    clearInterval(timer);
    log.info('Journal', 'Another gateway takes over: the state folder is left to it');
    void journal.close();
  }, LOOK_EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}
