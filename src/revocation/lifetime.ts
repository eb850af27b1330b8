import type { TtlUnit } from './revocation.ts';

const SECOND = 1000;
/** From here on a number is epoch milliseconds (September 2001): as seconds from now it would be 31,000 years. */
const FIRST_EPOCH_MS = 1e12;

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
 * The end one number means, or undefined when that is not known. `auto` takes the longest that any unit can mean, seconds from now,
 * because an entry that ends early revives a token while one that ends late costs bytes. An end that has passed is not believed: whoever
 * revokes a token thinks that it lives, so a clock or a unit is wrong.
 */
function endOf(value: unknown, unit: TtlUnit, now: number): number | undefined {
  const number = positive(value);
  if (number === undefined) return undefined;
  const read = unit === 'auto' ? (number < FIRST_EPOCH_MS ? 'seconds' : 'epochMilliseconds') : unit;
  const end = READINGS[read](number, now);
  return end > now ? end : undefined;
}

/**
 * When a revocation may be forgotten, epoch milliseconds: the later of what `ttl` and `expiryTime` say, at most the longest token life
 * from now, and exactly that where neither says anything usable (missing, zero, negative, no number, past).
 * @param unit how `ttl` is to be read; `expiryTime` carries its own magnitude and is always read as `auto`
 */
export function revocationEnd(
  event: { readonly ttl?: unknown; readonly expiryTime?: unknown },
  unit: TtlUnit,
  now: number,
  longestLifeMs: number,
): number {
  const latest = now + longestLifeMs;
  const ends = [endOf(event.ttl, unit, now), endOf(event.expiryTime, 'auto', now)].filter(
    (end) => end !== undefined,
  );
  return ends.length === 0 ? latest : Math.min(Math.max(...ends), latest);
}
