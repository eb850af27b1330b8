import { rememberedUntil, withoutLifted } from '../heard-cutoffs.ts';
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
    for (const [name, record] of this.#rules) {
      // Before the lift goes: what it took back is not to outlast it.
      const left = this.#left(name, record);
      if (left === undefined) this.#rules.delete(name);
      else if (rememberedUntil(left.rule) < endedBeforeMs) {
        latest = Math.max(latest, left.rule.endsAtMs);
        this.#rules.delete(name);
      } else this.#rules.set(name, left);
    }
    for (const [name, { lift }] of this.#lifts)
      if (lift.endsAtMs < endedBeforeMs) this.#lifts.delete(name);
    return latest;
  }

  /** What lifts leave of the rules, by name. */
  *rules(): Generator<readonly [name: string, record: RuleRecord]> {
    for (const [name, record] of this.#rules) {
      const left = this.#left(name, record);
      if (left !== undefined) yield [name, left];
    }
  }

  #left(name: string, record: RuleRecord): RuleRecord | undefined {
    const rule = withoutLifted(record.rule, this.#lifts.get(name)?.lift);
    return rule === undefined ? undefined : { ...record, rule };
  }

  /** What was lifted, by name. */
  lifts(): Iterable<readonly [name: string, record: LiftRecord]> {
    return this.#lifts;
  }
}
