import type { Fingerprinter } from './fingerprint.ts';
import type { LiftRecord, RuleRecord } from './journal/record.ts';
import { nameOfRule, type Lift, type Rule } from './rule.ts';
import { type RuleShapesBuffers, RuleShapesWriter, shapeOf } from './rule-shapes.ts';
import { TableReader } from './table/table-reader.ts';
import type { PutResult } from './table/table-store.ts';
import { TableWriter } from './table/table-writer.ts';
import { Tombstones } from './tombstones.ts';

/** What became of a rule: `lifted`, as an operator took it back; `too many shapes`, as rules name too many different sets of claims. */
export type RuleOutcome = PutResult | 'lifted' | 'too many shapes';

/** The rules of the list: their table, the shapes that readers have to look for, and what operators took back. */
export class RuleList {
  readonly table: TableWriter;
  readonly #fingerprinter: Fingerprinter;
  readonly #shapes = new RuleShapesWriter();
  readonly #tombstones = new Tombstones();
  readonly #reader: TableReader;
  /** By name: what would have to be written again if the disk lost it. Many times less of them than there are tokens. */
  readonly #rules = new Map<string, RuleRecord>();
  readonly #lifts = new Map<string, LiftRecord>();
  /** How many of `#rules` have each shape, by its JSON. */
  readonly #shapeCounts = new Map<string, number>();

  constructor(
    fingerprinter: Fingerprinter,
    maxRules: number,
    forgetting: (endSeconds: number) => void,
  ) {
    this.#fingerprinter = fingerprinter;
    this.table = new TableWriter({ maxEntries: maxRules, wordsPerSlot: 8, forgetting });
    this.#reader = new TableReader(this.table.buffers);
  }

  get shapes(): RuleShapesBuffers {
    return this.#shapes.buffers;
  }

  /** Shapes in use: each costs a request a look-up. */
  get shapeCount(): number {
    return this.#shapes.size;
  }

  /** @param endSeconds epoch seconds until which it is kept */
  put(record: RuleRecord, endSeconds: number, restored: boolean): RuleOutcome {
    const { rule } = record;
    if (!this.#tombstones.admits(rule)) return 'lifted';
    // The shape first: a rule that is in the table without anybody looking for it would be none.
    if (this.#shapes.add(rule) !== undefined) return 'too many shapes';
    const name = nameOfRule(rule);
    const prints = this.#fingerprinter.of([name]);
    const outcome = this.table.put(prints, 0, endSeconds, restored, rule.issuedBeforeMs);
    if (outcome === 'added' || outcome === 'changed') {
      const known = this.#rules.get(name)?.rule;
      if (known === undefined) this.#countShape(rule, 1);
      const issuedBeforeMs = Math.max(known?.issuedBeforeMs ?? 0, rule.issuedBeforeMs);
      const endsAtMs = Math.max(known?.endsAtMs ?? 0, endSeconds * 1000);
      this.#rules.set(name, { ...record, rule: { ...rule, issuedBeforeMs, endsAtMs } });
    }
    return outcome;
  }

  /** False when it is no news, or there is no room for it: then the rule stays. */
  lift(record: LiftRecord): boolean {
    const { lift } = record;
    if (this.#tombstones.add(lift) !== 'added') return false;
    const name = nameOfRule(lift);
    this.#lifts.set(name, record);
    if (this.cutoffOf(lift) <= lift.issuedBeforeMs) {
      this.table.remove(this.#fingerprinter.of([name]), 0);
      // What nobody has a rule of any more must not deny tokens of which it cannot be said whether a rule matches them.
      if (this.#rules.delete(name) && this.#countShape(lift, -1) === 0) this.#shapes.drop(lift);
    }
    return true;
  }

  /** Latest cut-off that is in force for a rule's name, epoch milliseconds; negative where there is none. */
  cutoffOf(rule: Pick<Rule, 'issuer' | 'claims'>): number {
    return this.#reader.latestCutoff(this.#fingerprinter.of([nameOfRule(rule)]), 0);
  }

  /** Reads the table from where it was rewritten to. */
  replaced(): void {
    this.#reader.replace(this.table.buffers);
  }

  /**
   * Forgets what has left the table, and lifts that have ended before `goneMs`, epoch milliseconds.
   * @param restoredExtraMs milliseconds that rules from the disk stay longer
   */
  expire(goneMs: number, restoredExtraMs: number): void {
    this.#tombstones.expire(goneMs);
    this.#shapes.expire(goneMs - restoredExtraMs);
    for (const [name, { lift }] of this.#lifts)
      if (lift.endsAtMs <= goneMs) this.#lifts.delete(name);
    for (const [name, { rule }] of this.#rules)
      if (rule.endsAtMs <= goneMs && this.cutoffOf(rule) < 0 && this.#rules.delete(name))
        this.#countShape(rule, -1);
  }

  /** @returns how many rules in force have this one's shape, `change` included */
  #countShape(rule: Pick<Rule, 'issuer' | 'claims'>, change: 1 | -1): number {
    const shape = JSON.stringify(shapeOf(rule));
    const count = (this.#shapeCounts.get(shape) ?? 0) + change;
    if (count > 0) this.#shapeCounts.set(shape, count);
    else this.#shapeCounts.delete(shape);
    return count;
  }

  /** All of it, to be written again. */
  *records(): Generator<RuleRecord | LiftRecord> {
    yield* this.#rules.values();
    yield* this.#lifts.values();
  }
}

/** What is known of a lift that came from a source or the journal alone. */
export function bareLift(lift: Lift, source: string): LiftRecord {
  return { kind: 'lift', lift, source, atMs: 0, by: source, reason: '' };
}
