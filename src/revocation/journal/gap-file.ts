import { readBounded, type StateFolder } from './state-folder.ts';

const FILE = 'gaps';
/** Bytes of the file: a gateway has few real-time sources. */
const FILE_BYTES = 65_536;

/** The gaps that were open when they were last written: when each ended, epoch milliseconds, by source. */
export class GapFile {
  readonly #folder: StateFolder;
  /** Those that are to be kept; undefined while nobody has said so. */
  #ends: ReadonlyMap<string, number> | undefined;
  #behind = false;

  constructor(folder: StateFolder) {
    this.#folder = folder;
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
    await this.#folder.write(FILE, Buffer.from(`${JSON.stringify([...ends])}\n`));
    if (ends === this.#ends) this.#behind = false;
  }

  /** Empty where there never was a gap; undefined when what is there cannot be read: nobody knows then. */
  async load(): Promise<ReadonlyMap<string, number> | undefined> {
    try {
      const bytes = await readBounded(this.#folder.file(FILE), FILE_BYTES);
      if (bytes === undefined) return new Map();
      const value: unknown = JSON.parse(bytes.toString('utf8'));
      return isEnds(value) ? new Map(value) : undefined;
    } catch {
      return undefined;
    }
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
