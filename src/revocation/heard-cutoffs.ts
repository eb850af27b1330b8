import type { Lift, Rule } from './rule.ts';

/**
 * A cut-off as it was said, and what counts in its place. Epoch milliseconds.
 *
 * A store says the same cut-off at every reading. One that lies further in the future than clocks differ is brought near when it is first
 * heard: if each reading brought it near anew, it would move along with the clock, deny every new login and undo every lift. Once its time has
 * come it counts as it stands.
 *
 * A rule keeps what it was said with cut-off by cut-off, and not only the latest: a lift that comes afterwards may take back that one and leave
 * the others. So it makes no difference in which order rules and lifts are heard: what counts is the latest of those that no lift names.
 */
export interface HeardCutoff {
  /** Absent: this stands for several for which there was no room, and which no lift can name. */
  readonly saidMs?: number;
  /** `saidMs`, or less if that was too far in the future when it was first heard. */
  readonly takenMs: number;
  /** Only while it is less: the end of its rule once its time has come. */
  readonly endsAtMs?: number;
}

/** Cut-offs remembered one by one for a rule, and for a lift. What does not fit denies more, never less. */
export const MAX_HEARD = 16;
export const MAX_LIFTED = 64;

/** How long what was said of the future, or was lifted of it, is remembered when nobody says it again: beyond the end of its rule. */
export const REMEMBERED_MS = 30 * 86_400_000;

type Scope = Pick<Rule, 'issuer' | 'claims'>;

/** The cut-offs that a rule was said with; at least one. */
export function heardOf({ issuedBeforeMs, heard }: Rule): readonly HeardCutoff[] {
  return heard ?? [{ saidMs: issuedBeforeMs, takenMs: issuedBeforeMs }];
}

/** Whether its time has not come. */
export function isFar({ saidMs, takenMs }: HeardCutoff): boolean {
  return saidMs !== undefined && saidMs > takenMs;
}

/** The rule that comes of what was heard; the latest cut-off counts. */
export function ruleOf(
  { issuer, claims }: Scope,
  heard: readonly HeardCutoff[],
  endsAtMs: number,
): Rule {
  const issuedBeforeMs = Math.max(...heard.map(({ takenMs }) => takenMs));
  const isPlain = heard.length === 1 && heard[0]?.saidMs === issuedBeforeMs;
  return { issuer, claims, issuedBeforeMs, endsAtMs, ...(isPlain ? {} : { heard }) };
}

/**
 * All that is in two lists. Of one cut-off that was brought near at different times the later one counts. Where there are too many, first those
 * that others of the rule include, then those whose time comes last are kept as one.
 */
export function combineHeard(
  one: readonly HeardCutoff[],
  other: readonly HeardCutoff[],
): readonly HeardCutoff[] {
  const all = new Map<number, HeardCutoff>();
  let togetherMs = -1;
  for (const each of [...one, ...other]) {
    const { saidMs } = each;
    if (saidMs === undefined) togetherMs = Math.max(togetherMs, each.takenMs);
    else all.set(saidMs, combineSame(saidMs, each, all.get(saidMs) ?? each));
  }
  const bySaid = [...all.values()].sort((left, right) => (left.saidMs ?? 0) - (right.saidMs ?? 0));
  const ordered = [...bySaid.filter(isFar), ...bySaid.filter((each) => !isFar(each)).toReversed()];
  for (const { takenMs } of ordered.splice(MAX_HEARD)) togetherMs = Math.max(togetherMs, takenMs);
  const kept = ordered.filter(({ saidMs = 0 }) => saidMs > togetherMs);
  return togetherMs < 0 ? kept : [...kept, { takenMs: togetherMs }];
}

function combineSame(saidMs: number, one: HeardCutoff, other: HeardCutoff): HeardCutoff {
  const takenMs = Math.max(one.takenMs, other.takenMs);
  if (takenMs >= saidMs) return { saidMs, takenMs };
  return { saidMs, takenMs, endsAtMs: Math.max(one.endsAtMs ?? 0, other.endsAtMs ?? 0) };
}

/** What is left of a rule after a lift: undefined if nothing is, the rule itself if the lift takes nothing of it back. */
export function withoutLifted(rule: Rule, lift: Lift | undefined): Rule | undefined {
  if (lift === undefined) return rule;
  const heard = heardOf(rule);
  const left = heard.filter((each) => !isLifted(each, lift));
  if (left.length === heard.length) return rule;
  return left.length === 0 ? undefined : ruleOf(rule, left, rule.endsAtMs);
}

/** A cut-off is lifted when the lift's own is the same or later, or the lift names it. It is compared as it was said. */
function isLifted({ saidMs, takenMs }: HeardCutoff, { issuedBeforeMs, said }: Lift): boolean {
  if (saidMs === undefined) return takenMs <= issuedBeforeMs;
  return saidMs <= issuedBeforeMs || said?.includes(saidMs) === true;
}

/**
 * What a lift of all that a rule has now has to say. It reaches up to now and no further: what is said of a later moment, after the lift, is
 * another revocation. Cut-offs that lie ahead are named one by one.
 * @param nowMs epoch milliseconds
 */
export function liftTimes(
  rule: Rule,
  nowMs: number,
): { readonly issuedBeforeMs: number; readonly said: readonly number[] } {
  const heard = heardOf(rule);
  const together = heard.filter(({ saidMs }) => saidMs === undefined);
  const nearMs = Math.min(rule.issuedBeforeMs, Math.ceil(nowMs));
  const issuedBeforeMs = Math.max(nearMs, ...together.map(({ takenMs }) => takenMs));
  const said = heard.map(({ saidMs = 0 }) => saidMs).filter((each) => each > issuedBeforeMs);
  return { issuedBeforeMs, said };
}

/** All cut-offs that two lifts name, those left out that the lift's own includes. Neither order nor repetition changes the outcome. */
export function combineSaid(
  one: readonly number[] = [],
  other: readonly number[] = [],
  liftedMs: number,
): readonly number[] {
  return [...new Set([...one, ...other])]
    .filter((said) => said > liftedMs)
    .sort((left, right) => right - left)
    .slice(0, MAX_LIFTED);
}

/** The member of a lift that holds such a list; none where it is empty. */
export function saidMember(said: readonly number[]): { readonly said?: readonly number[] } {
  return said.length === 0 ? {} : { said };
}

/** Until when a rule is remembered, epoch milliseconds: beyond its end where a source may say the same of the future again. */
export function rememberedUntil(rule: Rule): number {
  return heardOf(rule).some(isFar) ? rule.endsAtMs + REMEMBERED_MS : rule.endsAtMs;
}

/**
 * A rule of which a cut-off's time has come, as it counts from then on. Undefined: there is none.
 * @param nowMs epoch milliseconds
 */
export function comeDue(rule: Rule, nowMs: number): Rule | undefined {
  const isDue = (each: HeardCutoff): boolean => isFar(each) && (each.saidMs ?? 0) <= nowMs;
  if (rule.heard?.some(isDue) !== true) return undefined;
  const ends = rule.heard.filter(isDue).map(({ endsAtMs = 0 }) => endsAtMs);
  const heard = rule.heard.map((each) =>
    isDue(each) && each.saidMs !== undefined ? { saidMs: each.saidMs, takenMs: each.saidMs } : each,
  );
  return ruleOf(rule, combineHeard(heard, []), Math.max(rule.endsAtMs, ...ends));
}
