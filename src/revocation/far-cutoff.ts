/**
 * A cut-off that lay further in the future than clocks differ: as it was said, and what was taken in its place when it was first heard. Epoch
 * milliseconds both.
 *
 * A store says the same cut-off at every reading. If each reading brought it near anew, it would move along with the clock, deny every
 * new login and undo every lift. So what was said is remembered beside what was taken: the same again, while it still lies too far ahead, is no
 * news. One that was not said before is another revocation, greater or lesser, and is taken up to the moment it is heard. Once its time has
 * come, a cut-off is like any other and counts as it stands: nothing that a source said is left out for good.
 */
export type FarCutoff = readonly [saidMs: number, takenMs: number];

/** Cut-offs remembered for one rule. One that does not fit is news at each reading: it denies more, never less. */
export const MAX_FAR_CUTOFFS = 16;

/** What a store may list for ever is lifted for a hundred years: a store gives no key a longer life. */
const LONGEST_LIFT_MS = 100 * 365 * 86_400_000;

/**
 * The latest cut-off that a lift takes back, from which its own end counts: a tombstone has to outlast every later reading of its rule. Epoch
 * milliseconds.
 */
export function lastLifted(liftedMs: number, said: readonly number[] = []): number {
  return Math.min(Math.max(liftedMs, ...said), liftedMs + LONGEST_LIFT_MS);
}

/**
 * What is to be remembered of two lists: of one cut-off what was taken last, the greatest of several, and none that the cut-off in force
 * includes anyway. Neither order nor repetition changes the outcome.
 * @param inForceMs epoch milliseconds
 */
export function combineFar(
  one: readonly FarCutoff[] = [],
  other: readonly FarCutoff[] = [],
  inForceMs: number,
): readonly FarCutoff[] {
  if (one.length === 0 && other.length === 0) return [];
  const taken = new Map<number, number>();
  for (const [said, at] of [...one, ...other])
    if (said > inForceMs) taken.set(said, Math.max(at, taken.get(said) ?? 0));
  return [...taken].sort(([left], [right]) => right - left).slice(0, MAX_FAR_CUTOFFS);
}

/** The same for a lift, which holds for a cut-off that was said whatever was taken in its place. */
export function combineSaid(
  one: readonly number[] = [],
  other: readonly number[] = [],
  liftedMs: number,
): readonly number[] {
  if (one.length === 0 && other.length === 0) return [];
  return [...new Set([...one, ...other])]
    .filter((said) => said > liftedMs)
    .sort((left, right) => right - left)
    .slice(0, MAX_FAR_CUTOFFS);
}

/** The member of a rule that holds such a list; none where it is empty. */
export function farMember(far: readonly FarCutoff[]): { readonly far?: readonly FarCutoff[] } {
  return far.length === 0 ? {} : { far };
}

/** The member of a lift that holds such a list; none where it is empty. */
export function saidMember(said: readonly number[]): { readonly said?: readonly number[] } {
  return said.length === 0 ? {} : { said };
}
