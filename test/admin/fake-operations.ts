import { ApiRefusal } from '../../src/errors.ts';
import { idOfLift, idOfRule } from '../../src/admin/rule-id.ts';
import { ruleKindOf } from '../../src/revocation/parse-rule.ts';
import type {
  Operations,
  Operator,
  Readiness,
  RevocationPage,
  RevocationQuery,
  RevocationRecord,
  RevocationRequest,
  Revoked,
  Status,
  Verdict,
} from '../../src/admin/operations.ts';
import type { MetricValues } from '../../src/admin/metric-catalogue.ts';
import type { RuleEvent } from '../../src/revocation/rule-event.ts';

const DAY_MS = 86_400_000;

/** A core that believes everything and remembers it, and answers otherwise where a test says so. */
export interface FakeOperations extends Operations {
  readonly requests: { readonly request: RevocationRequest; readonly by: Operator }[];
  readonly queries: RevocationQuery[];
  readonly explained: string[];
  readonly records: Map<string, RevocationRecord>;
  ready: Readiness;
  verdict: Verdict;
  /** Thrown by the next calls that change something. */
  refusal: Error | undefined;
  /** Thrown by the next calls that read the journal. */
  unreadable: Error | undefined;
  published: Revoked['published'];
  threads: { confirmed: number; of: number };
}

export function fakeOperations(): FakeOperations {
  const records = new Map<string, RevocationRecord>();
  const fake: FakeOperations = {
    requests: [],
    queries: [],
    explained: [],
    records,
    ready: { ready: true, reasons: [] },
    verdict: { wouldPass: true, reason: 'valid', detail: 'it would pass' },
    refusal: undefined,
    unreadable: undefined,
    published: [{ source: 'persistent', ok: true }],
    threads: { confirmed: 2, of: 2 },

    revoke(request, by, acts) {
      fake.requests.push({ request, by });
      const durable = fake.refusal instanceof ApiRefusal && fake.refusal.code === 'not_durable';
      if (fake.refusal !== undefined && !durable) return Promise.reject(fake.refusal);
      const record = recordOf(request, by);
      const applied = records.has(record.id) ? 'known' : 'added';
      records.set(record.id, record);
      acts({ id: record.id, applied });
      if (fake.refusal !== undefined) return Promise.reject(fake.refusal);
      const { id, kind, endsAtMs, issuedBeforeMs } = record;
      if (kind === 'lift') throw new Error('not by this way');
      return Promise.resolve({
        id,
        kind,
        applied,
        endsAtMs,
        ...(issuedBeforeMs === undefined ? {} : { issuedBeforeMs }),
        published: fake.published,
        ...(request.waitMs === undefined ? {} : { confirmedThreads: fake.threads }),
      });
    },
    revocations(query) {
      fake.queries.push(query);
      if (fake.unreadable !== undefined) return Promise.reject(fake.unreadable);
      if (query.cursor !== undefined && !/^\d+$/.test(query.cursor))
        return Promise.reject(
          new ApiRefusal('invalid_value', '"cursor" is not of this list', 'cursor'),
        );
      const all = [...records.values()].filter(
        ({ kind, source }) => kind === (query.kind ?? kind) && source === (query.source ?? source),
      );
      const from = Number(query.cursor ?? 0);
      const to = from + query.limit;
      const page: RevocationPage = {
        records: all.slice(from, to),
        ...(to < all.length ? { next: String(to) } : {}),
      };
      return Promise.resolve(page);
    },
    revocation: (id) =>
      fake.unreadable === undefined
        ? Promise.resolve(records.get(id))
        : Promise.reject(fake.unreadable),
    lift(id, why, by) {
      if (fake.unreadable !== undefined) return Promise.reject(fake.unreadable);
      if (fake.refusal !== undefined) return Promise.reject(fake.refusal);
      const rule = records.get(id);
      if (rule === undefined)
        return Promise.reject(new ApiRefusal('not_found', 'there is no rule with this id'));
      if (rule.claims === undefined)
        return Promise.reject(new ApiRefusal('not_a_rule', 'a token stays revoked'));
      const lifted = idOfLift({ issuer: rule.issuer ?? null, claims: rule.claims });
      records.delete(id);
      records.set(lifted, { ...rule, id: lifted, kind: 'lift', by: by.name, reason: why });
      return Promise.resolve({
        id: lifted,
        lifted: id,
        endsAtMs: rule.endsAtMs,
        published: fake.published,
      });
    },
    explain(token) {
      fake.explained.push(token);
      if (fake.unreadable !== undefined) return Promise.reject(fake.unreadable);
      return Promise.resolve(fake.verdict);
    },
    status: () => STATUS,
    readiness: () => fake.ready,
    metrics: () => METRIC_VALUES,
  };
  return fake;
}

