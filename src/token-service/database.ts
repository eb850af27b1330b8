import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { OperatorError } from '../errors.ts';
import type { Log } from '../log.ts';
import { refuseOpenMode } from './credentials-file.ts';
import { unavailable } from './oauth-error.ts';

const SCHEMA_VERSION = 1;

/** Times are epoch milliseconds. An empty `issuer` means every issuer. No table holds a secret of a client, and only `outbox` ever holds the text of an opaque token. */
const SCHEMA = `
  CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
  CREATE TABLE signing_keys (
    kid TEXT PRIMARY KEY, algorithm TEXT NOT NULL, private_key TEXT NOT NULL, signs_from_ms INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE tokens (
    jti TEXT PRIMARY KEY, digest TEXT NOT NULL UNIQUE, format TEXT NOT NULL, issuer TEXT NOT NULL,
    client_id TEXT NOT NULL, subject TEXT NOT NULL, audience TEXT NOT NULL, scope TEXT NOT NULL,
    keytype TEXT NOT NULL, issued_at_ms INTEGER NOT NULL, ends_at_ms INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX tokens_by_end ON tokens (ends_at_ms);
  CREATE TABLE revocations (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, jti TEXT UNIQUE, digest TEXT UNIQUE, issuer TEXT NOT NULL,
    by_text INTEGER NOT NULL, ends_at_ms INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX revocations_by_end ON revocations (ends_at_ms);
  CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, publisher TEXT NOT NULL, event_id TEXT NOT NULL, token TEXT NOT NULL,
    token_type TEXT NOT NULL, issuer TEXT NOT NULL, ends_at_ms INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX outbox_by_publisher ON outbox (publisher, id);
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

interface Waiting {
  readonly work: () => unknown;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * The one file with everything a token service must not forget. Reads are synchronous on `sql`; every write goes through {@link commit}.
 * One process at a time: SQLite's exclusive lock is held from start to close.
 */
export class TokenDatabase {
  readonly sql: DatabaseSync;
  /**
   * Random, made with every start: tells readers of the event stream whether their position means anything here. The file does not hold it,
   * because a copy of the file that is put back counts on from an older position. Hexadecimal.
   */
  readonly generation = randomBytes(16).toString('hex');
  readonly #log: Log;
  #waiting: Waiting[] = [];
  #open = true;

  private constructor(sql: DatabaseSync, log: Log) {
    this.sql = sql;
    this.#log = log;
  }

  /** Opens the file, or makes it with mode 0600. Throws OperatorError: used by another process, open to others, not ours, unreadable. */
  static open(file: string, log: Log): TokenDatabase {
    let sql: DatabaseSync | undefined;
    try {
      makeFile(file);
      sql = new DatabaseSync(file, { timeout: 0 });
      // FULL: a commit is on the disk before anyone is told of it. secure_delete: a delivered opaque token leaves no trace in the file.
      sql.exec(
        'PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON',
      );
      sql.exec('BEGIN EXCLUSIVE');
      prepare(sql, file);
      sql.exec('COMMIT');
      return new TokenDatabase(sql, log);
    } catch (error) {
      sql?.close();
      if (error instanceof OperatorError) throw error;
      const busy = error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY;
      throw new OperatorError(
        'ERR_TOKEN_SERVICE_STATE',
        busy ? 'is in use by another process' : `cannot be used: ${messageOf(error)}`,
        { file, cause: error },
      );
    }
  }

  /**
   * Runs `work` (statements only, synchronous) in a transaction and resolves when it is on the disk. Calls made in one turn share one
   * transaction, each in a savepoint of its own. Rejects with a 503 OAuthError when nothing of `work` was kept.
   */
  commit<T>(work: () => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (!this.#open) {
        reject(unavailable('The token service is shutting down'));
        return;
      }
      if (this.#waiting.length === 0) setImmediate(() => this.#flush());
      this.#waiting.push({ work, resolve: (value) => resolve(value as T), reject });
    });
  }

  #flush(): void {
    const batch = this.#waiting;
    this.#waiting = [];
    const answers: (() => void)[] = [];
    try {
      this.sql.exec('BEGIN IMMEDIATE');
      for (const { work, resolve, reject } of batch) {
        this.sql.exec('SAVEPOINT work');
        try {
          const value = work();
          this.sql.exec('RELEASE work');
          answers.push(() => resolve(value));
        } catch (error) {
          // Some failures (disk full) end the whole transaction: then nobody's work was kept.
          if (!this.sql.isTransaction) throw error;
          this.sql.exec('ROLLBACK TO work; RELEASE work');
          answers.push(() => reject(this.#failed(error)));
        }
      }
      this.sql.exec('COMMIT');
    } catch (error) {
      this.#rollBack();
      const failure = this.#failed(error);
      for (const { reject } of batch) reject(failure);
      return;
    }
    for (const answer of answers) answer();
  }

  #rollBack(): void {
    try {
      if (this.sql.isTransaction) this.sql.exec('ROLLBACK');
    } catch (error) {
      this.#log.error('TokenService', `rollback failed: ${messageOf(error)}`);
    }
  }

  #failed(error: unknown): Error {
    this.#log.error('TokenService', `nothing could be committed: ${messageOf(error)}`);
    return unavailable('The state cannot be written now', error);
  }

  /** Writes the log back into the file, so that it stays small and deleted rows leave it too. */
  checkpoint(): void {
    try {
      this.sql.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    } catch (error) {
      this.#log.warn('TokenService', `checkpoint failed: ${messageOf(error)}`);
    }
  }

  /** Commits what waits, then lets go of the file. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    if (this.#waiting.length > 0) this.#flush();
    this.sql.close();
  }
}

const SQLITE_BUSY = 5;

/** Made by ourselves first, as SQLite would make it readable by everyone; its log takes over the mode. */
function makeFile(file: string): void {
  const folder = dirname(file);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const stat = statSync(file, { throwIfNoEntry: false });
  if (stat !== undefined) {
    refuseOpenMode(stat.mode, file);
    return;
  }
  closeSync(openSync(file, 'wx', 0o600));
  if (process.platform === 'win32') return; // no handles on folders there
  // What is committed into the file is only as durable as the file's name.
  const handle = openSync(folder, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

/** Makes the tables in a new file. */
function prepare(sql: DatabaseSync, file: string): void {
  const version = sql.prepare('PRAGMA user_version').get()?.['user_version'];
  if (version === 0) {
    sql.exec(SCHEMA);
    return;
  }
  if (version !== SCHEMA_VERSION) {
    throw new OperatorError(
      'ERR_TOKEN_SERVICE_STATE',
      'is not the state of this version of the token service',
      { file },
    );
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
