import { createHmac, createHash, timingSafeEqual } from 'node:crypto';
import type { Log } from '../../log.ts';
import { readBounded, type StateFolder } from './state-folder.ts';

/** Longest key set kept, in bytes of the file. */
const FILE_BYTES = 1_048_576;
/** Files of key sets that are looked at; a gateway trusts few issuers. */
const MOST_FILES = 256;
const NAME = /^keys-[0-9a-f]{32}$/;

/** The last good key set of an issuer. */
export interface StoredKeySet {
  readonly issuer: string;
  /** The JWK Set as it was read (RFC 7517 section 5). */
  readonly jwks: string;
  /** When it was read, epoch milliseconds of the wall clock. */
  readonly readAtMs: number;
}

/** A key set that is in no file yet. */
interface Waiting {
  readonly content: Buffer;
  readonly readAtMs: number;
  /** Another gateway has had the folder since: its file may be the newer one. */
  readonly late: boolean;
}

/** The last good key sets, one file per issuer, each bound to this installation's secret: a key put in by somebody else does not count. */
export class KeySetFiles {
  readonly #folder: StateFolder;
  readonly #log: Log;
  /** By the name of their file. */
  readonly #waiting = new Map<string, Waiting>();

  constructor(folder: StateFolder, log: Log) {
    this.#folder = folder;
    this.#log = log;
  }

  /** Whether some of them are in no file yet. */
  get behind(): boolean {
    return this.#waiting.size > 0;
  }

  /** Replaces an issuer's. It is so after the next {@link write}. @throws RangeError when it is larger than 1 MiB */
  keep(issuer: string, jwks: string, readAtMs: number): void {
    const text = JSON.stringify({ issuer, jwks, readAtMs });
    const content = Buffer.from(`${this.#code(text)}\n${text}\n`);
    if (content.length > FILE_BYTES)
      throw new RangeError(`a key set of more than ${FILE_BYTES} bytes is not kept`);
    const digest = createHash('sha256').update(issuer).digest('hex').slice(0, 32);
    this.#waiting.set(`keys-${digest}`, { content, readAtMs, late: false });
  }

  /** Another gateway has had the folder. */
  again(): void {
    for (const [name, set] of this.#waiting) this.#waiting.set(name, { ...set, late: true });
  }

  /** Writes those that are in no file yet; resolves once they are on the disk. */
  async write(): Promise<void> {
    for (const [name, set] of this.#waiting) {
      if (!set.late || !(await this.#hasNewer(name, set)))
        await this.#folder.write(name, set.content);
      if (this.#waiting.get(name) === set) this.#waiting.delete(name);
    }
  }

  /** All that can be trusted; others are logged and left where they are. */
  async load(): Promise<StoredKeySet[]> {
    const names = (await this.#folder.names()).filter((name) => NAME.test(name)).sort();
    const sets: StoredKeySet[] = [];
    for (const name of names.slice(0, MOST_FILES)) {
      const set = await this.#read(name).catch(() => undefined);
      if (set === undefined)
        this.#log.warn(
          'Journal',
          `${this.#folder.file(name)}: is damaged or of another gateway; not used`,
        );
      else sets.push(set);
    }
    return sets;
  }

  async #hasNewer(name: string, { readAtMs }: Waiting): Promise<boolean> {
    const found = await this.#read(name).catch(() => undefined);
    return found !== undefined && found.readAtMs > readAtMs;
  }

  async #read(name: string): Promise<StoredKeySet | undefined> {
    const content = await readBounded(this.#folder.file(name), FILE_BYTES);
    if (content === undefined || content.length > FILE_BYTES) return undefined;
    const [code = '', text = '', rest] = content.toString('utf8').split('\n', 3);
    if (rest !== '') return undefined;
    const [given, expected] = [Buffer.from(code), Buffer.from(this.#code(text))];
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
    const { issuer, jwks, readAtMs } = JSON.parse(text) as Record<string, unknown>;
    return typeof issuer === 'string' && typeof jwks === 'string' && typeof readAtMs === 'number'
      ? { issuer, jwks, readAtMs }
      : undefined;
  }

  #code(text: string): string {
    return createHmac('sha256', this.#folder.secret).update(`key set\n${text}`).digest('hex');
  }
}
