import { monotonicMs } from './shared-state.ts';

/** A moment by two clocks, milliseconds: the system's monotonic one and the wall's. */
export interface Moment {
  readonly monotonic: number;
  readonly wall: number;
}

/** The moment that was `performance.now() === sinceMs` in this thread; now when absent. */
export function momentOf(sinceMs?: number): Moment {
  const agoMs = sinceMs === undefined ? 0 : Math.max(0, performance.now() - sinceMs);
  return { monotonic: monotonicMs() - agoMs, wall: Date.now() - agoMs };
}

/**
 * The moment at which a wall clock, maybe that of an earlier run, showed `wallMs`. A moment that lies in the future is not believed: the
 * clock was set back, and how long ago it was nobody knows.
 */
export function momentOfWall(wallMs: number): Moment | undefined {
  const agoMs = Date.now() - wallMs;
  return agoMs < 0 ? undefined : { monotonic: monotonicMs() - agoMs, wall: wallMs };
}

/** How long ago a moment was, in words. */
export function agoOf(moment: Moment): string {
  return `${((momentOf().monotonic - moment.monotonic) / 1000).toFixed(1)} s ago`;
}

/** What freshness is made of: one source's proofs. */
export interface Proofs {
  readonly name: string;
  readonly kind: 'list' | 'events';
  readonly required: boolean;
  /** Since when it stands, undefined while it does not. */
  readonly standingSince: Moment | undefined;
  /** Up to when it last proved that nothing was missed. */
  readonly lastProof: Moment | undefined;
  /** Names of the stores that hold everything it tells of. */
  readonly tellsOf: readonly string[];
}

/** Up to when one required source is known, with what speaks for it. Undefined: never. */
export function knownAsOf(source: Proofs, all: readonly Proofs[]): Moment | undefined {
  const own = source.lastProof;
  if (source.kind === 'events') return source.standingSince === undefined ? undefined : own;
  if (own === undefined) return undefined;
  let latest = own;
  for (const events of all) {
    if (events.kind !== 'events' || !events.tellsOf.includes(source.name)) continue;
    const { standingSince, lastProof } = events;
    // A subscription speaks for a store once the store was read after it stood: from there on it has heard of every change.
    if (standingSince === undefined || lastProof === undefined) continue;
    if (own.monotonic < standingSince.monotonic) continue;
    if (lastProof.monotonic > latest.monotonic) latest = lastProof;
  }
  return latest;
}

/** The moment up to which every required source is known: that of the one which is furthest behind. Undefined: one never was. */
export function allKnownAsOf(sources: readonly Proofs[]): Moment | undefined {
  const required = sources.filter((source) => source.required);
  let earliest: Moment | undefined = momentOf();
  for (const source of required) {
    const known = knownAsOf(source, sources);
    if (known === undefined) return undefined;
    if (known.monotonic < earliest.monotonic) earliest = known;
  }
  return earliest;
}
