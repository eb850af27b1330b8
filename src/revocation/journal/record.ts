import { combineHeard, combineSaid, heardOf, ruleOf, saidMember } from '../heard-cutoffs.ts';
import type { Lift, Rule } from '../rule.ts';

/** What the journal knows of one revoked token. There is no token text in it, and no id. */
export interface TokenRecord {
  readonly kind: 'token';
  /** 96 bits as 24 hexadecimal digits. */
  readonly fingerprint: string;
  /** End of the token's life, epoch seconds. */
  readonly endSeconds: number;
  /** Source that said so first; empty where that is not known any more. */
  readonly source: string;
  /** Epoch milliseconds; 0 where that is not known any more. */
  readonly learntAtMs: number;
}

export interface RuleRecord {
  readonly kind: 'rule';
  readonly rule: Rule;
  readonly source: string;
  /** Epoch milliseconds; 0 where that is not known any more. */
  readonly learntAtMs: number;
  /** Which operator made it, where one did. */
  readonly by?: string;
  readonly reason?: string;
}

export interface LiftRecord {
  readonly kind: 'lift';
  readonly lift: Lift;
  readonly source: string;
  /** Epoch milliseconds; 0 where that is not known any more. */
  readonly atMs: number;
  readonly by: string;
  readonly reason: string;
}

/** Something the list holds, to be written once more: a token by the fingerprint that `fingerprints` holds from word `at` on. */
export type Known =
  | {
      readonly kind: 'token';
      readonly fingerprints: Uint32Array;
      readonly at: number;
      /** Epoch seconds. */
      readonly endSeconds: number;
    }
  | RuleRecord
  | LiftRecord;

/** Text of a fingerprint: 24 hexadecimal digits, in the order in which a snapshot is sorted. */
export function fingerprintText(words: Uint32Array, at: number): string {
  let text = '';
  for (let i = at; i < at + 3; i++) text += (words[i] ?? 0).toString(16).padStart(8, '0');
  return text;
}

/** Three words of such a text; undefined if it is none. */
export function fingerprintWords(text: string): Uint32Array | undefined {
  if (!/^[0-9a-f]{24}$/.test(text)) return undefined;
  return Uint32Array.from([0, 8, 16], (from) => Number.parseInt(text.slice(from, from + 8), 16));
}

/** Order of a snapshot: by words, each as an unsigned number. */
export function compareFingerprints(
  left: Uint32Array,
  leftAt: number,
  right: Uint32Array,
  rightAt: number,
): number {
  for (let i = 0; i < 3; i++) {
    const difference = (left[leftAt + i] ?? 0) - (right[rightAt + i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Two records of one token: its later end counts, and who said it first. Neither order nor merges change the outcome. */
export function combineTokens(one: TokenRecord, other: TokenRecord): TokenRecord {
  const first = heardFirst(one.learntAtMs, one.source, other.learntAtMs, other.source)
    ? one
    : other;
  return { ...first, endSeconds: Math.max(one.endSeconds, other.endSeconds) };
}

/** Whether the first of two was heard before the other; a time of 0 is unknown and comes last. */
export function heardFirst(
  oneMs: number,
  oneSource: string,
  otherMs: number,
  otherSource: string,
): boolean {
  if (oneMs === otherMs) return oneSource >= otherSource;
  return otherMs === 0 || (oneMs !== 0 && oneMs < otherMs);
}

/** Two records of one rule: the later cut-off counts and brings its story along, the others are remembered; the later end counts. */
export function combineRules(one: RuleRecord, other: RuleRecord): RuleRecord {
  const cutoffs = one.rule.issuedBeforeMs - other.rule.issuedBeforeMs;
  const first =
    cutoffs === 0
      ? heardFirst(one.learntAtMs, one.source, other.learntAtMs, other.source)
      : cutoffs > 0;
  const kept = first ? one : other;
  const endsAtMs = Math.max(one.rule.endsAtMs, other.rule.endsAtMs);
  const heard = combineHeard(heardOf(one.rule), heardOf(other.rule));
  return { ...kept, rule: ruleOf(kept.rule, heard, endsAtMs) };
}

/** The same for what was lifted. */
export function combineLifts(one: LiftRecord, other: LiftRecord): LiftRecord {
  const cutoffs = one.lift.issuedBeforeMs - other.lift.issuedBeforeMs;
  const first =
    cutoffs === 0 ? heardFirst(one.atMs, one.source, other.atMs, other.source) : cutoffs > 0;
  const kept = first ? one : other;
  const { issuer, claims, issuedBeforeMs } = kept.lift;
  const endsAtMs = Math.max(one.lift.endsAtMs, other.lift.endsAtMs);
  const said = saidMember(combineSaid(one.lift.said, other.lift.said, issuedBeforeMs));
  return { ...kept, lift: { issuer, claims, issuedBeforeMs, endsAtMs, ...said } };
}
