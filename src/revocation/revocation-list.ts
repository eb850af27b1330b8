import type { Clock } from './clock.ts';
import { FINGERPRINT_WORDS, Fingerprinter } from './fingerprint.ts';
import type { RevocationTarget } from './follow.ts';
import type { Journal, JournalTarget } from './journal/journal.ts';
import type { Known, RuleRecord } from './journal/record.ts';
import type { Revocation } from './revocation.ts';
import type { Lift, Rule } from './rule.ts';
import { type LiftOutcome, RuleList, type RuleOutcome } from './rule-list.ts';
import type { RuleShapesBuffers } from './rule-shapes.ts';
import { SharedState, type SharedStateBuffers } from './shared-state.ts';
import type { TableBuffers } from './table/table-layout.ts';
import type { PutResult } from './table/table-store.ts';
import { TableWriter } from './table/table-writer.ts';
import { classOfKey } from './token-key.ts';

/** Ends are rounded up to whole steps of this many seconds, so that a store that says "an hour from now" at every reading is not news each time. */
const END_STEP_S = 64;
/** Entries that were read from disk at start stay this much longer: the clock may have been wrong then. */
const RESTORED_EXTRA_S = 86_400;
/** Buckets looked at per step of the clean-up: well below a millisecond. */
const SWEEP_BUCKETS = 2_000;
/** First letters of all names of tokens (token-key.ts). */
const CLASS_LETTERS = ['i', 'I', 's', 'S', 'n', 'N'] as const;
/** What counts as the source of entries that came from the journal, and of those that a token prolonged. */
export const JOURNAL = 'journal';
const PROLONGED = 'token';
/** Rules kept, of the configured number of entries. */
const RULES_SHARE = 0.05;
const MIN_RULES = 10_000;

/** Why something found no room, and what helps. */
const FULL = 'the list is full: raise tokenRevocationConfig.maxEntries';
const TOO_MANY_SHAPES =
  'rules name too many different sets of claims: let its `rules` leave out claims';

/** What several outcomes come to: the one that is the greatest news. */
const NEWS: Readonly<Record<PutResult, number>> = { same: 0, changed: 1, added: 2, full: 3 };

/** Everything a data-plane thread reads the list with; a copy of it crosses to the threads. */
export interface SharedList extends Tables {
  readonly state: SharedStateBuffers;
  readonly shapes: RuleShapesBuffers;
  /** What fingerprints are keyed with. */
  readonly secret: Uint8Array;
}

export interface RevocationListOptions {
  readonly clock: Clock;
  readonly secret: Uint8Array;
  /** Milliseconds kept beyond the end: clock skew that the token check allows, and more. */
  readonly marginMs: number;
  readonly maxEntries: number;
  /** Absent: nothing is kept on disk. */
  readonly journal?: Journal;
  /** An entry found no room: whoever named it is not known completely any more. */
  readonly onFull: (source: string, why: string) => void;
}

/** The two tables: entries of single tokens, and rules. */
export interface Tables {
  readonly tokens: TableBuffers;
  readonly rules: TableBuffers;
}

/** Who made or took back a rule, and why. */
export interface Author {
  readonly by: string;
  readonly reason: string;
}

/**
 * Everything this gateway knows to be revoked: the only writer of the tables that every thread reads. It only ever grows by what sources
 * say; entries leave by their own clock alone, never early (invariant 2), or when an operator lifts a rule.
 */
export class RevocationList implements RevocationTarget {
  readonly state = new SharedState();
  readonly #options: RevocationListOptions;
  readonly #fingerprinter: Fingerprinter;
  readonly #tokens: TableWriter;
  readonly #rules: RuleList;
  /** Something came from the journal: which classes its names are of is not written there. */
  #restored = false;

  constructor(options: RevocationListOptions) {
    const { maxEntries } = options;
    this.#options = options;
    this.#fingerprinter = new Fingerprinter(options.secret);
    const forgetting = (endSeconds: number): void => this.#forgetUntil(endSeconds * 1000);
    this.#tokens = new TableWriter({ maxEntries, wordsPerSlot: 4, forgetting });
    const maxRules = Math.max(MIN_RULES, Math.floor(maxEntries * RULES_SHARE));
    this.#rules = new RuleList(this.#fingerprinter, maxRules, forgetting);
  }

  get shared(): SharedList {
    return {
      state: this.state.buffers,
      tokens: this.#tokens.buffers,
      rules: this.#rules.table.buffers,
      shapes: this.#rules.shapes,
      secret: this.#options.secret,
    };
  }

