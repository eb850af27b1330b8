import { type FileHandle, open } from 'node:fs/promises';
import {
  BLOCK_BYTES,
  BLOCK_RECORDS,
  encodeHeader,
  FRAME_BYTES,
  HEADER_BYTES,
  type Identity,
  RECORD_WORDS,
  sealFrame,
} from './format.ts';
import { Frame, storyJson } from './record-codec.ts';
import type { RuleBook } from './rule-book.ts';
import { sealBlock } from './snapshot-file.ts';
import { MAKE_ANEW, writeFully } from './state-folder.ts';

/** Blocks that are written together. */
const BLOCKS = 16;

/** What a snapshot has beside its tokens. */
export interface SnapshotTail {
  readonly knownAsOfMs: number;
  readonly forgottenUntilMs: number;
  /** Names of sources by their numbers, from 1 on. */
  readonly sources: readonly string[];
  readonly book: RuleBook;
}

/** Writes a snapshot to a file that has another name until it is finished. Tokens must come sorted, each once. */
export class SnapshotWriter {
  readonly #file: FileHandle;
  readonly #number: number;
  readonly #identity: Identity;
  readonly #buffer = Buffer.allocUnsafeSlow(BLOCKS * BLOCK_BYTES);
  readonly #words = new Uint32Array(this.#buffer.buffer);
  #position = HEADER_BYTES;
  #blocksInBuffer = 0;
  #recordsInBlock = 0;
  #blocks = 0;
  #tokens = 0;

  private constructor(file: FileHandle, number: number, identity: Identity) {
    this.#file = file;
    this.#number = number;
    this.#identity = identity;
  }

  /** @param number of the first segment that is not in it */
  static async create(path: string, number: number, identity: Identity): Promise<SnapshotWriter> {
    return new SnapshotWriter(await open(path, MAKE_ANEW, 0o600), number, identity);
  }

  get tokens(): number {
    return this.#tokens;
  }

  /** Takes a record of {@link RECORD_WORDS} words. @returns true when {@link flush} must be called before the next one */
  add(record: Uint32Array): boolean {
    const to = (this.#blocksInBuffer * BLOCK_BYTES) / 4 + this.#recordsInBlock * RECORD_WORDS;
    for (let i = 0; i < RECORD_WORDS; i++) this.#words[to + i] = record[i] ?? 0;
    this.#tokens++;
    this.#recordsInBlock++;
    if (this.#recordsInBlock === BLOCK_RECORDS) this.#seal();
    return this.#blocksInBuffer === BLOCKS;
  }

  async flush(): Promise<void> {
    const filled = this.#buffer.subarray(0, this.#blocksInBuffer * BLOCK_BYTES);
    await writeFully(this.#file, [filled], this.#position);
    this.#position += filled.length;
    this.#blocksInBuffer = 0;
  }

  /** Writes the rest and the header; once this resolves, all of it is on the disk. @returns bytes of the file */
  async finish(tail: SnapshotTail): Promise<number> {
    if (this.#recordsInBlock > 0) this.#seal();
    if (this.#blocksInBuffer > 0) await this.flush();
    const tailAt = this.#position;
    await this.#writeTail(tail);
    const header = encodeHeader(
      'snapshot',
      {
        number: this.#number,
        previousBytes: 0,
        tokens: this.#tokens,
        tailBytes: this.#position - tailAt,
        knownAsOfMs: tail.knownAsOfMs,
        forgottenUntilMs: tail.forgottenUntilMs,
      },
      this.#identity,
    );
    await writeFully(this.#file, [header], 0);
    await this.#file.sync();
    return this.#position;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  #seal(): void {
    const from = this.#blocksInBuffer * BLOCK_BYTES;
    const block = this.#buffer.subarray(from, from + BLOCK_BYTES);
    sealBlock(block, this.#recordsInBlock, this.#blocks, this.#number >>> 0);
    this.#recordsInBlock = 0;
    this.#blocks++;
    this.#blocksInBuffer++;
  }

  async #writeTail({ sources, book }: SnapshotTail): Promise<void> {
    const frame = new Frame(FRAME_BYTES);
    let sequence = 0;
    const write = async (): Promise<void> => {
      sealFrame(frame.bytes, sequence, this.#number >>> 0);
      await writeFully(this.#file, [frame.bytes], this.#position);
      this.#position += frame.bytes.length;
      sequence++;
      frame.reset();
    };
    const put = async (add: () => boolean): Promise<void> => {
      if (add()) return;
      await write();
      add();
    };
    for (const [i, name] of sources.entries()) await put(() => frame.source(i + 1, name));
    for (const [, record] of book.lifts()) {
      const json = storyJson(record);
      await put(() => frame.story(json, 'lift'));
    }
    for (const [, record] of book.rules()) {
      const json = storyJson(record);
      await put(() => frame.story(json, 'rule'));
    }
    if (!frame.empty) await write();
  }
}
