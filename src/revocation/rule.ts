import type { FarCutoff } from './far-cutoff.ts';

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
  /** What was said and lay too far in the future to be taken so; absent: nothing. Of a rule just parsed it is its own cut-off. */
  readonly far?: readonly FarCutoff[];
}

/** A rule taken back by an operator: whatever names the same tokens with this cut-off or an older one has no effect any more. */
export interface Lift {
  readonly issuer: string | null;
  readonly claims: Rule['claims'];
  /** Cut-off of the rule that is lifted, epoch milliseconds. */
  readonly issuedBeforeMs: number;
  /** Until when the tombstone is kept, epoch milliseconds. */
  readonly endsAtMs: number;
  /** Cut-offs too far in the future to be taken so that are lifted with it, as sources said them; epoch milliseconds. Absent: none. */
  readonly said?: readonly number[];
  /** Of a lift just parsed: its own cut-off was said further in the future, and is the first of `said`. */
  readonly clamped?: true;
}

/** What a rule is about, without its times: two rules with one name are one rule, and the later cut-off counts. */
export function nameOfRule({ issuer, claims }: Pick<Rule, 'issuer' | 'claims'>): string {
  return `r${JSON.stringify([issuer, claims])}`;
}
