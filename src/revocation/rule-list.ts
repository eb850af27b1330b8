import type { Fingerprinter } from './fingerprint.ts';
import {
  combineHeard,
  comeDue,
  heardOf,
  type HeardCutoff,
  isFar,
  REMEMBERED_MS,
  rememberedUntil,
  ruleOf,
} from './heard-cutoffs.ts';
import { combineLifts, type LiftRecord, type RuleRecord } from './journal/record.ts';
import { nameOfRule, type Rule } from './rule.ts';
import { type RuleShapesBuffers, RuleShapesWriter, shapeOf } from './rule-shapes.ts';
import { TableReader } from './table/table-reader.ts';
import type { PutResult } from './table/table-store.ts';
import { TableWriter } from './table/table-writer.ts';
import { Tombstones } from './tombstones.ts';

/** What became of a rule: `lifted`, as an operator took it back; `too many shapes`, as rules name too many different sets of claims. */
export type RuleOutcome = PutResult | 'lifted' | 'too many shapes';

/** What became of a lift: `same`, it is no news; `full`, there is no room for it, and the rule stays. */
export type LiftOutcome = 'added' | 'same' | 'full';

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
  /** Rules that have ended and left the table: what was said of the future, a source may say again. As many as there may be rules. */
  readonly #remembered = new Map<string, RuleRecord>();
  readonly #maxRules: number;
  /** How many of `#rules` have each shape, by its JSON. */
  readonly #shapeCounts = new Map<string, number>();

  constructor(
    fingerprinter: Fingerprinter,
    maxRules: number,
    forgetting: (endSeconds: number) => void,
  ) {
    this.#fingerprinter = fingerprinter;
    this.#maxRules = maxRules;
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
   * @param endSeconds epoch seconds until which it is kept
   * @param restored it comes from the disk, as it was taken before
   */
  put(record: RuleRecord, endSeconds: number, restored: boolean): RuleOutcome {
    const { rule } = record;
    const name = nameOfRule(rule);
    const admitted = this.#tombstones.left(rule);
    if (admitted === undefined) return 'lifted';
    // The shape first: a rule that is in the table without anybody looking for it would be none.
    if (this.#shapes.add(rule) !== undefined) return 'too many shapes';
    const before = this.#known(name);
    const known = before === undefined ? [] : heardOf(before.rule);
    const said = restored ? heardOf(admitted) : asFirstHeard(heardOf(admitted), known);
    const heard = combineHeard(known, said);
    const ends = endsOf(rule, before?.rule, endSeconds);
    const merged = ruleOf(rule, heard, Math.max(before?.rule.endsAtMs ?? 0, ends * 1000));
    const prints = this.#fingerprinter.of([name]);
    const outcome = this.table.put(prints, 0, ends, restored, merged.issuedBeforeMs);
    if (outcome === 'full') return outcome;
    const isNews = JSON.stringify(heard) !== JSON.stringify(known);
    if (outcome === 'same' && !isNews) return outcome;
    if (!this.#rules.has(name)) this.#countShape(rule, 1);
    this.#remembered.delete(name);
    // The later cut-off brings its story along.
    const isLater = merged.issuedBeforeMs > (before?.rule.issuedBeforeMs ?? -1);
    this.#rules.set(name, { ...(isLater ? record : (before ?? record)), rule: merged });
    return outcome === 'same' ? 'changed' : outcome;
  }

  /** Takes in a rule of the disk that has ended, and has not to be looked for, for what is still to be known of it. */
  remember(record: RuleRecord): void {
    const name = nameOfRule(record.rule);
    const rule = this.#tombstones.left(record.rule);
    if (rule === undefined || this.#rules.has(name)) return;
    if (this.#remembered.size < this.#maxRules) this.#remembered.set(name, { ...record, rule });
  }

  /** What is known of a rule: all that was heard, lifts taken off. */
  recordOf(rule: Pick<Rule, 'issuer' | 'claims'>): RuleRecord | undefined {
    return this.#known(nameOfRule(rule));
  }

  /** What is known of the lifts of a rule. */
  liftOf(rule: Pick<Rule, 'issuer' | 'claims'>): LiftRecord | undefined {
    return this.#lifts.get(nameOfRule(rule));
  }

  /** Takes back of a rule what the lift names, now and whenever it is heard again. What else was heard of the rule stays. */
  lift(record: LiftRecord): LiftOutcome {
    const name = nameOfRule(record.lift);
    const known = this.#known(name);
    // It has to outlast the rule that it takes back, also on the disk.
    const rememberedMs = known === undefined ? 0 : rememberedUntil(known.rule);
    const endsAtMs = Math.max(record.lift.endsAtMs, rememberedMs);
    const outcome = this.#tombstones.add({ ...record.lift, endsAtMs });
    if (outcome !== 'added') return outcome;
    const before = this.#lifts.get(name);
    const story = before === undefined ? record : combineLifts(before, record);
    const lift = this.#tombstones.of(record.lift) ?? story.lift;
    this.#lifts.set(name, { ...story, lift });
    if (known !== undefined) this.#takeBack(name, known, this.#tombstones.left(known.rule));
    return outcome;
  }

  #takeBack(name: string, known: RuleRecord, left: Rule | undefined): void {
    if (left === known.rule) return;
    const prints = this.#fingerprinter.of([name]);
    if (left !== undefined) {
      const kept = this.#rules.has(name) ? this.#rules : this.#remembered;
      kept.set(name, { ...known, rule: left });
      // Without room for it the table goes on denying more, until the rule ends.
      this.table.lower(prints, 0, left.issuedBeforeMs);
      return;
    }
    this.#remembered.delete(name);
    this.table.remove(prints, 0);
    // What nobody has a rule of any more must not deny tokens of which it cannot be said whether a rule matches them.
    if (this.#rules.delete(name) && this.#countShape(known.rule, -1) === 0)
      this.#shapes.drop(known.rule);
  }

  /** Prolongs the lift of a rule that a source still says, so that it lasts as long as that. @returns whether it did */
  renewLift({ issuer, claims, endsAtMs }: Rule): boolean {
    const name = nameOfRule({ issuer, claims });
    const record = this.#lifts.get(name);
    if (record?.lift.said === undefined) return false;
    const lift = { ...record.lift, endsAtMs: endsAtMs + REMEMBERED_MS };
    if (this.#tombstones.add(lift) !== 'added') return false;
    this.#lifts.set(name, { ...record, lift });
    return true;
  }

  /** Rules of which a cut-off's time has come, to be put. `nowMs` is epoch milliseconds. */
  due(nowMs: number): readonly RuleRecord[] {
    const due: RuleRecord[] = [];
    for (const records of [this.#rules, this.#remembered])
      for (const record of records.values()) {
        const rule = comeDue(record.rule, nowMs);
        if (rule !== undefined) due.push({ ...record, rule });
      }
    return due;
  }

  #known(name: string): RuleRecord | undefined {
    return this.#rules.get(name) ?? this.#remembered.get(name);
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
    for (const [name, { rule }] of this.#remembered)
      if (rememberedUntil(rule) <= goneMs) this.#remembered.delete(name);
    for (const [name, record] of this.#rules) {
      const { rule } = record;
      if (rule.endsAtMs > goneMs || this.cutoffOf(rule) >= 0) continue;
      this.#rules.delete(name);
      this.#countShape(rule, -1);
      if (rememberedUntil(rule) > goneMs) this.remember(record);
    }
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
    yield* this.#remembered.values();
    yield* this.#lifts.values();
  }
}

/** One whose time has not come counts as it did when it was first heard. */
function asFirstHeard(
  said: readonly HeardCutoff[],
  known: readonly HeardCutoff[],
): readonly HeardCutoff[] {
  return said.map((each) => {
    const before = known.find(({ saidMs }) => saidMs !== undefined && saidMs === each.saidMs);
    if (before === undefined || !isFar(each)) return each;
    const endsAtMs = Math.max(before.endsAtMs ?? 0, each.endsAtMs ?? 0);
    return isFar(before) ? { ...before, endsAtMs } : before;
  });
}

/**
 * Epoch seconds until which a rule is kept. An end that nobody named is later at each reading of a cut-off of the future. Every token that it
 * denies is dead at the first of these ends; a later one counts when it is later by half, as each time is one more record in the journal.
 */
function endsOf(rule: Rule, known: Rule | undefined, endSeconds: number): number {
  const [said] = heardOf(rule);
  const before = known?.heard?.find(
    ({ saidMs }) => saidMs !== undefined && saidMs === said?.saidMs,
  );
  if (rule.endsFromNow !== true || known === undefined || before === undefined) return endSeconds;
  const lastsMs = rule.endsAtMs - rule.issuedBeforeMs;
  const enoughMs = Math.max(before.takenMs + lastsMs, rule.endsAtMs - lastsMs / 2);
  return known.endsAtMs >= enoughMs ? known.endsAtMs / 1000 : endSeconds;
}
