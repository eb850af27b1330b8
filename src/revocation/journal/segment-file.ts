import { type FileHandle, open } from 'node:fs/promises';
import {
  type Damage,
  decodeHeader,
  HEADER_BYTES,
  type Header,
  type Identity,
  segmentName,
} from './format.ts';
import { FrameReader } from './frame-reader.ts';
import { readRecords, type RecordVisitor } from './record-codec.ts';
import type { Slices } from './slices.ts';
import { readFully, type StateFolder } from './state-folder.ts';

/** A segment, and how much of it counts. */
export interface SegmentPart {
  readonly number: number;
  /** Bytes from its beginning; Infinity: all that is there. */
  readonly bytes: number;
}

export interface SegmentReading {
  /** Bytes up to where it could be read without a fault. */
  readonly goodBytes: number;
  readonly sizeBytes: number;
  /** Where the first frame begins that is not whole. */
  readonly badAt: number | undefined;
}

/** One segment, open for reading. */
export class SegmentFile {
  readonly name: string;
  readonly header: Header;
  readonly #file: FileHandle;

  private constructor(name: string, header: Header, file: FileHandle) {
    this.name = name;
    this.header = header;
    this.#file = file;
  }

  /** @returns what is wrong with it, where it cannot be read at all. */
  static async open(
    folder: Pick<StateFolder, 'file'>,
    number: number,
    identity: Identity,
  ): Promise<SegmentFile | Damage> {
    const name = segmentName(number);
    const file = await openForReading(folder.file(name));
    if (file === undefined) return { file: name, kind: 'missing', detail: 'is missing' };
    const header = await readHeader(file, 'segment', identity).catch(async (error: unknown) => {
      await file.close();
      throw error;
    });
    if (!('seed' in header) || header.number !== number) {
      await file.close();
      return 'seed' in header
        ? { file: name, kind: 'damaged', detail: `is segment ${header.number} by its header` }
        : { file: name, ...header };
    }
    return new SegmentFile(name, header, file);
  }

  /** Hands out all records up to `bytes` that are whole. */
  async read(bytes: number, visitor: RecordVisitor, slices: Slices): Promise<SegmentReading> {
    const sizeBytes = (await this.#file.stat()).size;
    const limit = Math.min(bytes, sizeBytes);
    const frames = new FrameReader(this.#file, this.header.seed, HEADER_BYTES, limit);
    let badAt: number | undefined;
    for (let frame = await frames.next(); frame !== undefined; frame = await frames.next()) {
      if (frame.kind === 'bad' || !readRecords(frame.records, visitor)) badAt ??= frame.at;
      if (slices.over) await slices.pause();
    }
    return { goodBytes: badAt ?? limit, sizeBytes, badAt };
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/** Opens a file; undefined where there is none. */
export async function openForReading(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

export async function readHeader(
  file: FileHandle,
  kind: 'segment' | 'snapshot',
  identity: Identity,
): Promise<Header | Omit<Damage, 'file'>> {
  const bytes = Buffer.alloc(HEADER_BYTES);
  const length = await readFully(file, bytes, 0);
  return decodeHeader(bytes.subarray(0, length), kind, identity);
}
