/** Origins whose calls are counted together; calls to further ones are bounded in each thread by itself. */
const MAX_ORIGINS = 1_024;

/** Size of the memory that one thread's calls are counted in. */
export const CALL_COUNT_BYTES = MAX_ORIGINS * Int32Array.BYTES_PER_ELEMENT;

/** Where the threads of a gateway count their calls, one memory each, so that a bound holds for all of them together. */
export interface SharedCalls {
  /** Which of them this thread writes. */
  readonly place: number;
  readonly memories: readonly SharedArrayBuffer[];
  /** The place of an origin's count: the same in every thread, for as long as the process lives. -1: it has none. */
  readonly indexOf: (origin: string) => number;
}

/**
 * The origins of these base URLs, in the order of their places. New ones are appended, and old ones stay, as their calls may go on over a
 * change of configuration.
 * @param known what this function gave before
 */
export function callOrigins(
  urls: Iterable<string>,
  known: readonly string[] = [],
): readonly string[] {
  const origins = new Set(known);
  for (const url of urls) {
    const origin = URL.parse(url)?.origin;
    if (origin !== undefined && origins.size < MAX_ORIGINS) origins.add(origin);
  }
  return [...origins];
}

/** Whoever counted here is gone, and its calls with it. */
export function forgetCalls(memory: SharedArrayBuffer): void {
  new Int32Array(memory).fill(0);
}

/**
 * Calls to one origin that have not ended. Every thread counts in a memory of its own, so that none is left out of step by one that dies;
 * threads that begin a call at the same instant may together pass a bound by one each.
 */
export class CallCount {
  readonly #index: number;
  readonly #own: Int32Array;
  readonly #others: readonly Int32Array[];

  constructor(origin: string, shared?: SharedCalls) {
    const index = shared?.indexOf(origin) ?? -1;
    const { place = 0, memories = [] } = index === -1 ? {} : (shared ?? {});
    const own = memories[place];
    this.#index = own === undefined ? 0 : index;
    this.#own = own === undefined ? new Int32Array(1) : new Int32Array(own);
    this.#others = memories
      .filter((memory) => memory !== own)
      .map((memory) => new Int32Array(memory));
  }

  /** Calls of this thread. */
  get own(): number {
    return Atomics.load(this.#own, this.#index);
  }

  set own(count: number) {
    Atomics.store(this.#own, this.#index, count);
  }

  /** Calls of all threads. */
  get all(): number {
    let sum = this.own;
    for (const other of this.#others) sum += Atomics.load(other, this.#index);
    return sum;
  }
}
