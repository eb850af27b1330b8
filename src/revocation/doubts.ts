import { agoOf, knownAsOf, momentOf, type Proofs } from './freshness.ts';
import type { Gap } from './gaps.ts';
import type { Overflow } from './overflow.ts';

/** Why calls would be refused, or might miss something. Texts without secrets, for the operator only. */
export interface Doubt {
  readonly code: 'not_read_yet' | 'stale' | 'gap' | 'journal' | 'list_full' | 'clock';
  readonly message: string;
  readonly source?: string;
  /** Epoch milliseconds. */
  readonly sinceMs?: number;
}

/** What doubts are made of. */
export interface DoubtParts {
  readonly proofs: readonly Proofs[];
  /** Why a source is not followed, by its name; undefined where it is. */
  readonly troubleOf: (source: string) => string | undefined;
  readonly maxStalenessMs: number;
  /** Those that are not closed. */
  readonly gaps: readonly Gap[];
  /** What was acknowledged is lost, and nobody says it again. */
  readonly lost: boolean;
  /** Why the journal cannot be written. */
  readonly journalTrouble: string | undefined;
  readonly overflow: Overflow['entries'];
  /** Latest end among what was forgotten, epoch milliseconds. */
  readonly forgottenUntilMs: number;
}

/** Everything that is not as it should be. */
export function doubtsOf(parts: DoubtParts): readonly Doubt[] {
  const { proofs, troubleOf, maxStalenessMs, forgottenUntilMs } = parts;
  const doubts: Doubt[] = [];
  for (const source of proofs.filter(({ required }) => required)) {
    const known = knownAsOf(source, proofs);
    const trouble = troubleOf(source.name);
    const why = trouble === undefined ? '' : `: ${trouble}`;
    if (known === undefined)
      doubts.push({
        code: 'not_read_yet',
        source: source.name,
        message: `${source.name} was not read completely since the start${why}`,
      });
    else if (momentOf().monotonic - known.monotonic > maxStalenessMs)
      doubts.push({
        code: 'stale',
        source: source.name,
        message: `${source.name} last proved ${agoOf(known)} that nothing was missed${why}`,
        sinceMs: Math.round(known.wall),
      });
  }
  for (const gap of parts.gaps)
    doubts.push({
      code: 'gap',
      source: gap.source,
      message: `revocations published on ${gap.source} before it was subscribed may have been missed; tokens of that time can be alive for ${Math.ceil(gap.leftMs / 1000)} s more`,
      sinceMs: Math.round(gap.since.wall),
    });
  if (parts.lost)
    doubts.push({
      code: 'journal',
      message:
        'the journal was damaged, and no required source says again what it held: revoke it again and restart',
    });
  if (parts.journalTrouble !== undefined)
    doubts.push({
      code: 'journal',
      message: `the journal cannot be written: ${parts.journalTrouble}`,
    });
  for (const [source, at] of parts.overflow)
    doubts.push({
      code: 'list_full',
      source,
      message: `not all of ${source} is in the list: it is full (maxEntries), or rules name too many different sets of claims`,
      sinceMs: Math.round(at.wall),
    });
  if (forgottenUntilMs > Date.now())
    doubts.push({
      code: 'clock',
      message: `revocations that end as late as ${new Date(forgottenUntilMs).toISOString()} were forgotten: the clock was ahead then, or is behind now. Tokens that end before that count as expired`,
    });
  return doubts;
}
