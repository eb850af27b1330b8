/** One metric: what it says, in the words of its HELP line, and whether it only grows. A histogram has counts by upper bound, and a sum. */
interface MetricEntry {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  /** Names of its labels. Values are names from the configuration or fixed words: never a token, a subject or an address. */
  readonly labels: readonly string[];
}

/** Every metric at `/metrics`. docs/operator.md repeats it, and a test holds the two together. Units are base units, in the name. */
export const METRICS = {
  portcullis_build_info: {
    type: 'gauge',
    help: '1; the labels say what runs.',
    labels: ['version', 'node'],
  },
  portcullis_start_time_seconds: {
    type: 'gauge',
    help: 'When this process started, Unix time.',
    labels: [],
  },
  portcullis_ready: {
    type: 'gauge',
    help: '1 when the gateway is ready, as /ready says.',
    labels: [],
  },
  portcullis_staleness_seconds: {
    type: 'gauge',
    help: 'Seconds since the moment up to which no revocation was missed; +Inf before the first complete read.',
    labels: [],
  },
  portcullis_max_staleness_seconds: {
    type: 'gauge',
    help: 'Configured maxStaleness.',
    labels: [],
  },
  portcullis_revocation_gap: {
    type: 'gauge',
    help: '1 while a stretch in which revocations may have been missed is not closed.',
    labels: ['source'],
  },
  portcullis_source_up: {
    type: 'gauge',
    help: '1 while the source is followed without a known fault.',
    labels: ['source'],
  },
  portcullis_source_staleness_seconds: {
    type: 'gauge',
    help: 'Seconds since the moment up to which the source proved that nothing was missed; +Inf before the first proof.',
    labels: ['source'],
  },
  portcullis_source_failures_total: {
    type: 'counter',
    help: 'Times that the link to the source broke or could not be made.',
    labels: ['source'],
  },
  portcullis_source_events_total: {
    type: 'counter',
    help: 'Revocations and rules that the source delivered and that were taken.',
    labels: ['source'],
  },
  portcullis_source_drops_total: {
    type: 'counter',
    help: 'Messages and entries of the source that were not taken, by reason.',
    labels: ['source', 'reason'],
  },
  portcullis_published_total: {
    type: 'counter',
    help: "Revocations and lifts of this gateway's operator handed to the source, by result.",
    labels: ['source', 'result'],
  },
  portcullis_revocation_entries: {
    type: 'gauge',
    help: 'Entries of the list: names of tokens, and rules.',
    labels: ['kind'],
  },
  portcullis_revocation_entries_max: {
    type: 'gauge',
    help: 'Configured maxEntries.',
    labels: [],
  },
  portcullis_revocation_list_full: {
    type: 'gauge',
    help: '1 while a source named more than the list has room for.',
    labels: [],
  },
  portcullis_revocation_table_bytes: {
    type: 'gauge',
    help: 'Resident bytes of the tables that all threads share.',
    labels: [],
  },
  portcullis_rule_shapes: {
    type: 'gauge',
    help: 'Shapes of rules in use: each costs a request one look-up.',
    labels: [],
  },
  portcullis_requests_total: {
    type: 'counter',
    help: 'Requests that have ended, by how: forwarded, answered, filtered, aborted, brokenOff, revoked (its token was, meanwhile), or the fault that refused it (docs/errors.md).',
    labels: ['outcome'],
  },
  portcullis_degraded_requests_total: {
    type: 'counter',
    help: 'Secured requests let through while revocations were unknown or stale, by policy.',
    labels: ['policy'],
  },
  portcullis_route_requests_total: {
    type: 'counter',
    help: 'Requests of a route that have ended, by the class of their answer: none, 1xx (a WebSocket) to 5xx. Routes that were never called are left out; beyond 2,048 they are counted together as other.',
    labels: ['method', 'route', 'status'],
  },
  portcullis_route_refusals_total: {
    type: 'counter',
    help: 'Requests of a route that the gateway refused, whose upstream failed, or whose answer or WebSocket was broken off; portcullis_requests_total says why.',
    labels: ['method', 'route'],
  },
  portcullis_route_duration_seconds: {
    type: 'histogram',
    help: 'How long requests of a route took, from their head to their end; WebSockets are not in it.',
    labels: ['method', 'route'],
  },
  portcullis_failed_verifications_total: {
    type: 'counter',
    help: 'Tokens that were refused after their signature was checked or the key manager asked; those refused at sight are not in it.',
    labels: [],
  },
  portcullis_circuits_opened_total: {
    type: 'counter',
    help: 'Times that an upstream failed too often and was not asked any more for a while, in each thread by itself.',
    labels: [],
  },
  portcullis_connections_evicted_total: {
    type: 'counter',
    help: 'Connections on which nothing was under way that were closed in favour of new ones, as there were too many.',
    labels: [],
  },
  portcullis_connections_refused_total: {
    type: 'counter',
    help: 'New connections that were closed as there were too many and something was under way on all of them.',
    labels: [],
  },
  portcullis_requests_shed_total: {
    type: 'counter',
    help: 'Requests that were answered 503 unread, as a thread was about to run out of memory or far behind.',
    labels: [],
  },
  portcullis_access_lines_dropped_total: {
    type: 'counter',
    help: 'Lines of the access log that were not written: the disk is full or slow, or whoever reads a pipe is.',
    labels: [],
  },
  portcullis_spans_dropped_total: {
    type: 'counter',
    help: 'Spans that were not handed over: the receiver refuses them, is too slow or cannot be reached.',
    labels: [],
  },
  portcullis_reloads_total: {
    type: 'counter',
    help: 'Reloads (SIGHUP), by outcome: done, or failed, where everything stayed as it was and the log says why.',
    labels: ['outcome'],
  },
  portcullis_threads: {
    type: 'gauge',
    help: 'Data-plane threads that serve.',
    labels: [],
  },
  portcullis_threads_replaced_total: {
    type: 'counter',
    help: 'Data-plane threads that died and were replaced.',
    labels: [],
  },
  portcullis_journal_healthy: {
    type: 'gauge',
    help: '1 while what is learnt reaches the disk.',
    labels: [],
  },
  portcullis_journal_bytes: {
    type: 'gauge',
    help: 'Bytes of journal and snapshot on the disk.',
    labels: [],
  },
  portcullis_operator_calls_total: {
    type: 'counter',
    help: "Calls of the operator's API, by result: done, or the code of the refusal.",
    labels: ['result'],
  },
  portcullis_resident_memory_bytes: {
    type: 'gauge',
    help: 'Resident memory of the process.',
    labels: [],
  },
  portcullis_cpu_seconds_total: {
    type: 'counter',
    help: 'CPU time of the process, user and system.',
    labels: [],
  },
} as const satisfies Record<string, MetricEntry>;

