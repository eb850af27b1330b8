import { addressBlock } from '../net/address-block.ts';
import type { DataPlane } from './data-plane.ts';
import { Seldom } from './seldom.ts';

/** Milliseconds between two lines of the log. */
const SAY_MS = 60_000;

/** So many of those that are silent are found at one look over a crowd, so that the next ones cost none. */
const CANDIDATES = 1_024;

/** A crowd of this many is looked over whenever somebody comes; a larger one, when a look has found all that were silent, once in each sweep. */
const SMALL = 256;

/** A connection that was let in. */
export interface Guest {
  /**
   * Milliseconds since anything was under way on it: it owes a handshake, or the head of a request. Undefined: something is under way.
   */
  readonly silentMs: number | undefined;
  /** Ends it now. */
  evict(): void;
}

/** What it is decided by, and who hears of it. Addresses of trusted proxies have no bound of their own: many clients come through them. */
export type House = Pick<DataPlane, 'limits' | 'trustedProxies' | 'observer' | 'log'>;

/**
 * Who may connect to the listeners of one thread. When an address, or all together, have too many connections, the one goes that has been
 * silent for longest, and of several the one that came last: nothing is under way there. Where something is under way on all of them the new
 * one goes. A request that was begun is never given up for a connection.
 */
export class Admission {
  readonly #house: () => House;
  readonly #seldom: Seldom;
  readonly #all = new Crowd();
  /** By address block, those that have somebody here. */
  readonly #crowds = new Map<string, Crowd>();
  readonly #places = new Map<Guest, Place>();
  /** Those that were looked over since the last sweep. */
  readonly #looked = new Set<Crowd>();

  /**
   * @param house what holds now
   * @param now milliseconds of a clock that is never set back, for the log
   */
  constructor(house: () => House, now?: () => number) {
    this.#house = house;
    this.#seldom = new Seldom(SAY_MS, now);
  }

  /** Connections that are here. */
  get size(): number {
    return this.#places.size;
  }

  /** @returns false: there is no room, and it is to be closed */
  enter(address: string, guest: Guest): boolean {
    const { limits, trustedProxies } = this.#house();
    const block = trustedProxies.trusts(address) ? undefined : addressBlock(address);
    const own = block === undefined ? undefined : this.#crowds.get(block);
    if (
      !this.#hasRoom(own, limits.maxConnectionsPerAddress) ||
      !this.#hasRoom(this.#all, limits.maxConnections)
    ) {
      this.#closed('connectionsRefused', address);
      return false;
    }
    this.#places.set(guest, { address, block });
    this.#all.enter(guest);
    if (block === undefined) return true;
    // Anew, as the crowd is forgotten with its last member, and that may have been evicted.
    const crowd = this.#crowds.get(block) ?? new Crowd();
    this.#crowds.set(block, crowd);
    crowd.enter(guest);
    return true;
  }

  /** A connection is closed. Has no effect on who is not here. */
  leave(guest: Guest): void {
    const place = this.#places.get(guest);
    if (place === undefined) return;
    this.#places.delete(guest);
    this.#all.leave(guest);
    if (place.block === undefined) return;
    const crowd = this.#crowds.get(place.block);
    crowd?.leave(guest);
    if (crowd?.members.size === 0) this.#crowds.delete(place.block);
  }

  /** What was found silent before may be found anew. */
  sweep(): void {
    for (const crowd of this.#looked) crowd.forget();
    this.#looked.clear();
  }

  #hasRoom(crowd: Crowd | undefined, limit: number): boolean {
    if (crowd === undefined || crowd.members.size < limit) return true;
    this.#looked.add(crowd);
    const guest = crowd.longestSilent();
    const place = guest && this.#places.get(guest);
    if (guest === undefined || place === undefined) return false;
    this.leave(guest);
    guest.evict();
    this.#closed('connectionsEvicted', place.address);
    return true;
  }

  #closed(how: 'connectionsEvicted' | 'connectionsRefused', address: string): void {
    const { observer, log } = this.#house();
    observer.tally(how);
    const count = this.#seldom.happened();
    if (count === undefined) return;
    log.warn(
      'Gateway',
      `${count} connection(s) closed as there are too many, the last one from ${address}: listenerConfig.maxConnections, maxConnectionsPerAddress`,
    );
  }
}

interface Place {
  readonly address: string;
  /** Undefined: it counts among all only. */
  readonly block: string | undefined;
}

interface Candidate {
  readonly guest: Guest;
  /** When it was looked at, milliseconds. */
  readonly silentMs: number;
}

/** Connections that have a bound together. */
class Crowd {
  readonly members = new Set<Guest>();
  /** The longest silent last. Whoever is not among them has been silent for no longer. */
  #candidates: Candidate[] = [];
  /** Who came last, while it is here. */
  #newest: Guest | undefined;
  /** The last look found all that were silent: whoever is now has been for no longer than since then. */
  #foundAll = false;

  enter(guest: Guest): void {
    this.members.add(guest);
    this.#newest = guest;
  }

  leave(guest: Guest): void {
    this.members.delete(guest);
    if (this.#newest === guest) this.#newest = undefined;
  }

  /** Looks at all members now and then only: between two looks those come that were found then, if they have kept silent. */
  longestSilent(): Guest | undefined {
    const known = this.#next();
    if (known !== undefined) return known;
    if (this.#foundAll && this.members.size > SMALL) {
      const newest = this.#newest;
      return newest?.silentMs === undefined ? undefined : newest;
    }
    this.#look();
    return this.#next();
  }

  forget(): void {
    this.#candidates = [];
    this.#foundAll = false;
  }

  #next(): Guest | undefined {
    for (let last = this.#candidates.at(-1); last !== undefined; last = this.#candidates.at(-1)) {
      const { guest, silentMs } = last;
      const now = this.members.has(guest) ? guest.silentMs : undefined;
      // Less: something was under way there meanwhile.
      if (now !== undefined && now >= silentMs) return this.#newestOf(guest, now);
      this.#candidates.pop();
    }
    return undefined;
  }

  /** A clock that moves in ticks has many silent for the same time: those who come one after the other are not to drive out who was here before. */
  #newestOf(guest: Guest, silentMs: number): Guest {
    const newest = this.#newest;
    return newest?.silentMs === silentMs ? newest : guest;
  }

  #look(): void {
    const silent: Candidate[] = [];
    for (const guest of this.members) {
      const { silentMs } = guest;
      if (silentMs !== undefined) silent.push({ guest, silentMs });
    }
    this.#foundAll = silent.length < CANDIDATES;
    // Stable: of those that are silent for the same time the one that came last is behind the others.
    this.#candidates = silent
      .toSorted((one, other) => one.silentMs - other.silentMs)
      .slice(-CANDIDATES);
  }
}
