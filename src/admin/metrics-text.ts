import { METRICS, type AllMetrics, type Histogram, type MetricName } from './metric-catalogue.ts';

/** Media type of the text exposition format. */
export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/**
 * Metrics in Prometheus' text exposition format 0.0.4. Values are read elsewhere, in memory that threads share, at the moment of the call;
 * so nothing is counted here, and a client library with counters of its own would only be in between.
 */
export function metricsText(values: AllMetrics): string {
  const lines: string[] = [];
  for (const name of Object.keys(METRICS) as MetricName[]) {
    const { type, help } = METRICS[name];
    lines.push(`# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${type}`);
    const reading: AllMetrics[MetricName] = values[name];
    if (typeof reading === 'number') lines.push(`${name} ${formatValue(reading)}`);
    else
      for (const { labels, value } of reading)
        if (typeof value === 'number')
          lines.push(`${name}${formatLabels(labels)} ${formatValue(value)}`);
        else lines.push(...histogramLines(name, labels, value));
  }
  return `${lines.join('\n')}\n`;
}

function histogramLines(
  name: string,
  labels: Readonly<Record<string, string>>,
  { buckets, sum, count }: Histogram,
): string[] {
  const bucket = (le: number, most: number): string =>
    `${name}_bucket${formatLabels({ ...labels, le: formatValue(le) })} ${formatValue(most)}`;
  return [
    ...buckets.map(({ bound, count: most }) => bucket(bound, most)),
    bucket(Infinity, count),
    `${name}_sum${formatLabels(labels)} ${formatValue(sum)}`,
    `${name}_count${formatLabels(labels)} ${formatValue(count)}`,
  ];
}

function formatLabels(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escapeLabel(value: string): string {
  return value
    .toWellFormed()
    .replaceAll('\\', String.raw`\\`)
    .replaceAll('"', String.raw`\"`)
    .replaceAll('\n', String.raw`\n`);
}

function escapeHelp(help: string): string {
  return help.replaceAll('\\', String.raw`\\`).replaceAll('\n', String.raw`\n`);
}

function formatValue(value: number): string {
  if (value === Infinity) return '+Inf';
  if (value === -Infinity) return '-Inf';
  return String(value);
}
