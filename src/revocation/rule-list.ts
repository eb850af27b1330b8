import { combineFar, combineSaid, farMember, lastLifted, saidMember } from './far-cutoff.ts';
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

  /**
   * The rule as it counts: one whose cut-off lies too far in the future and was said before has the cut-off that was taken then. Undefined:
   * it is no news. As long as a source goes on saying it, the rule is kept, and with it what is remembered of it.
   */
  asFirstHeard(rule: Rule): Rule | undefined {
    const [said] = rule.far?.[0] ?? [];
    // One that was lifted keeps nothing: `put` says what became of it.
    if (said === undefined || !this.#tombstones.admits(rule)) return rule;
    const known = this.#rules.get(nameOfRule(rule))?.rule;
    const before = known?.far?.find(([each]) => each === said);
    if (known === undefined || before === undefined) return rule;
    // Not at every reading: each time is one more record in the journal.
    const lastsMs = rule.endsAtMs - rule.issuedBeforeMs;
    if (known.endsAtMs >= rule.endsAtMs - lastsMs / 2) return undefined;
    return { ...rule, issuedBeforeMs: before[1], far: [before] };
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
    if (outcome === 'full') return outcome;
    const before = this.#rules.get(name);
    const known = before?.rule;
    const issuedBeforeMs = Math.max(known?.issuedBeforeMs ?? 0, rule.issuedBeforeMs);
    const far = combineFar(known?.far, rule.far, issuedBeforeMs);
    // Two far cut-offs may be heard in one millisecond.
    const isFirst = far.some(([said]) => known?.far?.every(([each]) => each !== said) ?? true);
    if (outcome === 'same' && !isFirst) return outcome;
    if (known === undefined) this.#countShape(rule, 1);
    const endsAtMs = Math.max(known?.endsAtMs ?? 0, endSeconds * 1000);
    const { issuer, claims } = rule;
    const merged: Rule = { issuer, claims, issuedBeforeMs, endsAtMs, ...farMember(far) };
    // The later cut-off brings its story along.
    const isLater = before === undefined || rule.issuedBeforeMs >= before.rule.issuedBeforeMs;
    this.#rules.set(name, { ...(isLater ? record : before), rule: merged });
    return outcome === 'same' ? 'changed' : outcome;
  }

  /** The lift with all that it takes back here. Undefined when it is no news, or there is no room for it: then the rule stays. */
  lift(record: LiftRecord): Lift | undefined {
    if (this.#wasClamped(record.lift)) return undefined;
    const lift = this.#whole(record.lift);
    if (this.#tombstones.add(lift) !== 'added') return undefined;
    const name = nameOfRule(lift);
    this.#lifts.set(name, { ...record, lift: this.#tombstones.of(lift) ?? lift });
    if (this.cutoffOf(lift) <= lift.issuedBeforeMs) {
      this.table.remove(this.#fingerprinter.of([name]), 0);
      // What nobody has a rule of any more must not deny tokens of which it cannot be said whether a rule matches them.
      if (this.#rules.delete(name) && this.#countShape(lift, -1) === 0) this.#shapes.drop(lift);
    }
    return lift;
  }

  /** A lift whose cut-off lies too far in the future is brought near once, and not at every reading: it would undo what is revoked meanwhile. */
  #wasClamped({ clamped, said = [], ...name }: Lift): boolean {
    const [own] = said;
    const known = this.#tombstones.of(name)?.said;
    return clamped === true && own !== undefined && known?.includes(own) === true;
  }

  /**
   * A lift of another gateway names what was said; what was taken in its place there and here differs by when each heard it. And what goes
   * with the rule that is lifted is not to come back with the next reading either.
   */
  #whole({ issuer, claims, issuedBeforeMs: cutoffMs, endsAtMs, said = [] }: Lift): Lift {
    const far = this.#rules.get(nameOfRule({ issuer, claims }))?.rule.far ?? [];
    const named = far.filter(([each]) => said.includes(each)).map(([, taken]) => taken);
    const issuedBeforeMs = Math.max(cutoffMs, ...named);
    const gone = far.filter(([, taken]) => taken <= issuedBeforeMs).map(([each]) => each);
    const all = combineSaid(said, gone, issuedBeforeMs);
    const more = lastLifted(issuedBeforeMs, all) - lastLifted(cutoffMs, said);
    return {
      issuer,
      claims,
      issuedBeforeMs,
      endsAtMs: endsAtMs + Math.max(0, more),
      ...saidMember(all),
    };
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
