import type { FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import {
  BLOCK_BYTES,
  BLOCK_RECORDS,
  type Damage,
  HEADER_BYTES,
  type Header,
  type Identity,
  RECORD_WORDS,
  SNAPSHOT,
} from './format.ts';
import { FrameReader } from './frame-reader.ts';
import { compareFingerprints } from './record.ts';
import { readRecords, type RecordVisitor } from './record-codec.ts';
import { openForReading, readHeader } from './segment-file.ts';
import { readFully, type StateFolder } from './state-folder.ts';

const WORDS = BLOCK_BYTES / 4;
/** Where a block says how many records it has, which one it is, and its checksum. */
const COUNT_AT = WORDS - 3;
const NUMBER_AT = WORDS - 2;
const CHECKSUM_AT = WORDS - 1;

/** A block of a snapshot: records of {@link RECORD_WORDS} words, sorted. */
export interface Block {
  readonly words: Uint32Array;
  readonly count: number;
}

/** Completes a block whose records are in place. */
export function sealBlock(block: Buffer, count: number, number: number, seed: number): void {
  block.fill(0, count * RECORD_WORDS * 4);
  block.writeUInt32LE(count, COUNT_AT * 4);
  block.writeUInt32LE(number, NUMBER_AT * 4);
  block.writeUInt32LE(crc32(block.subarray(0, CHECKSUM_AT * 4), seed), CHECKSUM_AT * 4);
}

/** How large a snapshot is. */
export interface SnapshotStats {
  readonly tokens: number;
  readonly bytes: number;
}

/** The sorted snapshot, open for reading. */
export class SnapshotFile {
  readonly header: Header;
  readonly blocks: number;
  /** Size of the file. */
  readonly bytes: number;
  readonly #file: FileHandle;
  readonly #buffer = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  readonly #words = new Uint32Array(this.#buffer.buffer);

  private constructor(header: Header, bytes: number, file: FileHandle) {
    this.header = header;
    this.bytes = bytes;
    this.blocks = blocksFor(header.tokens);
    this.#file = file;
  }

  /** @returns what is wrong with it, where it cannot be read at all; undefined where there is none. */
  static async open(
    folder: Pick<StateFolder, 'file'>,
    identity: Identity,
  ): Promise<SnapshotFile | Damage | undefined> {
    const file = await openForReading(folder.file(SNAPSHOT));
    if (file === undefined) return undefined;
    try {
      const header = await readHeader(file, 'snapshot', identity);
      if ('seed' in header) {
        const { size } = await file.stat();
        const expected = HEADER_BYTES + blocksFor(header.tokens) * BLOCK_BYTES + header.tailBytes;
        if (size === expected) return new SnapshotFile(header, size, file);
        await file.close();
        const detail = `has ${size} bytes and should have ${expected}`;
        return { file: SNAPSHOT, kind: 'damaged', detail };
      }
      await file.close();
      return { file: SNAPSHOT, ...header };
    } catch (error) {
      await file.close().catch(() => undefined);
      throw error;
    }
  }

  /** One block, good until the next call; undefined when it is damaged. */
  async block(number: number): Promise<Block | undefined> {
    const length = await readFully(this.#file, this.#buffer, HEADER_BYTES + number * BLOCK_BYTES);
    const words = this.#words;
    const count = words[COUNT_AT] ?? 0;
    const expected = Math.min(BLOCK_RECORDS, this.header.tokens - number * BLOCK_RECORDS);
    const whole =
      length === BLOCK_BYTES &&
      words[CHECKSUM_AT] ===
        crc32(this.#buffer.subarray(0, CHECKSUM_AT * 4), this.header.number >>> 0) &&
      words[NUMBER_AT] === number &&
      count === expected;
    return whole ? { words, count } : undefined;
  }

  /** Sources, rules and lifts. @returns false when something of them is damaged */
  async tail(visitor: RecordVisitor): Promise<boolean> {
    const from = HEADER_BYTES + this.blocks * BLOCK_BYTES;
    const end = from + this.header.tailBytes;
    const frames = new FrameReader(this.#file, this.header.number >>> 0, from, end);
    let whole = true;
    for (let frame = await frames.next(); frame !== undefined; frame = await frames.next())
      if (frame.kind === 'bad' || !readRecords(frame.records, visitor)) whole = false;
    return whole;
  }

  /** Number of the last block that begins at or before a fingerprint; 0 where none does. */
  async blockOf(fingerprint: Uint32Array): Promise<number> {
    const first = Buffer.allocUnsafeSlow(12);
    const words = new Uint32Array(first.buffer, first.byteOffset, 3);
    let low = 0;
    let high = this.blocks - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      await readFully(this.#file, first, HEADER_BYTES + middle * BLOCK_BYTES);
      if (compareFingerprints(words, 0, fingerprint, 0) <= 0) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/** Word offset of the first record that is not before a fingerprint; behind the last where all are. */
export function lowerBound({ words, count }: Block, fingerprint: Uint32Array): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareFingerprints(words, middle * RECORD_WORDS, fingerprint, 0) < 0) low = middle + 1;
    else high = middle;
  }
  return low * RECORD_WORDS;
}

function blocksFor(tokens: number): number {
  return Math.ceil(tokens / BLOCK_RECORDS);
}
