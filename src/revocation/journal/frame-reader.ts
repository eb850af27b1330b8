import type { FileHandle } from 'node:fs/promises';
import { FRAME_BYTES, frameHolds, frameLength, FRAME_HEADER_BYTES } from './format.ts';
import { readFully } from './state-folder.ts';

/** A frame, or a place where one should begin and none does that is whole. */
export type FoundFrame =
  | { readonly kind: 'frame'; readonly at: number; readonly records: Buffer }
  | { readonly kind: 'bad'; readonly at: number };

const WINDOW_BYTES = 4 * FRAME_BYTES;

/** Reads the frames of a part of a file in order, through one buffer of fixed size. */
export class FrameReader {
  readonly #file: FileHandle;
  readonly #seed: number;
  readonly #limit: number;
  readonly #window: Buffer;
  #windowAt = 0;
  #windowEnd = 0;
  #sequence = 0;
  /** Where the next frame begins: behind the last good one, or behind one that was bad but had a credible length. */
  #position: number;

  /** @param limit where to stop: the bytes of the file that count */
  constructor(file: FileHandle, seed: number, from: number, limit: number) {
    this.#file = file;
    this.#seed = seed;
    this.#position = from;
    this.#limit = limit;
    this.#window = Buffer.allocUnsafeSlow(Math.min(WINDOW_BYTES, Math.max(0, limit - from)));
  }

  /**
   * The next frame, good until the next call; undefined at the end. Behind a bad one it goes on where that seems to end: what is
   * still good can be saved.
   */
  async next(): Promise<FoundFrame | undefined> {
    const at = this.#position;
    if (at >= this.#limit) return undefined;
    let seen = await this.#see(at, FRAME_HEADER_BYTES);
    const length = frameLength(seen);
    if (length === undefined || at + length > this.#limit) {
      this.#position = this.#limit;
      return { kind: 'bad', at };
    }
    if (seen.length < length) seen = await this.#see(at, length);
    this.#position = at + length;
    const sequence = this.#sequence;
    this.#sequence++;
    const frame = seen.subarray(0, length);
    if (frame.length < length || !frameHolds(frame, sequence, this.#seed))
      return { kind: 'bad', at };
    return { kind: 'frame', at, records: frame.subarray(FRAME_HEADER_BYTES) };
  }

  /** What the file has from there on, at least `needed` bytes unless it ends before. */
  async #see(at: number, needed: number): Promise<Buffer> {
    if (at < this.#windowAt || at + needed > this.#windowEnd) {
      const room = this.#window.subarray(0, Math.min(this.#window.length, this.#limit - at));
      this.#windowAt = at;
      this.#windowEnd = at + (await readFully(this.#file, room, at));
    }
    return this.#window.subarray(at - this.#windowAt, this.#windowEnd - this.#windowAt);
  }
}
