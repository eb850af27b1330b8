import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Log } from './log.ts';
import type { Journal } from './revocation/journal/journal.ts';

/** In the state folder: a gateway that was started with `--takeover` asks for the folder. */
const REQUEST = 'takeover';
const LOOK_EVERY_MS = 250;

/** Asks the gateway that has the state folder to let go of it. It goes on serving from what it has in memory. */
export function requestHandover(folder: string): void {
  try {
    // Made, never opened: through a planted link another file would be emptied.
    writeFileSync(join(folder, REQUEST), '', { mode: 0o600, flag: 'wx' });
  } catch {
    // Asked for already, or there is no folder; what else is wrong with it is said when it is opened.
  }
}

/**
 * Lets go of the journal when another gateway asks for it, so that both can serve until this one is told to end: what this one learns from
 * then on is written down by the other, which follows the same sources. Returns how to stop looking.
 */
export function allowHandover(
  folder: string,
  journal: Pick<Journal, 'close'>,
  log: Log,
): () => void {
  const file = join(folder, REQUEST);
  // Left by a gateway that asked and was never answered, or by this one, which has what it asked for.
  rmSync(file, { force: true });
  const timer = setInterval(() => {
    // A disk that fails is the journal's to tell of; nothing here may end the gateway.
    if (!existsSync(file)) return;
    clearInterval(timer);
    log.info('Journal', 'Another gateway takes over: the state folder is left to it');
    journal
      .close()
      .catch((error: unknown) =>
        log.error('Journal', error instanceof Error ? error.message : 'the journal did not close'),
      );
  }, LOOK_EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}
