import type { MetricValues } from '../admin/metric-catalogue.ts';
import { DURATION_BOUNDS } from '../gateway/route-metrics.ts';
import { momentOf } from '../revocation/freshness.ts';
import { readinessOf, type StatusParts } from './status.ts';

/** One reading of everything that is measured. */
export function metricValues(parts: StatusParts): MetricValues {
  const { revocations, threads, journal, publishing, policy } = parts;
  const { list, sources } = revocations;
  const now = momentOf().monotonic;
  const perSource = <T>(value: (source: (typeof sources)[number]) => T) =>
    sources.map((source) => ({ labels: { source: source.name }, value: value(source) }));
  const { outcomes } = threads.counters();
  const degraded = threads.degraded();
  const routes = threads.routes();
  const dropped = threads.dropped();
  const tallies = threads.tallies();
  const stats = journal.stats();
  const unready = new Set(readinessOf(parts).reasons.map(({ code }) => code));
  return {
    portcullis_start_time_seconds: parts.startedAtMs / 1000,
    portcullis_staleness_seconds: (revocations.stalenessMs ?? Number.POSITIVE_INFINITY) / 1000,
    portcullis_max_staleness_seconds: policy.maxStalenessMs / 1000,
    portcullis_revocation_gap: perSource(({ name }) => Number(revocations.inGap(name))),
    portcullis_source_up: perSource(({ standingSince }) => Number(standingSince !== undefined)),
    portcullis_source_staleness_seconds: perSource(({ lastProof }) =>
      lastProof === undefined
        ? Number.POSITIVE_INFINITY
        : Math.max(0, now - lastProof.monotonic) / 1000,
    ),
    portcullis_source_failures_total: perSource(({ failuresEver }) => failuresEver),
    portcullis_source_events_total: perSource(({ added }) => added),
    portcullis_source_drops_total: sources.flatMap(({ name, dropped }) =>
      [...dropped].map(([reason, value]) => ({ labels: { source: name, reason }, value })),
    ),
    portcullis_published_total: [...publishing.counts].flatMap(([source, { done, failed }]) => [
      { labels: { source, result: 'done' }, value: done },
      { labels: { source, result: 'failed' }, value: failed },
    ]),
    portcullis_revocation_entries: [
      { labels: { kind: 'token' }, value: list.size },
      { labels: { kind: 'rule' }, value: list.rulesSize },
    ],
    portcullis_revocation_entries_max: policy.maxEntries,
    portcullis_revocation_list_full: Number(unready.has('list_full')),
    portcullis_revocation_table_bytes: list.residentBytes,
    portcullis_rule_shapes: list.shapes,
    portcullis_requests_total: Object.entries(outcomes).map(([outcome, value]) => ({
      labels: { outcome },
      value,
    })),
    portcullis_degraded_requests_total: Object.entries(degraded).map(([policy, value]) => ({
      labels: { policy },
      value,
    })),
    portcullis_route_requests_total: routes.flatMap(({ method, route, statuses }) =>
      Object.entries(statuses).map(([status, value]) => ({
        labels: { method, route, status },
        value,
      })),
    ),
    portcullis_route_refusals_total: routes.map(({ method, route, refused }) => ({
      labels: { method, route },
      value: refused,
    })),
    portcullis_route_duration_seconds: routes.map(({ method, route, ...figures }) => ({
      labels: { method, route },
      value: {
        buckets: DURATION_BOUNDS.map((bound, n) => ({
          bound,
          count: figures.withinBounds[n] ?? 0,
        })),
        sum: figures.seconds,
        count: figures.timed,
      },
    })),
    portcullis_failed_verifications_total: threads.costlyRefusals(),
    portcullis_circuits_opened_total: threads.circuitsOpened(),
    portcullis_connections_evicted_total: tallies.connectionsEvicted,
    portcullis_connections_refused_total: tallies.connectionsRefused,
    portcullis_requests_shed_total: tallies.requestsShed,
    portcullis_access_lines_dropped_total: dropped.accessLines,
    portcullis_spans_dropped_total: dropped.spans,
    portcullis_reloads_total: [
      { labels: { outcome: 'done' }, value: parts.reloads.counts.done },
      { labels: { outcome: 'failed' }, value: parts.reloads.counts.failed },
    ],
    portcullis_threads: threads.serving,
    portcullis_threads_replaced_total: threads.replaced,
    portcullis_journal_healthy: Number(journal.trouble === undefined),
    portcullis_journal_bytes: stats.segmentBytes + (stats.snapshot?.bytes ?? 0),
  };
}
