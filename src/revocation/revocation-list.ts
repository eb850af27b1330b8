import type { Clock } from './clock.ts';
import type { Revocation } from './revocation.ts';
import type { TokenIdentity } from './token-identity.ts';
import { classOfKey } from './token-key.ts';

/** Entries looked at per step of the clean-up, so that it never holds a request up. */
const SWEEP_STEP = 5_000;

/**
 * Everything this gateway knows to be revoked. It only ever grows by what sources say; entries leave by their own clock alone, never
 * early (invariant 2): `marginMs` after their end, and only once both the wall clock and the monotonic one agree that it has passed.
 */
export class RevocationList {
  readonly #ends = new Map<string, number>();
  readonly #clock: Clock;
  readonly #marginMs: number;
  /** By class of key: 1 once the list has held one. Most lists hold one class, and a token has keys of six: the others cost no look-up. */
  readonly #held = new Uint8Array(128);
  #cursor: Iterator<[string, number]> | undefined;
  #forgottenUntilMs = 0;

  /** @param marginMs milliseconds kept beyond the end: clock skew that the token check allows, and more */
  constructor(clock: Clock, marginMs: number) {
    this.#clock = clock;
    this.#marginMs = marginMs;
  }

  /** Names in the list, expired ones that still wait for the clean-up included. */
  get size(): number {
    return this.#ends.size;
  }

  /**
   * The latest end among the entries that have left, epoch milliseconds; 0 before the first. A token that ends by then has to count as
   * expired for ever, also when the wall clock is set back: its revocation may be gone.
   */
  get forgottenUntilMs(): number {
    return this.#forgottenUntilMs;
  }

  /** Effective with the very next `covers`. A known entry is only ever prolonged. */
  add(revocation: Revocation): void {
    for (const key of revocation.keys) this.#prolong(key, revocation.endsAtMs);
  }

  /**
   * Whether this verified token was revoked. A hit keeps the entry at least until the token itself ends: what the source said of its
   * life was hearsay, this is not.
   */
  covers(token: TokenIdentity): boolean {
    let covered = false;
    for (const key of token.keys) {
      if (this.#held[classOfKey(key)] === 0) continue;
      const end = this.#ends.get(key);
      if (end === undefined) continue;
      covered = true;
      if (end < token.expiresAtMs) this.#ends.set(key, token.expiresAtMs);
    }
    return covered;
  }

  /** Removes a step's worth of entries whose end has passed; goes round for ever. Call it from a timer. */
  sweep(): void {
    const gone = this.#clock.earliest() - this.#marginMs;
    this.#cursor ??= this.#ends.entries();
    for (let step = 0; step < SWEEP_STEP; step++) {
      const next = this.#cursor.next();
      if (next.done === true) {
        this.#cursor = undefined;
        return;
      }
      const [key, end] = next.value;
      if (end >= gone) continue;
      this.#ends.delete(key);
      if (end > this.#forgottenUntilMs) this.#forgottenUntilMs = end;
    }
  }

  #prolong(key: string, endsAtMs: number): void {
    const end = this.#ends.get(key);
    if (end !== undefined && end >= endsAtMs) return;
    this.#ends.set(key, endsAtMs);
    this.#held[classOfKey(key)] = 1;
  }
}
