import { ByteStore } from './byte-store.ts';
import { HeadScanner, type HeadKind } from './head-scanner.ts';
import type { HeadLimits } from './limits.ts';

/** The heads of one connection, or the trailers of a body, in whatever pieces they come. Whole ones are parsed where they are; of others the pieces are kept. */
export class HeadInput {
  readonly #scanner: HeadScanner;
  #partial: ByteStore | undefined;

  constructor(kind: HeadKind, limits: HeadLimits) {
    this.#scanner = new HeadScanner(kind, limits);
  }

  /**
   * @returns index in `chunk` after the head; -1: the rest of `chunk` was kept, and more is needed
   * @throws GrammarError
   */
  find(chunk: Buffer, from: number): number {
    const end = this.#scanner.find(chunk, from);
    if (end === -1) (this.#partial ??= new ByteStore()).append(chunk, from, chunk.length);
    return end;
  }

  /** The head that ends at `end`, in one piece; undefined when it is just `chunk[from, end)`. */
  take(chunk: Buffer, from: number, end: number): Buffer | undefined {
    const partial = this.#partial;
    if (partial === undefined) return undefined;
    this.#partial = undefined;
    partial.append(chunk, from, end);
    return partial.take();
  }
}
