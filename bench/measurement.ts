/** Pure arithmetic of the benchmark: medians, ratios within a round, tables. */

/** What one program did with one round of load. */
export interface Measurement {
  readonly requestsPerSecond: number;
  /** User and system time of the whole process, all threads, in microseconds. */
  readonly cpuPerRequest: number;
  readonly p99Ms: number;
}

/** NaN of nothing. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? Number.NaN)
    : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2;
}

/** The smallest value that so large a part of all (0 to 1) does not exceed; NaN of nothing. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? Number.NaN;
}

/** Median of the ratios within one round, so that a noisy neighbour hits both sides. NaN when either is missing. */
export function ratio(
  own: readonly number[] | undefined,
  peer: readonly number[] | undefined,
): number {
  if (own === undefined || peer === undefined) return Number.NaN;
  const rounds = Math.min(own.length, peer.length);
  return median(own.slice(0, rounds).map((value, round) => value / (peer[round] ?? Number.NaN)));
}

/** A number for a table; what is not known is a dash. */
export function shown(value: number, digits: number): string {
  return Number.isNaN(value) ? '-' : value.toFixed(digits);
}

/** A table in Markdown. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(header), `|${'---|'.repeat(header.length)}`, ...rows.map(line)].join('\n');
}
