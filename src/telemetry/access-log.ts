import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { OperatorError } from '../errors.ts';
import type { Log } from '../log.ts';

const LOG_KEY = 'AccessLog';
const LINE_FEED = 0x0a;
/** Milliseconds until a pipe that was full is tried again. */
const FULL_PIPE_MS = 50;
/** Milliseconds that the end waits for what is not written. */
const CLOSE_MS = 1_000;

/** Appended to, made if it is not there, readable by its group. A pipe without a reader is refused, and one that is full does not wait. */
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;
const MODE = 0o640;

interface Batch {
  readonly bytes: Uint8Array;
  readonly settled: () => void;
}

/**
 * The file of the access log, written by the control thread: one write at a time, so that a disk that hangs holds one of Node's few threads
 * for files and no more. What cannot be written, as the disk is full, is dropped and counted. How much may wait is bounded by whoever
 * hands it over.
 */
export class AccessLog {
  readonly #path: string;
  readonly #log: Log;
  #file: FileHandle;
  /** Takes the file's place between two batches. */
  #fresh: FileHandle | undefined;
  readonly #queue: Batch[] = [];
  #active = false;
  #writing: Promise<void> = Promise.resolve();
  #reopening: Promise<void> = Promise.resolve();
  /** The file ends in the middle of a line whose rest was dropped. */
  #midLine = false;
  #dropped = 0;
  /** How many had been dropped when the trouble that goes on began. */
  #troubledSince: number | undefined;
  /** Nothing is written any more. */
  #over = false;

  private constructor(path: string, log: Log, file: FileHandle) {
    this.#path = path;
    this.#log = log;
    this.#file = file;
  }

  /** @throws OperatorError `ERR_ACCESS_LOG` when the file cannot be opened for writing */
  static async open(path: string, log: Log): Promise<AccessLog> {
    try {
      return new AccessLog(path, log, await open(path, FLAGS, MODE));
    } catch (cause) {
      const message = `cannot write the access log ${path}: ${whyNot(cause)}`;
      throw new OperatorError('ERR_ACCESS_LOG', message, { cause });
    }
  }

  /** Lines that were dropped here. */
  get dropped(): number {
    return this.#dropped;
  }

  /**
   * Whole lines to be written. Never waits, never throws.
   * @param settled called once when they are written, or dropped
   */
  write(bytes: Uint8Array, settled: () => void): void {
    if (this.#over) {
      this.#drop(bytes);
      settled();
      return;
    }
    this.#queue.push({ bytes, settled });
    this.#start();
  }

  /** The path anew: the file may have been moved away. When it cannot be opened the old one stays. Never rejects. */
  reopen(): Promise<void> {
    this.#reopening = this.#reopening.then(async () => {
      try {
        const fresh = await open(this.#path, FLAGS, MODE);
        const superseded = this.#fresh;
        this.#fresh = fresh;
        await superseded?.close();
        this.#start();
        this.#log.info(LOG_KEY, `${this.#path} was opened anew`);
      } catch (error) {
        this.#log.warn(
          LOG_KEY,
          `${this.#path} cannot be opened anew, and the file that was open is written on: ${messageOf(error)}`,
        );
      }
    });
    return this.#reopening;
  }

  /** Writes what waits, for a second at most, and lets go of the file. */
  async close(): Promise<void> {
    const over = new AbortController();
    const late = pause(CLOSE_MS, undefined, { signal: over.signal }).catch(() => undefined);
    await Promise.race([this.#reopening.then(() => this.#writing), late]);
    over.abort();
    this.#over = true;
    const left = this.#queue.splice(0);
    for (const { bytes, settled } of left) {
      this.#drop(bytes);
      settled();
    }
    // A write that hangs keeps its file: nothing may wait for that.
    const closed = Promise.all([this.#file.close(), this.#fresh?.close()]);
    if (left.length === 0) await closed.catch(() => undefined);
    else closed.catch(() => undefined);
  }

  #start(): void {
    if (this.#active) return;
    this.#active = true;
    this.#writing = this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    while (this.#fresh !== undefined || this.#queue.length > 0) {
      await this.#swap();
      const batch = this.#queue[0];
      if (batch === undefined) continue;
      await this.#writeBatch(batch.bytes);
      if (this.#over) return; // whatever is in the queue was dropped
      this.#queue.shift();
      batch.settled();
    }
    this.#active = false;
  }

  async #swap(): Promise<void> {
    const fresh = this.#fresh;
    if (fresh === undefined) return;
    const old = this.#file;
    this.#file = fresh;
    this.#fresh = undefined;
    this.#midLine = false;
    await old.close().catch(() => undefined); // what its disk says now is too late for anybody
  }

  async #writeBatch(lines: Uint8Array): Promise<void> {
    const bytes = this.#midLine ? Buffer.concat([Buffer.from([LINE_FEED]), lines]) : lines;
    let at = 0;
    while (at < bytes.length) {
      try {
        const { bytesWritten } = await this.#file.write(bytes, at, bytes.length - at);
        at += bytesWritten;
      } catch (error) {
        if (!this.#over && (error as NodeJS.ErrnoException).code === 'EAGAIN') {
          await pause(FULL_PIPE_MS, undefined, { ref: false });
          continue;
        }
        if (at > 0) this.#midLine = bytes[at - 1] !== LINE_FEED;
        this.#fail(error);
        this.#drop(bytes.subarray(at === 0 && this.#midLine ? 1 : at));
        return;
      }
    }
    this.#midLine = false;
    this.#recover();
  }

  #drop(bytes: Uint8Array): void {
    for (const byte of bytes) if (byte === LINE_FEED) this.#dropped++;
  }

  /** One line in the log for a trouble, however long it lasts. */
  #fail(error: unknown): void {
    if (this.#troubledSince !== undefined) return;
    this.#troubledSince = this.#dropped;
    this.#log.warn(
      LOG_KEY,
      `${this.#path} cannot be written, and lines are dropped until it can: ${messageOf(error)}`,
    );
  }

  #recover(): void {
    if (this.#troubledSince === undefined) return;
    const lost = this.#dropped - this.#troubledSince;
    this.#troubledSince = undefined;
    this.#log.info(LOG_KEY, `${this.#path} is written again; ${lost} line(s) were dropped`);
  }
}

/** What the system said, without the place in the program. */
/** Why a file cannot be opened for writing, and what mends it. */
const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'its folder is not there: make it, or name a file in one that is',
  EACCES: 'the gateway may not write there: let it, or name a file where it may',
  EISDIR: 'it is a folder: name a file in it',
  ENXIO: 'nobody reads this pipe: start its reader first',
};

function whyNot(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const reason = REASONS[code];
  return reason === undefined ? messageOf(error) : `${reason} (${code})`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
