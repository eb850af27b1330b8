/** Milliseconds per unit. */
const DURATION_UNITS: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['min', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
]);

/** Bytes per unit, in lower case: IEC units are powers of 1024, SI units of 1000. */
const SIZE_UNITS: ReadonlyMap<string, number> = new Map([
  ['b', 1],
  ['kb', 1000],
  ['mb', 1000 ** 2],
  ['gb', 1000 ** 3],
  ['kib', 1024],
  ['mib', 1024 ** 2],
  ['gib', 1024 ** 3],
]);

const QUANTITY = /^(\d{1,15}(?:\.\d{1,6})?)\s?([A-Za-z]+)$/;

function parse(
  text: string,
  units: ReadonlyMap<string, number>,
  fold: boolean,
): number | undefined {
  const match = QUANTITY.exec(text.trim());
  const factor = units.get((fold ? match?.[2]?.toLowerCase() : match?.[2]) ?? '');
  if (match === null || factor === undefined) return undefined;
  const value = Number(match[1]) * factor;
  return Number.isSafeInteger(value) ? value : undefined;
}

/** `30s`, `5m`, `1.5h`, `250 ms`, `30d` to milliseconds; undefined when it is none, or no whole number of milliseconds. */
export function parseDuration(text: string): number | undefined {
  return parse(text, DURATION_UNITS, false);
}

/** `1 MiB`, `64kB`, `512 B` to bytes; undefined when it is none, or no whole number of bytes. */
export function parseSize(text: string): number | undefined {
  return parse(text, SIZE_UNITS, true);
}
