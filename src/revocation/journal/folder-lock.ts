import { accessSync, closeSync, constants, openSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as pause } from 'node:timers/promises';
import { OperatorError } from '../../errors.ts';

const FILE = 'lock';
const POLL_MS = 50;
/** SQLite's result codes (sqlite.org/rescode.html). */
const SQLITE_BUSY = 5;

/**
 * Keeps a second gateway out of a state folder. Node has no flock; SQLite, which comes with it, takes record locks of the operating system
 * on an empty file. Those end with the process however it ends, so that kill -9 leaves nothing stale; they hold between containers that
 * share the folder, unlike an abstract socket, which belongs to one network namespace; and they need no room on the disk: nothing is
 * ever written to the file.
 */
export class FolderLock {
  readonly #database: DatabaseSync;
  readonly #file: string;
  readonly #inode: bigint;

  private constructor(database: DatabaseSync, file: string) {
    this.#database = database;
    this.#file = file;
    this.#inode = statSync(file, { bigint: true }).ino;
  }

  /**
   * Waits at most `waitMs` for whoever has the folder to let go of it.
   * @throws OperatorError ERR_STATE_FOLDER when it does not, or when the file cannot be made
   */
  static async acquire(folder: string, waitMs: number): Promise<FolderLock> {
    const deadline = performance.now() + waitMs;
    for (;;) {
      const lock = FolderLock.attempt(folder);
      if (lock !== undefined) return lock;
      if (performance.now() >= deadline)
        throw new OperatorError(
          'ERR_STATE_FOLDER',
          waitMs > 0
            ? `another gateway is using this state folder and did not let go of it within ${waitMs} ms`
            : 'another gateway is using this state folder. End it, give this one a folder of its own, or take over from it with --takeover',
          { file: folder },
        );
      await pause(Math.max(1, Math.min(POLL_MS, deadline - performance.now())));
    }
  }

  /**
   * Undefined: somebody has the folder.
   * @throws OperatorError ERR_STATE_FOLDER when the file cannot be made
   */
  static attempt(folder: string): FolderLock | undefined {
    const file = join(folder, FILE);
    const database = tryLock(file);
    if (database === undefined) return undefined;
    const lock = new FolderLock(database, file);
    if (lock.stands) return lock;
    lock.release();
    return undefined;
  }

  /** False when the file is not the one any more that was locked: the folder was removed or replaced. */
  get stands(): boolean {
    try {
      return statSync(this.#file, { bigint: true }).ino === this.#inode;
    } catch {
      return false;
    }
  }

  release(): void {
    this.#database.close();
  }
}

function tryLock(file: string): DatabaseSync | undefined {
  let database: DatabaseSync | undefined;
  try {
    makeFile(file);
    // Of a file that may only be read SQLite would take a lock that keeps nobody out.
    accessSync(file, constants.W_OK);
    database = new DatabaseSync(file, { timeout: 0 });
    database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    return database;
  } catch (error) {
    database?.close();
    if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY)
      return undefined;
    throw new OperatorError(
      'ERR_STATE_FOLDER',
      `the lock file cannot be used: ${error instanceof Error ? error.message : String(error)}`,
      { file, cause: error },
    );
  }
}

/** For the owner only. A file that is there is not even opened: closing it would end the locks that this process has on it (fcntl(2)). */
function makeFile(file: string): void {
  try {
    closeSync(openSync(file, 'wx', 0o600));
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
}
