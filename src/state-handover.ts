import { lutimesSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Log } from './log.ts';
import type { Journal } from './revocation/journal/journal.ts';

const LOG_KEY = 'Journal';
/** In the state folder: a gateway that was started with `--takeover` asks for the folder. */
const REQUEST = 'takeover';
const LOOK_EVERY_MS = 250;
/** Looks without a sign of anybody who waits for the folder, after which, and every so many, it is tried whether it can be had. */
const QUIET_LOOKS = 4;

/**
 * Asks the gateway that has the state folder to let go of it, again and again: a request that stands still is one of nobody's any more. Returns
 * how to stop asking.
 */
export function requestHandover(folder: string): () => void {
  const file = join(folder, REQUEST);
  const ask = (): void => {
    try {
      // Made, never opened: through a planted link another file would be emptied.
      writeFileSync(file, '', { mode: 0o600, flag: 'wx' });
    } catch {
      touch(file);
    }
  };
  ask();
  const timer = setInterval(ask, LOOK_EVERY_MS);
  return () => clearInterval(timer);
}

/**
 * Lets go of the journal when another gateway asks for it, again and again (a file that only stands there asks for nothing), so that both can serve until this one is told to end: what this one learns from
 * then on is written down by the other, which follows the same sources. When the other one is refused or dies, the folder is taken back: the
 * lock on it is free then, and nobody asks for it. Returns how to stop looking.
 */
export function allowHandover(
  folder: string,
  journal: Pick<Journal, 'lend' | 'takeBack'>,
  log: Log,
): () => void {
  const file = join(folder, REQUEST);
  let lent = false;
  let quiet = 0;
  let sign: string | undefined;
  let said: string | undefined;
  let looking = false;

  const lend = async (): Promise<void> => {
    log.info(LOG_KEY, 'Another gateway takes over: the state folder is left to it');
    lent = true;
    quiet = 0;
    sign = undefined;
    await journal.lend();
    forget(file);
  };
  const takeBack = async (): Promise<void> => {
    if (!(await journal.takeBack())) return;
    lent = false;
    sign = undefined;
    said = undefined;
    forget(file);
    log.warn(LOG_KEY, 'The gateway that was to take over is gone: the state folder is taken back');
  };
  const look = async (): Promise<void> => {
    const [before, found] = [sign, signOf(file)];
    sign = found;
    if (!lent) {
      if (before !== undefined && found !== undefined && found !== before) await lend();
      return;
    }
    quiet = found === before ? quiet + 1 : 0;
    if (quiet > 0 && quiet % QUIET_LOOKS === 0) await takeBack();
  };

  // Left by a gateway that asked and was never answered, or by this one, which has what it asked for.
  forget(file);
  const timer = setInterval(() => {
    if (looking) return;
    looking = true;
    look()
      .catch((error: unknown) => {
        // A disk that fails is the journal's to tell of; nothing here may end the gateway.
        const why = error instanceof Error ? error.message : 'for an unknown reason';
        if (why !== said)
          log.error(LOG_KEY, `The state folder could not be passed on or taken back: ${why}`);
        said = why;
      })
      .finally(() => {
        looking = false;
      });
  }, LOOK_EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}

/** Something that changes as long as somebody asks; undefined when there is no request, or none that can be looked at. */
function signOf(file: string): string | undefined {
  try {
    const { ino, mtimeMs } = statSync(file);
    return `${ino} ${mtimeMs}`;
  } catch {
    return undefined;
  }
}

function touch(file: string): void {
  try {
    const now = new Date();
    lutimesSync(file, now, now);
  } catch {
    // There is no folder yet; what else is wrong with it is said when it is opened.
  }
}

function forget(file: string): void {
  try {
    rmSync(file, { force: true });
  } catch {
    // Whoever may not remove it may not write the journal either, which is said.
  }
}
