import { addressBlock } from '../net/address-block.ts';

/** Failures of one address may be this far ahead of what it is allowed, milliseconds: answers that were under way when it was stopped. */
const MAX_DEBT_MS = 10_000;

export interface FailedAttemptsOptions {
  /** Failures of one address that are allowed for long. */
  readonly perSecond: number;
  /** Failures of one address at once, after a time without any; at least 1. */
  readonly burst: number;
  /** Addresses that are remembered. Default 10,000. */
  readonly maxAddresses?: number;
}

/** What an address has failed by, and when that was written down. */
interface Account {
  spent: number;
  atMs: number;
}

/**
 * How often tokens from an address turned out to be bad. Each bad token costs a verification, and nothing else tells junk from a good token
 * that is new: so who sends many is not listened to for a while. An address is an IPv4 address or the /64 of an IPv6 address.
 *
 * Memory is bounded: two generations of addresses, each for as long as a failure is remembered. Whoever is in neither has nothing to answer
 * for. More addresses than fit push out the ones that have been quiet for longest.
 */
export class FailedAttempts {
  readonly #perMs: number;
  readonly #burst: number;
  readonly #maxSpent: number;
  /** Milliseconds after which an address that was quiet is clean, whatever it did. */
  readonly #memoryMs: number;
  readonly #maxPerGeneration: number;
  readonly #now: () => number;
  #young = new Map<string, Account>();
  #old = new Map<string, Account>();
  #turnedMs: number;

  /** @param monotonicNow milliseconds of a clock that never steps */
  constructor(
    options: FailedAttemptsOptions,
    monotonicNow: () => number = () => performance.now(),
  ) {
    const { perSecond, burst, maxAddresses = 10_000 } = options;
    this.#perMs = perSecond / 1_000;
    this.#burst = Math.max(1, burst);
    this.#maxSpent = this.#burst + this.#perMs * MAX_DEBT_MS;
    this.#memoryMs = this.#maxSpent / this.#perMs;
    this.#maxPerGeneration = Math.max(1, Math.floor(maxAddresses / 2));
    this.#now = monotonicNow;
    this.#turnedMs = monotonicNow();
  }

  /** Addresses that are remembered now. */
  get size(): number {
    return this.#young.size + this.#old.size;
  }

  /** Milliseconds until a token from this address may be verified; 0: now. */
  waitMs(address: string): number {
    if (this.#young.size === 0 && this.#old.size === 0) return 0;
    const block = addressBlock(address);
    const account = this.#young.get(block) ?? this.#old.get(block);
    if (account === undefined) return 0;
    const over = this.#left(account, this.#now()) - (this.#burst - 1);
    return over <= 0 ? 0 : over / this.#perMs;
  }

  /** @param cost 1 for a token that was verified or asked about; less for one that was refused at sight */
  failed(address: string, cost: number): void {
    const nowMs = this.#now();
    const block = addressBlock(address);
    const known = this.#young.get(block) ?? this.#old.get(block);
    const left = known === undefined ? 0 : this.#left(known, nowMs);
    const spent = Math.min(left + cost, this.#maxSpent);
    const young = this.#young.get(block);
    if (young !== undefined) {
      young.spent = spent;
      young.atMs = nowMs;
      return;
    }
    const full = this.#young.size >= this.#maxPerGeneration;
    if (full || nowMs - this.#turnedMs >= this.#memoryMs) this.#turn(nowMs);
    this.#old.delete(block);
    this.#young.set(block, { spent, atMs: nowMs });
  }

  #left({ spent, atMs }: Account, nowMs: number): number {
    return Math.max(0, spent - Math.max(0, nowMs - atMs) * this.#perMs);
  }

  #turn(nowMs: number): void {
    this.#old = this.#young;
    this.#young = new Map();
    this.#turnedMs = nowMs;
  }
}