export type MetricName = keyof typeof METRICS;

/** The metrics that the API itself knows. */
export type OwnMetric =
  | 'portcullis_build_info'
  | 'portcullis_ready'
  | 'portcullis_operator_calls_total'
  | 'portcullis_resident_memory_bytes'
  | 'portcullis_cpu_seconds_total';

type Labels<Name extends MetricName> = Readonly<
  Record<(typeof METRICS)[Name]['labels'][number], string>
>;

/** What a histogram has counted with one set of labels. */
export interface Histogram {
  /** How many values were not above each bound; bounds ascend. */
  readonly buckets: readonly { readonly bound: number; readonly count: number }[];
  readonly sum: number;
  readonly count: number;
}

/** One value with its labels; a plain number where the metric has none. */
export type MetricReading<Name extends MetricName> =
  (typeof METRICS)[Name]['labels'] extends readonly []
    ? number
    : readonly {
        readonly labels: Labels<Name>;
        readonly value: (typeof METRICS)[Name]['type'] extends 'histogram' ? Histogram : number;
      }[];

/** A reading of every metric that the core has to give: one that is left out does not compile. */
export type MetricValues = {
  readonly [Name in Exclude<MetricName, OwnMetric>]: MetricReading<Name>;
};

/** A reading of all. */
export type AllMetrics = { readonly [Name in MetricName]: MetricReading<Name> };
