import type { MessagePort } from 'node:worker_threads';
import type { KeySetReading } from '../auth/remote-key-set.ts';
import type { KeyRenewal } from '../auth/shared-key-ring.ts';
import { OperatorError } from '../errors.ts';
import type { Bound, Listening } from '../gateway/options.ts';
import { FINGERPRINT_WORDS } from '../revocation/fingerprint.ts';
import type { Tables } from '../revocation/revocation-list.ts';
import { LogRelay } from './log-relay.ts';
import type { Fingerprints, Question, ToControl, ToThread } from './messages.ts';
import { OpenQuestions } from './open-questions.ts';
import { refusalOf } from './refusal.ts';

/** How often one entry is prolonged, milliseconds, and how many of them in that time. */
const PROLONG_AGAIN_MS = 1_000;
const MAX_PROLONGED = 1_000;

/** What the control thread may ask of a data-plane thread. */
export interface DataPlaneService {
  /** @throws ListenError */
  listen(how: Listening): Promise<readonly Bound[]>;
  /** Finishes what is in flight, for `graceMs` milliseconds at most, and lets go of everything. */
  drain(graceMs: number): Promise<void>;
  /** Nothing is read from the old buffers when it returns. */
  replaceTables(tables: Tables): void;
  /**
   * Makes ready what requests are to be served with next, and changes nothing yet.
   * @param settings as the thread's own were when it started
   * @throws OperatorError when that cannot be; nothing is ready then
   */
  prepare(settings: unknown): Promise<void>;
  /** Serves with what was prepared. */
  commit(): void;
  /** Forgets what was prepared, if there is any. */
  discard(): Promise<void>;
  /** Whether an entry with one of these fingerprints is seen. */
  holds(entries: Fingerprints): boolean;
  takeKeySet(issuer: string, reading: KeySetReading): void;
}

/** The control thread as a data-plane thread sees it. */
export class ControlLink {
  readonly #port: MessagePort;
  readonly #open = new OpenQuestions();
  readonly #log: LogRelay;
  /** Entries that were prolonged lately. */
  readonly #prolonged = new Set<string>();

  /** @param flight memory of the log relay */
  constructor(port: MessagePort, flight: SharedArrayBuffer) {
    this.#port = port;
    this.#log = new LogRelay(flight, (lines, dropped) =>
      this.#post({ kind: 'log', lines, dropped }),
    );
    // Also at the end by an uncaught error, whose line is the one that counts.
    process.on('exit', () => this.#log.flush());
  }

  /** A finished line for the log. */
  readonly writeLine = (line: string): void => this.#log.write(line);

  /** Gives lines of the access log away to be written. */
  readonly writeAccessLines = (bytes: Uint8Array<ArrayBuffer>): void => {
    const message: ToControl = { kind: 'accessLines', bytes };
    this.#port.postMessage(message, [bytes.buffer]);
  };

  /**
   * Has the entry whose fingerprint begins at word `at` kept until then, epoch milliseconds. The reader says so at every look until it sees
   * the entry prolonged: each is sent once in a while, and not too many of them.
   */
  prolong(prints: Uint32Array, at: number, expiresAtMs: number): void {
    const print = prints.slice(at, at + FINGERPRINT_WORDS);
    const name = print.join();
    if (this.#prolonged.has(name) || this.#prolonged.size >= MAX_PROLONGED) return;
    if (this.#prolonged.size === 0)
      setTimeout(() => this.#prolonged.clear(), PROLONG_AGAIN_MS).unref();
    this.#prolonged.add(name);
    this.#post({ kind: 'prolong', print, expiresAtMs });
  }

  /** Has an issuer's JWK Set read anew, if that is due. */
  renewKeys(issuer: string): Promise<KeyRenewal> {
    return this.#open.ask((id) => this.#post({ kind: 'renew', id, issuer }));
  }

  /**
   * Starts what serves, says that it is ready, and does from then on what the control thread asks. What it sent meanwhile has waited. An
   * error that is no operator's ends the thread: its place is filled again.
   */
  async serve(start: () => Promise<DataPlaneService>): Promise<void> {
    let service: DataPlaneService;
    try {
      service = await start();
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      this.#post({ kind: 'refused', refusal: refusalOf(error) });
      return;
    }
    this.#port.on('message', (message: ToThread) => {
      switch (message.kind) {
        case 'question':
          void this.#answer(service, message.id, message.question);
          break;
        case 'keySet':
          service.takeKeySet(message.issuer, message.reading);
          break;
        case 'renewed':
          this.#open.answered(message.id, message.answer);
          break;
      }
    });
    this.#post({ kind: 'ready' });
  }

  async #answer(service: DataPlaneService, id: number, question: Question): Promise<void> {
    try {
      const value = await answerTo(service, question);
      this.#log.flush();
      this.#post({ kind: 'answer', id, value });
    } catch (error) {
      this.#log.flush();
      this.#post({ kind: 'refusal', id, refusal: refusalOf(error) });
    }
  }

  #post(message: ToControl): void {
    this.#port.postMessage(message);
  }
}

function answerTo(service: DataPlaneService, { name, ask }: Question): unknown {
  switch (name) {
    case 'listen':
      return service.listen(ask);
    case 'drain':
      return service.drain(ask.graceMs);
    case 'replaceTables':
      return service.replaceTables(ask.tables);
    case 'prepare':
      return service.prepare(ask.settings);
    case 'commit':
      return service.commit();
    case 'discard':
      return service.discard();
    case 'holds':
      break;
  }
  return service.holds(ask);
}
