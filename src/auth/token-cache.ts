import type { VerifiedToken } from './verified-token.ts';

export interface TokenCacheOptions {
  /** Verified tokens kept. */
  readonly maxEntries: number;
  /** Milliseconds after which a token is verified anew, however long it lives. */
  readonly maxAgeMs: number;
}

/** How many entries one insertion looks at to find one that was not used lately. */
const SEARCHED = 8;

interface Entry {
  readonly verified: VerifiedToken;
  used: boolean;
}

/**
 * Tokens that were verified, by SHA-256 of their canonical text (invariants 5 and 6). Only verified tokens come in, so junk cannot push a
 * good one out. When full, what expired or was not used since it was last looked at goes first.
 */
export class TokenCache {
  readonly #options: TokenCacheOptions;
  readonly #entries = new Map<string, Entry>();
  /** Goes on where the last eviction ended: one that begins at the front passes over all that were taken out there before. */
  #hand = this.#entries.entries();

  constructor(options: TokenCacheOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#entries.size;
  }

  /**
   * The token, if it was verified and that still counts: its life and the allowed age have not passed, its key was not dropped since,
   * and the clock was not set back behind its verification.
   */
  get(digest: string, nowMs: number): VerifiedToken | undefined {
    const entry = this.#entries.get(digest);
    if (entry === undefined) return undefined;
    if (!counts(entry.verified, nowMs, this.#options.maxAgeMs)) {
      this.#entries.delete(digest);
      return undefined;
    }
    entry.used = true;
    return entry.verified;
  }

  add(digest: string, verified: VerifiedToken, nowMs: number): void {
    if (this.#options.maxEntries < 1 || !counts(verified, nowMs, this.#options.maxAgeMs)) return;
    this.#entries.delete(digest);
    if (this.#entries.size >= this.#options.maxEntries) this.#evict(nowMs);
    this.#entries.set(digest, { verified, used: false });
  }

  #evict(nowMs: number): void {
    for (let searched = 1; this.#entries.size > 0; searched++) {
      let next = this.#hand.next();
      if (next.done === true) {
        this.#hand = this.#entries.entries();
        next = this.#hand.next();
      }
      if (next.value === undefined) return;
      const [digest, entry] = next.value;
      this.#entries.delete(digest);
      const spared =
        entry.used && searched < SEARCHED && counts(entry.verified, nowMs, this.#options.maxAgeMs);
      if (!spared) return;
      entry.used = false;
      this.#entries.set(digest, entry);
    }
  }
}

function counts(verified: VerifiedToken, nowMs: number, maxAgeMs: number): boolean {
  return (
    nowMs < verified.countsUntilMs &&
    nowMs >= verified.verifiedAtMs &&
    nowMs - verified.verifiedAtMs < maxAgeMs &&
    (verified.ring === undefined || verified.ring.counts(verified.generation))
  );
}
