import type { HeardCutoff } from './heard-cutoffs.ts';

/**
 * What kinds of rules a source may make (`rules` of its configuration). `claims` is any conjunction of claims that none of the others
 * names; `lift` takes a rule back.
 */
export type RuleKind = 'subject' | 'session' | 'client' | 'issuer' | 'claims' | 'lift';

/**
 * A revocation of all tokens that match and were issued no later than the cut-off. What is checked already: names and values are not
 * empty, names are sorted and there is one value each, times are finite and clamped.
 */
export interface Rule {
  /** `iss` that it holds for; null: every issuer's tokens. */
  readonly issuer: string | null;
  /**
   * Claim names and the value each must have (an array claim: as a member), sorted by name. Empty: all tokens of the issuer. The name
   * `client` stands for `client_id`, `azp` and the configured consumer key claim: any of them may have the value.
   */
  readonly claims: readonly (readonly [name: string, value: string])[];
  /** Cut-off, epoch milliseconds: a token with `iat` up to and with it is denied, and one without a usable `iat`. */
  readonly issuedBeforeMs: number;
  /** Epoch milliseconds; no token that it denies lives longer. */
  readonly endsAtMs: number;
  /** The cut-offs that it was said with, of which the latest counts. Absent: that one alone, and it was said as it counts. */
  readonly heard?: readonly HeardCutoff[];
  /** Of a rule just parsed: its cut-off lies in the future, and its end is counted from now as nobody named one. So it is later at each reading. */
  readonly endsFromNow?: true;
}

/** A rule taken back by an operator: whatever names the same tokens with this cut-off or an older one has no effect any more. */
export interface Lift {
  readonly issuer: string | null;
  readonly claims: Rule['claims'];
  /** Latest cut-off that is lifted, with all before it; epoch milliseconds. Long past where only those of `said` are. */
  readonly issuedBeforeMs: number;
  /** Until when the tombstone is kept, epoch milliseconds. */
  readonly endsAtMs: number;
  /** Later cut-offs that are lifted too, each by itself, as sources said them; epoch milliseconds. Absent: none. */
  readonly said?: readonly number[];
}

/** What a rule is about, without its times: two rules with one name are one rule, and the later cut-off counts. */
export function nameOfRule({ issuer, claims }: Pick<Rule, 'issuer' | 'claims'>): string {
  return `r${JSON.stringify([issuer, claims])}`;
}
