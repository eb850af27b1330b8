/** RFC 3339 section 5.6; the offset is not optional. A leap second is refused: no clock here has one. */
const DATE_TIME =
  /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))$/;

/** Epoch milliseconds below this are 1973 or earlier: a number of seconds that someone took for milliseconds. */
const EARLIEST = 1e11;
/** End of the year 9999, the last that RFC 3339 can write. */
const LATEST = 253_402_300_799_999;

/**
 * Reads a moment as an operator writes it: epoch milliseconds, or RFC 3339 text.
 * @returns epoch milliseconds, or what is wrong with it
 */
export function parseInstant(value: unknown): number | { readonly problem: string } {
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value) || value < 0 || value > LATEST)
      return { problem: 'must be whole epoch milliseconds, or RFC 3339 text' };
    if (value < EARLIEST)
      return { problem: 'is before 1973: it must be epoch milliseconds, not seconds' };
    return value;
  }
  const at = typeof value === 'string' ? parseDateTime(value) : undefined;
  return (
    at ?? { problem: 'must be epoch milliseconds, or RFC 3339 text such as 2026-11-22T15:00:00Z' }
  );
}

function parseDateTime(text: string): number | undefined {
  const match = DATE_TIME.exec(text);
  if (match === null) return undefined;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match
    .slice(1, 7)
    .map(Number);
  const [, , , , , , , fraction = '', sign, offsetHour = '0', offsetMinute = '0'] = match;
  if (hour > 23 || minute > 59 || second > 59) return undefined;
  if (Number(offsetHour) > 23 || Number(offsetMinute) > 59) return undefined;
  const milliseconds = Number(fraction.padEnd(3, '0').slice(0, 3));
  const date = new Date(0);
  // Unlike Date.UTC, this takes the years 0 to 99 for what they are.
  date.setUTCFullYear(year, month - 1, day);
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined;
  date.setUTCHours(hour, minute, second, milliseconds);
  const offset = (Number(offsetHour) * 60 + Number(offsetMinute)) * 60_000;
  const at = date.getTime() - (sign === '-' ? -offset : offset);
  return at < EARLIEST || at > LATEST ? undefined : at;
}

/** Epoch milliseconds as RFC 3339 text, UTC; what lies beyond its years comes back as its last moment. */
export function formatInstant(ms: number): string {
  return new Date(Math.min(Math.max(ms, 0), LATEST)).toISOString();
}
