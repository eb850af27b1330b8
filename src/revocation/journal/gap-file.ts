import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Log } from '../../log.ts';
import { readBounded, type StateFolder } from './state-folder.ts';

const FILE = 'gaps';
/** Bytes of the file: a gateway has few real-time sources. */
const FILE_BYTES = 65_536;

/**
 * The gaps that were open when they were last written: when each ended, epoch milliseconds, by source. Bound to this installation's secret: one
 * that is damaged must not count as another, or as closed.
 */
export class GapFile {
  readonly #folder: StateFolder;
  readonly #log: Log;
  /** Those that are to be kept; undefined while nobody has said so. */
  #ends: ReadonlyMap<string, number> | undefined;
  #behind = false;

  constructor(folder: StateFolder, log: Log) {
    this.#folder = folder;
    this.#log = log;
  }

  /** Whether the file does not have what is to be kept. */
  get behind(): boolean {
    return this.#behind;
  }

  /** Says what is to be kept from now on. It is so after the next {@link write}. */
  keep(ends: ReadonlyMap<string, number>): void {
    this.#ends = ends;
    this.#behind = true;
  }

  /** Another gateway has had the folder: what it has written is about what it heard itself. */
  again(): void {
    this.#behind = this.#ends !== undefined;
  }

  /** Writes what is to be kept, where the file does not have it; resolves once it is on the disk. */
  async write(): Promise<void> {
    const ends = this.#ends;
    if (!this.#behind || ends === undefined) return;
    const text = JSON.stringify([...ends]);
    await this.#folder.write(FILE, Buffer.from(`${this.#code(text)}\n${text}\n`));
    if (ends === this.#ends) this.#behind = false;
  }

  /** Undefined where there is no file, and, logged, where what is there cannot be trusted: nobody knows then. */
  async load(): Promise<ReadonlyMap<string, number> | undefined> {
    const path = this.#folder.file(FILE);
    try {
      const bytes = await readBounded(path, FILE_BYTES);
      return bytes === undefined ? undefined : this.#decode(bytes);
    } catch {
      this.#log.warn('Journal', `${path}: is damaged or of another gateway; not used`);
      return undefined;
    }
  }

  /** @throws Error when these are not the bytes that {@link write} wrote */
  #decode(bytes: Buffer): ReadonlyMap<string, number> {
    const [code = '', text = '', rest] = bytes.toString('utf8').split('\n', 3);
    const [given, expected] = [Buffer.from(code), Buffer.from(this.#code(text))];
    if (rest !== '' || given.length !== expected.length || !timingSafeEqual(given, expected))
      throw new Error('another code');
    const value: unknown = JSON.parse(text);
    if (!isEnds(value)) throw new Error('no pairs');
    return new Map(value);
  }

  #code(text: string): string {
    return createHmac('sha256', this.#folder.secret).update(`gaps\n${text}`).digest('hex');
  }
}

function isEnds(value: unknown): value is [string, number][] {
  return (
    Array.isArray(value) &&
    value.every(
      (each: unknown) =>
        Array.isArray(each) &&
        each.length === 2 &&
        typeof each[0] === 'string' &&
        Number.isFinite(each[1]),
    )
  );
}
