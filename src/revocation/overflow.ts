import { type Moment, momentOf, type Proofs } from './freshness.ts';

/** Which sources said something that found no room in the list: until that is otherwise, nothing that is known is whole. */
export class Overflow {
  /** When each last did. */
  readonly #refused = new Map<string, Moment>();
  readonly #forGood: string;

  /** @param forGood the source that is read once and never again */
  constructor(forGood: string) {
    this.#forGood = forGood;
  }

  /** Notes it. @returns whether this is news */
  note(source: string): boolean {
    const first = !this.#refused.has(source);
    this.#refused.set(source, momentOf());
    return first;
  }

  /** The sources, each with the moment when it last said such a thing. */
  get entries(): readonly (readonly [source: string, at: Moment])[] {
    return [...this.#refused];
  }

  get isEmpty(): boolean {
    return this.#refused.size === 0;
  }

  /** Forgets what has found room since. `otherwise`: up to when a source without a store is proved. */
  settle(proofs: readonly Proofs[], otherwise: Moment): void {
    for (const [source, at] of this.#refused)
      if (this.#wholeSince(source, proofs, otherwise) > at.monotonic) this.#refused.delete(source);
  }

  /**
   * When everything that a source says began to be said again and found room, by the monotonic clock: a store proves itself only then
   * (follow.ts), and what a topic tells is in its stores.
   */
  #wholeSince(name: string, proofs: readonly Proofs[], otherwise: Moment): number {
    if (name === this.#forGood) return Number.NEGATIVE_INFINITY;
    const source = proofs.find((each) => each.name === name);
    const wanted = source?.kind === 'list' ? [name] : (source?.tellsOf ?? []);
    const stores = proofs.filter(
      ({ kind, required, name: store }) => kind === 'list' && required && wanted.includes(store),
    );
    return Math.min(
      otherwise.monotonic,
      ...stores.map(({ lastProof }) => lastProof?.monotonic ?? Number.NEGATIVE_INFINITY),
    );
  }
}
