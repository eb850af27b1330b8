import { type FileHandle, open, stat } from 'node:fs/promises';
import type { CommitMark } from './commit-mark.ts';
import {
  encodeHeader,
  HEADER_BYTES,
  sealFrame,
  SEGMENT_TEMPORARY,
  seedOf,
  segmentName,
} from './format.ts';
import type { Frame } from './record-codec.ts';
import type { SegmentPart } from './segment-file.ts';
import { MAKE_ANEW, type StateFolder, writeFully } from './state-folder.ts';
import { Turns } from './turns.ts';

/** The segment that is being written, or the folder around it, is not there any more. */
export class SegmentGone extends Error {}

/** The segment that is being written. */
interface Active {
  readonly file: FileHandle;
  readonly inode: bigint;
  readonly seed: number;
  readonly number: number;
  /** Bytes that are on the disk. */
  bytes: number;
  sequence: number;
}

/**
 * The writing end of the chain of segments. After any failure it never touches the same file again (what the system keeps of a file
 * whose fsync failed is not known) but begins the next segment, whose header says how much of the one before counts.
 */
export class SegmentWriter {
  readonly #folder: StateFolder;
  readonly #mark: CommitMark;
  readonly #segmentBytes: number;
  readonly #turns = new Turns();
  #active: Active | undefined;
  #closed: SegmentPart[];
  #last: SegmentPart;
  /** The folder was let go of: whoever has it by now numbers the next segment. */
  #over = false;

  /**
   * @param segmentBytes size from which on the next segment is begun
   * @param closed segments that are there already
   * @param last the newest of them, or what is known of it
   */
  constructor(
    folder: StateFolder,
    mark: CommitMark,
    segmentBytes: number,
    closed: readonly SegmentPart[],
    last: SegmentPart,
  ) {
    this.#folder = folder;
    this.#mark = mark;
    this.#segmentBytes = segmentBytes;
    this.#closed = [...closed];
    this.#last = last;
  }

  /** Segments that are not in the snapshot, oldest first, each with its bytes on the disk. */
  get parts(): SegmentPart[] {
    const active = this.#active;
    return active === undefined
      ? [...this.#closed]
      : [...this.#closed, { number: active.number, bytes: active.bytes }];
  }

  /** Those of them that nothing is added to any more. */
  get closed(): readonly SegmentPart[] {
    return this.#closed;
  }

  /** Writes frames; once this resolves, they are on the disk. After a rejection nothing of them counts: they are to be written again. */
  async commit(frames: readonly Frame[]): Promise<void> {
    await this.#turns.take(async () => {
      this.#refuseWhenOver();
      const active = this.#active ?? (await this.#begin());
      try {
        const buffers = frames.map((frame, i) => {
          sealFrame(frame.bytes, active.sequence + i, active.seed);
          return frame.bytes;
        });
        await writeFully(active.file, buffers, active.bytes);
        await active.file.datasync();
        await this.#checkThere(active);
        const bytes = buffers.reduce((sum, buffer) => sum + buffer.length, active.bytes);
        await this.#mark.set({ segment: active.number, bytes });
        active.bytes = bytes;
        active.sequence += frames.length;
      } catch (error) {
        await this.#end();
        throw error;
      }
      if (active.bytes >= this.#segmentBytes) await this.#end();
    });
  }

  /** Begins a new segment, so that all before it are closed. @returns its number */
  async rotate(): Promise<number> {
    return await this.#turns.take(async () => {
      this.#refuseWhenOver();
      await this.#end();
      return (await this.#begin()).number;
    });
  }

  /** Forgets segments that a snapshot has taken in. @returns them */
  drop(below: number): readonly SegmentPart[] {
    const dropped = this.#closed.filter((part) => part.number < below);
    this.#closed = this.#closed.filter((part) => part.number >= below);
    return dropped;
  }

  /** Ends it: nothing is written from then on. */
  async close(): Promise<void> {
    await this.#turns.take(async () => {
      this.#over = true;
      await this.#end();
    });
  }

  #refuseWhenOver(): void {
    if (this.#over) throw new Error('the state folder was let go of');
  }

  async #begin(): Promise<Active> {
    const number = this.#last.number + 1;
    const header = encodeHeader(
      'segment',
      {
        number,
        previousBytes: this.#last.bytes,
        tokens: 0,
        tailBytes: 0,
        knownAsOfMs: 0,
        forgottenUntilMs: 0,
      },
      this.#folder.identity,
    );
    const file = await open(this.#folder.file(SEGMENT_TEMPORARY), MAKE_ANEW, 0o600);
    try {
      await writeFully(file, [header], 0);
      await file.sync();
      const { ino } = await file.stat({ bigint: true });
      await this.#folder.publish(SEGMENT_TEMPORARY, segmentName(number));
      await this.#mark.set({ segment: number, bytes: HEADER_BYTES });
      const seed = seedOf(header);
      this.#active = { file, inode: ino, seed, number, bytes: HEADER_BYTES, sequence: 0 };
    } catch (error) {
      await file.close().catch(() => undefined);
      // It may have got its name all the same: then it is one without content, and the next number is next.
      if (await exists(this.#folder.file(segmentName(number))))
        this.#add({ number, bytes: HEADER_BYTES });
      throw error;
    }
    this.#last = { number, bytes: HEADER_BYTES };
    return this.#active;
  }

  /** Closes the active segment as far as it is on the disk. */
  async #end(): Promise<void> {
    const active = this.#active;
    if (active === undefined) return;
    this.#active = undefined;
    this.#add({ number: active.number, bytes: active.bytes });
    await active.file.close().catch(() => undefined);
  }

  #add(part: SegmentPart): void {
    this.#closed.push(part);
    this.#last = part;
  }

  /** A file without a name in the folder takes writes as before, and vanishes with the process. */
  async #checkThere(active: Active): Promise<void> {
    const name = segmentName(active.number);
    const found = await stat(this.#folder.file(name), { bigint: true }).catch(() => undefined);
    if (found?.ino !== active.inode || !this.#folder.stands)
      throw new SegmentGone('the state folder or a file in it was removed');
  }
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
