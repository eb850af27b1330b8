import { isDeepStrictEqual } from 'node:util';

/** A part in the hands of one of its users. */
export interface Lease<T> {
  readonly part: T;
  /** It is not used here any more. The last one to say so ends it. Resolves when that is done; calling again does nothing. */
  release(): Promise<void>;
}

interface Entry<Wish, T> {
  readonly wish: Wish;
  readonly part: T;
  users: number;
}

/**
 * A part that outlives a change of configuration where nothing that it is made of has changed: what it has learnt (verified tokens, open
 * connections, upstreams that fail) is kept then. Whoever wants it as somebody has it already gets the same one.
 */
export class SharedPart<Wish, T> {
  readonly #make: (wish: Wish) => T;
  readonly #end: (part: T) => Promise<void>;
  readonly #entries = new Set<Entry<Wish, T>>();

  /** @param make may throw; then there is no lease */
  constructor(make: (wish: Wish) => T, end: (part: T) => Promise<void>) {
    this.#make = make;
    this.#end = end;
  }

  /** Every one that is in use. */
  *parts(): Generator<T> {
    for (const { part } of this.#entries) yield part;
  }

  /** @param wish plain data */
  take(wish: Wish): Lease<T> {
    const entry = this.#find(wish) ?? this.#open(wish);
    entry.users++;
    let used = true;
    return {
      part: entry.part,
      release: async () => {
        if (!used) return;
        used = false;
        entry.users--;
        if (entry.users > 0) return;
        this.#entries.delete(entry);
        await this.#end(entry.part);
      },
    };
  }

  #find(wish: Wish): Entry<Wish, T> | undefined {
    for (const entry of this.#entries) if (isDeepStrictEqual(entry.wish, wish)) return entry;
    return undefined;
  }

  #open(wish: Wish): Entry<Wish, T> {
    const entry = { wish, part: this.#make(wish), users: 0 };
    this.#entries.add(entry);
    return entry;
  }
}