  /** Names of tokens in the list, expired ones that still wait for the clean-up included. */
  get size(): number {
    return this.#tokens.size;
  }

  get rulesSize(): number {
    return this.#rules.table.size;
  }

  /** Shapes of rules in use: each costs a request a look-up. */
  get shapes(): number {
    return this.#rules.shapeCount;
  }

  /** Bytes of memory that both tables take. */
  get residentBytes(): number {
    return this.#tokens.residentBytes + this.#rules.table.residentBytes;
  }

  /** Whether so many entries have left that memory can be given back. */
  get shrinkable(): boolean {
    return this.#tokens.shrinkable || this.#rules.table.shrinkable;
  }

  /** Rewrites the tables into less memory, in small steps. `replaced` resolves when every reader reads the new ones. */
  async shrink(replaced: (tables: Tables) => Promise<void>): Promise<void> {
    for (const which of ['tokens', 'rules'] as const) {
      const table = which === 'tokens' ? this.#tokens : this.#rules.table;
      if (!table.shrinkable) continue;
      await table.shrink({
        replaced: async () => {
          this.#rules.replaced();
          await replaced({ tokens: this.#tokens.buffers, rules: this.#rules.table.buffers });
          this.state.changed();
        },
      });
    }
  }

  /** `full`: a name of it found no room. Otherwise what is new about any of its names. */
  addToken(revocation: Revocation, source: string): PutResult {
    const { clock, journal, onFull } = this.#options;
    const prints = this.#fingerprinter.of(revocation.keys);
    const end = endSeconds(revocation.endsAtMs);
    let result: PutResult = 'same';
    for (const [i, key] of revocation.keys.entries()) {
      const at = i * FINGERPRINT_WORDS;
      this.state.markClass(classOfKey(key));
      const outcome = this.#put(prints, at, end, false);
      if (NEWS[outcome] > NEWS[result]) result = outcome;
      if (outcome !== 'added' && outcome !== 'changed') continue;
      journal?.token(prints, at, end, source, clock.latest());
    }
    if (result === 'full') onFull(source, FULL);
    return result;
  }

  /** When the last name of a revocation that was added may be forgotten, epoch milliseconds: at its own end, or at a later one that was known. */
  heldUntil({ keys, endsAtMs }: Revocation): number {
    const prints = this.#fingerprinter.of(keys);
    const ends = keys.map((_, i) => this.#tokens.endOf(prints, i * FINGERPRINT_WORDS));
    const latest = Math.max(...ends);
    // All ends are rounded up: its own is no later one for that.
    return latest > endSeconds(endsAtMs) ? latest * 1000 : endsAtMs;
  }

  /** The latest cut-off counts; one that was lifted has no effect. */
  addRule(rule: Rule, source: string, author?: Author): RuleOutcome {
    const learntAtMs = this.#options.clock.latest();
    const outcome = this.#addRule({ kind: 'rule', rule, source, learntAtMs, ...author });
    if (outcome === 'lifted' && this.#rules.renewLift(rule)) this.#keepLift(rule);
    return outcome;
  }

  #addRule(record: RuleRecord): RuleOutcome {
    const outcome = this.#putRule(record, false);
    if (outcome === 'full') this.#options.onFull(record.source, FULL);
    if (outcome === 'too many shapes') this.#options.onFull(record.source, TOO_MANY_SHAPES);
    if (outcome !== 'added' && outcome !== 'changed') return outcome;
    const known = this.#rules.recordOf(record.rule);
    if (known !== undefined)
      this.#options.journal?.rule(
        known.rule,
        known.source,
        known.learntAtMs,
        known.by,
        known.reason,
      );
    return outcome;
  }

  /** What counts of a rule by all that was heard of it and not lifted. */
  ruleOf(rule: Pick<Rule, 'issuer' | 'claims'>): Rule | undefined {
    return this.#rules.recordOf(rule)?.rule;
  }

  /** Takes a rule back, here and for every later reading of the same cut-off or an older one. */
  addLift(lift: Lift, source: string, author: Author = { by: source, reason: '' }): LiftOutcome {
    const atMs = this.#options.clock.latest();
    const outcome = this.#rules.lift({ kind: 'lift', lift, source, atMs, ...author });
    if (outcome !== 'added') return outcome;
    this.state.changed();
    this.#keepLift(lift);
    return outcome;
  }

  #keepLift(rule: Pick<Rule, 'issuer' | 'claims'>): void {
    const known = this.#rules.liftOf(rule);
    if (known === undefined) return;
    const { lift, source, atMs, by, reason } = known;
    this.#options.journal?.lift(lift, source, atMs, by, reason);
  }

  /** Resolves when everything added so far is on disk; rejects while the disk fails. */
  async durable(): Promise<void> {
    await this.#options.journal?.durable();
  }

  /** Keeps an entry at least until its token ends: what a source said of that token's life was hearsay, the token itself is not. */
  prolong(prints: Uint32Array, at: number, endsAtMs: number): void {
    const { clock, journal } = this.#options;
    const end = endSeconds(endsAtMs);
    const outcome = this.#put(prints, at, end, false);
    if (outcome !== 'added' && outcome !== 'changed') return;
    journal?.token(prints, at, end, PROLONGED, clock.latest());
  }

  fingerprintsOf(names: readonly string[]): Uint32Array {
    return this.#fingerprinter.of(names);
  }

  /** Takes in what the journal has. What it kept is written down already and is not written again. */
  get restoring(): JournalTarget {
    return {
      expect: (tokens) => this.#tokens.expect(Math.min(tokens, this.#options.maxEntries)),
      token: (prints, at, end) => {
        if (!this.#restored) this.#markAllClasses();
        if (this.#put(prints, at, end, true) === 'full') this.#options.onFull(JOURNAL, FULL);
      },
      rule: (record) => {
        if (record.rule.endsAtMs <= this.#goneMs() - RESTORED_EXTRA_S * 1000) {
          this.#forgetUntil(record.rule.endsAtMs);
          this.#rules.remember(record);
          return;
        }
        const outcome = this.#putRule(record, true);
        if (outcome === 'full') this.#options.onFull(JOURNAL, FULL);
        if (outcome === 'too many shapes') this.#options.onFull(JOURNAL, TOO_MANY_SHAPES);
      },
      lift: (record) => {
        if (this.#rules.lift(record) === 'added') this.state.changed();
      },
      forgottenUntil: (endMs) => {
        this.state.forgottenUntilMs = Math.max(this.state.forgottenUntilMs, endMs);
      },
    };
  }

  /** Removes a step's worth of entries whose end has passed; goes round for ever. Call it from a timer. */
  sweep(): void {
    const gone = Math.floor(this.#goneMs() / 1000);
    for (const table of [this.#tokens, this.#rules.table])
      table.sweep(gone, gone - RESTORED_EXTRA_S, SWEEP_BUCKETS);
  }

  /** Lets cut-offs count whose time has come, and forgets rules and lifts that have ended; looks at all of them. Call it from a timer. */
  expireRules(): void {
    for (const record of this.#rules.due(this.#options.clock.latest())) this.#addRule(record);
    this.#rules.expire(this.#goneMs(), RESTORED_EXTRA_S * 1000);
  }

  /** What ended before has left, or may leave; epoch milliseconds. */
  #goneMs(): number {
    const { clock, marginMs } = this.#options;
    return clock.earliest() - marginMs;
  }

  /** All that is in it, to be written again. It may go on changing meanwhile. */
  *everything(): Generator<Known> {
    const fingerprints = new Uint32Array(FINGERPRINT_WORDS);
    for (const { fingerprint, endSeconds } of this.#tokens.entries()) {
      fingerprints.set(fingerprint);
      yield { kind: 'token', fingerprints, at: 0, endSeconds };
    }
    yield* this.#rules.records();
  }

  /** Every change of what is denied goes through here or one of the next two: readers are told once they find it. */
  #put(prints: Uint32Array, at: number, end: number, restored: boolean): PutResult {
    const outcome = this.#tokens.put(prints, at, end, restored);
    // Of a table that is full some reader may see it.
    if (outcome !== 'same') this.state.changed();
    return outcome;
  }

  #putRule(record: RuleRecord, restored: boolean): RuleOutcome {
    const outcome = this.#rules.put(record, endSeconds(record.rule.endsAtMs), restored);
    if (outcome !== 'same') this.state.changed();
    return outcome;
  }

  /** From now on every class is looked for. */
  #markAllClasses(): void {
    this.#restored = true;
    for (const letter of CLASS_LETTERS) this.state.markClass(letter.charCodeAt(0));
  }

  /**
   * Said to every thread before an entry leaves: nobody can see it gone and not know yet. The next start need not know it: the journal still has
   * the entry, or says itself what it left out. So a clock that was ahead is forgotten with the process that believed it.
   */
  #forgetUntil(endMs: number): void {
    this.state.forgottenUntilMs = Math.max(this.state.forgottenUntilMs, endMs);
  }
}

function endSeconds(endsAtMs: number): number {
  return Math.ceil(endsAtMs / 1000 / END_STEP_S) * END_STEP_S;
}
