/** Texts that are remembered, and how long one may be. */
const MOST = 100;
const LONGEST = 512;

/** What was made of texts that many tokens have in common: an issuer writes the same ones again and again. */
export class KnownTexts<T> {
  readonly #made = new Map<string, T>();

  has(text: string): boolean {
    return this.#made.has(text);
  }

  get(text: string): T | undefined {
    return this.#made.get(text);
  }

  /** Remembers it, unless the text is too long, or has lone surrogates: as UTF-8 it would be another one. */
  set(text: string, made: T): void {
    if (text.length > LONGEST || !text.isWellFormed()) return;
    // Whoever makes up texts has them read each time, and those of others once more: no more.
    if (this.#made.size >= MOST) this.#made.clear();
    // A copy: a slice would keep the whole request that it was cut out of.
    this.#made.set(Buffer.from(text, 'utf8').toString('utf8'), made);
  }
}
