import type { Log } from '../log.ts';
import type { Operator } from './operations.ts';

/** Lines of the audit log have a key of their own, so that they can be told from all others. */
const LOG_KEY = 'Audit';
/** Lines about callers that nobody knows within one window; the rest of them is counted. */
const STRANGERS = 20;
const WINDOW_MS = 60_000;

/** One call that changed something, or was refused. */
export interface AuditEntry {
  /** Absent where nobody could be made out. */
  readonly by: Operator | undefined;
  readonly address: string;
  /** `revoke`, `lift`; for refused calls their method and the path as the OpenAPI document has it. */
  readonly action: string;
  /** Kind, ids and names of claims; never a value, never a token. */
  readonly what: string;
  readonly reason: string | undefined;
  /** `done`, or the refusal's code. */
  readonly result: string;
}

/**
 * The record of the operator's API: one line of the log for each call that changes something, and for each that is refused. Of callers without
 * a credential, who could fill a disk with it, only so many within a minute have a line each; of the others it says how many there were.
 */
export class AuditLog {
  readonly #log: Log;
  #strangers = 0;
  #window: NodeJS.Timeout | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  call({ by, address, action, what, reason, result }: AuditEntry): void {
    const about = what === '' ? '' : ` ${what}`;
    const why = reason === undefined ? '' : ` (${reason})`;
    const line = `${action}${about} by ${by?.name ?? 'nobody known'} at ${address}${why}: ${result}`;
    if (by === undefined) this.#stranger(line);
    else this.#log[result === 'done' ? 'info' : 'warn'](LOG_KEY, line);
  }

  /** A connection that brought no request that could be read. */
  connection(address: string, result: string): void {
    this.#stranger(`a connection of ${address}: ${result}`);
  }

  /** Says how many calls have no line, if there are any. */
  close(): void {
    clearTimeout(this.#window);
    this.#window = undefined;
    const unsaid = this.#strangers - STRANGERS;
    this.#strangers = 0;
    if (unsaid > 0)
      this.#log.warn(LOG_KEY, `${unsaid} more calls or connections of nobody known were refused`);
  }

  #stranger(line: string): void {
    this.#window ??= setTimeout(() => this.close(), WINDOW_MS).unref();
    this.#strangers++;
    if (this.#strangers <= STRANGERS) this.#log.warn(LOG_KEY, line);
  }
}
