const NOTHING = Buffer.alloc(0);

/** Bytes of several reads in one piece. */
export class ByteStore {
  #bytes: Buffer | undefined;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Copies `chunk[from, to)` behind what is there: no read of 64 KiB stays in memory for the few bytes of it that are still needed. */
  append(chunk: Uint8Array, from: number, to: number): void {
    const length = this.#length + to - from;
    let bytes = this.#bytes;
    if (bytes === undefined || bytes.length < length) {
      // Doubled, so that a sender of single bytes does not have all of it copied each time.
      const grown = Buffer.allocUnsafeSlow(Math.max(512, length, 2 * (bytes?.length ?? 0)));
      if (bytes !== undefined) bytes.copy(grown, 0, 0, this.#length);
      this.#bytes = bytes = grown;
    }
    bytes.set(chunk.subarray(from, to), this.#length);
    this.#length = length;
  }

  /** The same, but a first chunk is kept as it is. It has to be the store's own. */
  keep(chunk: Buffer, from: number): void {
    if (this.#length > 0) this.append(chunk, from, chunk.length);
    else {
      this.#bytes = chunk.subarray(from);
      this.#length = chunk.length - from;
    }
  }

  /** All of it, given away: the store is empty after this. */
  take(): Buffer {
    const bytes = this.#bytes?.subarray(0, this.#length) ?? NOTHING;
    this.#bytes = undefined;
    this.#length = 0;
    return bytes;
  }
}
