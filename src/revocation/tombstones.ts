import { combineSaid, REMEMBERED_MS, saidMember, withoutLifted } from './heard-cutoffs.ts';
import { nameOfRule, type Lift, type Rule } from './rule.ts';

/** Lifts remembered at a time. */
const MAX_LIFTS = 100_000;

/**
 * The rules that operators took back. A source may go on listing a rule for as long as it likes, or tell of it late: what a lift named, up to
 * its cut-off, has no effect any more. A rule with a later cut-off is another revocation, and holds.
 */
export class Tombstones {
  readonly #max: number;
  readonly #lifts = new Map<string, Lift>();

  constructor(max = MAX_LIFTS) {
    this.#max = max;
  }

  get size(): number {
    return this.#lifts.size;
  }

  /**
   * Takes a lift. Of several of one name the greatest cut-off and the latest end count, in whatever order they come. `full`: there is no room,
   * and the lift must be refused; `same`: nothing is new in it.
   */
  add(lift: Lift): 'added' | 'same' | 'full' {
    const name = nameOfRule(lift);
    const known = this.#lifts.get(name);
    if (known === undefined && this.#lifts.size >= this.#max) return 'full';
    const issuedBeforeMs = Math.max(lift.issuedBeforeMs, known?.issuedBeforeMs ?? 0);
    const endsAtMs = Math.max(lift.endsAtMs, known?.endsAtMs ?? 0);
    const said = combineSaid(known?.said, lift.said, issuedBeforeMs);
    // The end of one that names cut-offs of the future is later at each reading.
    const slackMs = said.length === 0 ? 0 : REMEMBERED_MS / 2;
    if (
      known?.issuedBeforeMs === issuedBeforeMs &&
      known.endsAtMs + slackMs >= endsAtMs &&
      String(said) === String(known.said ?? [])
    )
      return 'same';
    const { issuer, claims } = lift;
    this.#lifts.set(name, { issuer, claims, issuedBeforeMs, endsAtMs, ...saidMember(said) });
    return 'added';
  }

  /** What is kept under the name of a rule or lift. */
  of(rule: Pick<Rule, 'issuer' | 'claims'>): Lift | undefined {
    return this.#lifts.get(nameOfRule(rule));
  }

  /** What is left of a rule: nothing of one that was lifted, which must not be kept, and not be put back. */
  left(rule: Rule): Rule | undefined {
    return withoutLifted(rule, this.of(rule));
  }

  /** Forgets those whose end has passed. `now` is epoch milliseconds, the earlier reading where there are two. Returns how many. */
  expire(now: number): number {
    const before = this.#lifts.size;
    for (const [name, { endsAtMs }] of this.#lifts) if (endsAtMs <= now) this.#lifts.delete(name);
    return before - this.#lifts.size;
  }

  /** All that are kept, for the journal and for the operator. */
  all(): Iterable<Lift> {
    return this.#lifts.values();
  }
}
