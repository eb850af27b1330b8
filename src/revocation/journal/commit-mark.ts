import { type FileHandle, open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { readBounded, type StateFolder, writeFully } from './state-folder.ts';

export const COMMITTED = 'committed';
const MAGIC = 0x4b_52_41_4d;
const PLACE_BYTES = 32;
const FILE_BYTES = 2 * PLACE_BYTES;

/** How far the newest segment is on the disk. */
export interface Committed {
  readonly segment: number;
  /** Bytes from the beginning of that segment. */
  readonly bytes: number;
}

/**
 * A small file that says what was acknowledged. It tells a tail that was torn before anybody was told of it, which may go, from an
 * acknowledged batch with a flipped bit, which must not go silently. It is written after each fsync of the segment and needs none of its
 * own: what a power cut takes from it is only ever the newest of its two places, and an older one claims less.
 */
export class CommitMark {
  readonly #folder: StateFolder;
  #file: FileHandle | undefined;
  #writes = 0;

  constructor(folder: StateFolder) {
    this.#folder = folder;
  }

  /** What the file says; undefined when it says nothing that can be trusted. */
  static async read(folder: StateFolder): Promise<Committed | undefined> {
    const bytes = await readBounded(folder.file(COMMITTED), FILE_BYTES);
    if (bytes === undefined) return undefined;
    let latest: Committed | undefined;
    for (const at of [0, PLACE_BYTES]) {
      const place = readPlace(bytes.subarray(at, at + PLACE_BYTES));
      if (
        place !== undefined &&
        (latest === undefined ||
          place.segment > latest.segment ||
          (place.segment === latest.segment && place.bytes > latest.bytes))
      )
        latest = place;
    }
    return latest;
  }

  async set({ segment, bytes }: Committed): Promise<void> {
    const place = Buffer.alloc(PLACE_BYTES);
    place.writeUInt32LE(MAGIC, 0);
    place.writeDoubleLE(segment, 8);
    place.writeDoubleLE(bytes, 16);
    place.writeUInt32LE(crc32(place.subarray(0, PLACE_BYTES - 4)), PLACE_BYTES - 4);
    if (this.#file === undefined) {
      // Both places at once, on the disk, before the first commit relies on them.
      await this.#folder.write(COMMITTED, Buffer.concat([place, place]));
      this.#file = await open(this.#folder.file(COMMITTED), 'r+');
      return;
    }
    this.#writes++;
    await writeFully(this.#file, [place], (this.#writes % 2) * PLACE_BYTES);
  }

  /** The next `set` makes the file anew. */
  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close().catch(() => undefined);
  }
}

function readPlace(place: Buffer): Committed | undefined {
  if (place.length < PLACE_BYTES || place.readUInt32LE(0) !== MAGIC) return undefined;
  if (crc32(place.subarray(0, PLACE_BYTES - 4)) !== place.readUInt32LE(PLACE_BYTES - 4))
    return undefined;
  const [segment, bytes] = [place.readDoubleLE(8), place.readDoubleLE(16)];
  return Number.isSafeInteger(segment) && Number.isSafeInteger(bytes)
    ? { segment, bytes }
    : undefined;
}
