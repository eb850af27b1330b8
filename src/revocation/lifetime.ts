import type { TtlUnit } from './revocation.ts';

const SECOND = 1000;
/** An absolute time in the past is believed back to ten years: older numbers are no times at all. */
const BELIEVABLE_PAST_MS = 10 * 365 * 86_400 * SECOND;

/** How each unit turns a number into an end, epoch milliseconds. */
const READINGS: Readonly<Record<Exclude<TtlUnit, 'auto'>, (value: number, now: number) => number>> =
  {
    seconds: (value, now) => now + value * SECOND,
    milliseconds: (value, now) => now + value,
    epochSeconds: (value) => value * SECOND,
    epochMilliseconds: (value) => value,
  };

/** A positive finite number, from a number, bigint or decimal string; undefined for all else: a lifetime nobody knows. */
function positive(value: unknown): number | undefined {
  const number =
    typeof value === 'string' && value.trim() !== ''
      ? Number(value)
      : Number(typeof value === 'bigint' ? value : typeof value === 'number' ? value : Number.NaN);
  return Number.isFinite(number) && number > 0 ? number : undefined;
}

/**
 * The end one number means. With `auto` every unit is tried; readings beyond the longest token life are absurd as long as another one
 * is not, and among the rest the longest wins, because an entry that ends early revives a token while one that ends late costs bytes.
 */
function endOf(
  value: unknown,
  unit: TtlUnit,
  now: number,
  longestLifeMs: number,
): number | undefined {
  const number = positive(value);
  if (number === undefined) return undefined;
  if (unit !== 'auto') return READINGS[unit](number, now);
  const ends = [
    READINGS.seconds(number, now),
    READINGS.milliseconds(number, now),
    READINGS.epochSeconds(number, now),
    READINGS.epochMilliseconds(number, now),
  ];
  const plausible = ends.filter(
    (end) => end >= now - BELIEVABLE_PAST_MS && end <= now + longestLifeMs,
  );
  return Math.max(...(plausible.length > 0 ? plausible : ends));
}

/**
 * When a revocation may be forgotten, epoch milliseconds: the later of what `ttl` and `expiryTime` say, at most the longest token life
 * from now, and exactly that where neither says anything usable (missing, zero, negative, no number).
 * @param unit how `ttl` is to be read; `expiryTime` carries its own magnitude and is always read as `auto`
 */
export function revocationEnd(
  event: { readonly ttl?: unknown; readonly expiryTime?: unknown },
  unit: TtlUnit,
  now: number,
  longestLifeMs: number,
): number {
  const latest = now + longestLifeMs;
  const ends = [
    endOf(event.ttl, unit, now, longestLifeMs),
    endOf(event.expiryTime, 'auto', now, longestLifeMs),
  ].filter((end) => end !== undefined);
  return ends.length === 0 ? latest : Math.min(Math.max(...ends), latest);
}
