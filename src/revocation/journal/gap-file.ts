import { readBounded, type StateFolder } from './state-folder.ts';

const FILE = 'gaps';
/** Bytes of the file: a gateway has few real-time sources. */
const FILE_BYTES = 65_536;

/** The gaps that were open when they were last written: when each ended, epoch milliseconds, by source. */
export class GapFile {
  readonly #folder: StateFolder;

  constructor(folder: StateFolder) {
    this.#folder = folder;
  }

  /** Replaces what is kept; resolves once it is on the disk. */
  async save(ends: ReadonlyMap<string, number>): Promise<void> {
    await this.#folder.write(FILE, Buffer.from(`${JSON.stringify([...ends])}\n`));
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