function recordOf({ what, reason }: RevocationRequest, by: Operator): RevocationRecord {
  const now = Date.now();
  const common = {
    source: 'operator',
    learntAtMs: now,
    by: by.name,
    ...(reason === undefined ? {} : { reason }),
  };
  if ('token' in what)
    return { ...common, id: 't-AAAAAAAAAAAAAAAA', kind: 'token', endsAtMs: now + DAY_MS };
  const { issuer, issuedBefore, endsAt } = what.rule;
  const claims = claimsOf(what.rule);
  const rule = { issuer: issuer ?? null, claims };
  return {
    ...common,
    id: idOfRule(rule),
    kind: ruleKindOf(rule),
    issuedBeforeMs: Number(issuedBefore),
    endsAtMs: Number(endsAt ?? Number(issuedBefore) + 30 * DAY_MS),
    claims,
    ...(issuer === undefined ? {} : { issuer }),
  };
}

function claimsOf({ claims }: RuleEvent): [string, string][] {
  return Object.entries(claims)
    .map(([name, value]): [string, string] => [name, String(value)])
    .sort(([one], [other]) => (one < other ? -1 : 1));
}

const STATUS: Status = {
  installation: '6f0d3c0e',
  startedAtMs: Date.UTC(2026, 10, 22),
  policy: { maxStalenessMs: 60_000, whenStale: 'deny' },
  stalenessMs: 1_234.5,
  list: { tokens: 3, rules: 1, maxEntries: 20_000_000, residentBytes: 65_536 },
  sources: [
    {
      name: 'realtime',
      type: 'amqp',
      required: false,
      state: 'broken',
      gap: true,
      publishes: true,
      trouble: 'broker:5672: the connection was refused',
    },
    {
      name: 'persistent',
      type: 'etcd',
      required: true,
      state: 'standing',
      freshAsOfMs: Date.UTC(2026, 10, 22, 12),
      gap: false,
      publishes: true,
    },
  ],
  threads: { live: 2, wanted: 2, replaced: 1 },
  journal: { healthy: true },
};

/** With the values that are hard to write. */
export const METRIC_VALUES: MetricValues = {
  portcullis_start_time_seconds: 1_795_305_600.25,
  portcullis_staleness_seconds: Infinity,
  portcullis_max_staleness_seconds: 60,
  portcullis_revocation_gap: [{ labels: { source: 'realtime' }, value: 1 }],
  portcullis_source_up: [{ labels: { source: 'a "quoted" \\ name\nof two lines' }, value: 0 }],
  portcullis_source_staleness_seconds: [{ labels: { source: 'persistent' }, value: 0.5 }],
  portcullis_source_failures_total: [{ labels: { source: 'realtime' }, value: 7 }],
  portcullis_source_events_total: [{ labels: { source: 'persistent' }, value: 3 }],
  portcullis_source_drops_total: [
    { labels: { source: 'persistent', reason: 'no token in it' }, value: 2 },
  ],
  portcullis_published_total: [],
  portcullis_revocation_entries: [
    { labels: { kind: 'token' }, value: 10_000_000 },
    { labels: { kind: 'rule' }, value: 1 },
  ],
  portcullis_revocation_entries_max: 20_000_000,
  portcullis_revocation_list_full: 0,
  portcullis_revocation_table_bytes: 187_000_000,
  portcullis_rule_shapes: 1,
  portcullis_requests_total: [{ labels: { outcome: 'forwarded' }, value: 1e21 }],
  portcullis_degraded_requests_total: [{ labels: { policy: 'allow' }, value: 0 }],
  portcullis_route_requests_total: [
    { labels: { method: 'GET', route: '/pet/{petId}', status: '2xx' }, value: 3 },
  ],
  portcullis_route_refusals_total: [{ labels: { method: 'GET', route: '/pet/{petId}' }, value: 0 }],
  portcullis_route_duration_seconds: [
    {
      labels: { method: 'GET', route: '/pet/{petId}' },
      value: {
        buckets: [
          { bound: 0.001, count: 1 },
          { bound: 5, count: 2 },
        ],
        sum: 9.5,
        count: 3,
      },
    },
  ],
  portcullis_failed_verifications_total: 4,
  portcullis_circuits_opened_total: 1,
  portcullis_connections_evicted_total: 5,
  portcullis_connections_refused_total: 2,
  portcullis_requests_shed_total: 7,
  portcullis_access_lines_dropped_total: 3,
  portcullis_spans_dropped_total: 0,
  portcullis_threads: 2,
  portcullis_reloads_total: [
    { labels: { outcome: 'done' }, value: 2 },
    { labels: { outcome: 'failed' }, value: 1 },
  ],
  portcullis_threads_replaced_total: 1,
  portcullis_journal_healthy: 1,
  portcullis_journal_bytes: 4096,
};
