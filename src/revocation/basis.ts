/**
 * What the claims of a journal rest on: the sources that are followed, as they are configured. What an earlier run has known is known now only if it
 * followed the same. It is kept among the gaps: a name that no source has, and since when.
 */
export class Basis {
  readonly #name: string | undefined;
  /** Epoch milliseconds. */
  #sinceMs = 0;

  /** @param digest of the sources' configuration; undefined: any will do */
  constructor(digest: string | undefined) {
    this.#name = digest === undefined ? undefined : `followed: ${digest}`;
  }

  /**
   * @param kept the moments that the last run has kept; undefined: nobody knows
   * @param claimedMs up to when it claims to have missed nothing, epoch milliseconds
   * @returns the same, where it followed what is followed now
   */
  restore(
    kept: ReadonlyMap<string, number> | undefined,
    claimedMs: number | undefined,
  ): number | undefined {
    if (this.#name === undefined) return claimedMs;
    const sinceMs = kept?.get(this.#name);
    this.#sinceMs = sinceMs ?? Date.now();
    return sinceMs !== undefined && claimedMs !== undefined && claimedMs > sinceMs
      ? claimedMs
      : undefined;
  }

  /** Another gateway had the journal, and may have followed other sources: what was claimed before now was maybe claimed of those. */
  again(): void {
    this.#sinceMs = Date.now();
  }

  /** The gaps, and this. */
  keptWith(gaps: ReadonlyMap<string, number>): ReadonlyMap<string, number> {
    return this.#name === undefined ? gaps : new Map([...gaps, [this.#name, this.#sinceMs]]);
  }
}
