import { nameOfRule } from '../rule.ts';
import { combineLifts, combineRules, type LiftRecord, type RuleRecord } from './record.ts';

/** Rules and what was lifted, one of each per name. */
export class RuleBook {
  readonly #rules = new Map<string, RuleRecord>();
  readonly #lifts = new Map<string, LiftRecord>();

  rule(record: RuleRecord): void {
    const name = nameOfRule(record.rule);
    const known = this.#rules.get(name);
    this.#rules.set(name, known === undefined ? record : combineRules(known, record));
  }

  lift(record: LiftRecord): void {
    const name = nameOfRule(record.lift);
    const known = this.#lifts.get(name);
    this.#lifts.set(name, known === undefined ? record : combineLifts(known, record));
  }

  /** Forgets what ended before a moment, epoch milliseconds. @returns the latest end among them, 0 for none */
  forget(endedBeforeMs: number): number {
    let latest = 0;
    for (const [name, { rule }] of this.#rules)
      if (rule.endsAtMs < endedBeforeMs) {
        latest = Math.max(latest, rule.endsAtMs);
        this.#rules.delete(name);
      }
    for (const [name, { lift }] of this.#lifts)
      if (lift.endsAtMs < endedBeforeMs) this.#lifts.delete(name);
    return latest;
  }

  /** Rules that no lift undoes, by name. */
  *rules(): Generator<readonly [name: string, record: RuleRecord]> {
    for (const entry of this.#rules) {
      const lift = this.#lifts.get(entry[0])?.lift;
      if (lift === undefined || lift.issuedBeforeMs < entry[1].rule.issuedBeforeMs) yield entry;
    }
  }

  /** What was lifted, by name. */
  lifts(): Iterable<readonly [name: string, record: LiftRecord]> {
    return this.#lifts;
  }
}
