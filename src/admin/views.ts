import { formatInstant } from './instant.ts';
import type {
  Lifted,
  Published,
  Readiness,
  RevocationPage,
  RevocationRecord,
  Revoked,
  SourceStatus,
  Status,
  Verdict,
} from './operations.ts';
import { VERSION } from '../version.ts';

/** What the API answers, member by member: nothing gets out because it was in an object. Times are RFC 3339 text. */

export function revokedView(done: Revoked) {
  const { id, kind, applied, endsAtMs, issuedBeforeMs, published, confirmedThreads } = done;
  return {
    id,
    kind,
    applied,
    ...instant('issuedBefore', issuedBeforeMs),
    endsAt: formatInstant(endsAtMs),
    published: published.map(publishedView),
    ...(confirmedThreads === undefined
      ? {}
      : {
          confirmedThreads: { confirmed: confirmedThreads.confirmed, of: confirmedThreads.of },
        }),
  };
}

export function liftedView({ id, lifted, endsAtMs, published }: Lifted) {
  return {
    id,
    lifted,
    endsAt: formatInstant(endsAtMs),
    published: published.map(publishedView),
  };
}

function publishedView({ source, ok, reason }: Published) {
  return { source, ok, ...optional('reason', reason) };
}

export function pageView({ records, next }: RevocationPage) {
  return { revocations: records.map(recordView), ...optional('next', next) };
}

export function recordView(record: RevocationRecord) {
  const { id, kind, source, learntAtMs, endsAtMs, issuedBeforeMs, issuer, claims } = record;
  return {
    id,
    kind,
    source,
    learntAt: formatInstant(learntAtMs),
    ...instant('issuedBefore', issuedBeforeMs),
    endsAt: formatInstant(endsAtMs),
    ...optional('issuer', issuer),
    // Defines own members, whatever their names are.
    ...(claims === undefined ? {} : { claims: Object.fromEntries(claims) }),
    ...optional('by', record.by),
    ...optional('reason', record.reason),
  };
}

export function verdictView(verdict: Verdict) {
  const { wouldPass, reason, status, detail, revocation, source, sinceMs } = verdict;
  return {
    verdict: wouldPass ? ('pass' as const) : ('refuse' as const),
    reason,
    ...optional('status', status),
    detail,
    ...(revocation === undefined ? {} : { revocation: recordView(revocation) }),
    ...optional('source', source),
    ...instant('since', sinceMs),
  };
}

export function readinessView({ ready, reasons }: Readiness) {
  return {
    ready,
    reasons: reasons.map(({ code, message, source, sinceMs }) => ({
      code,
      message,
      ...optional('source', source),
      ...instant('since', sinceMs),
    })),
  };
}

export function statusView(status: Status, readiness: Readiness) {
  const { policy, stalenessMs, list, threads, journal } = status;
  return {
    version: VERSION,
    installation: status.installation,
    startedAt: formatInstant(status.startedAtMs),
    ...readinessView(readiness),
    policy: { maxStalenessMs: policy.maxStalenessMs, whenStale: policy.whenStale },
    ...optional('stalenessMs', stalenessMs === undefined ? undefined : Math.round(stalenessMs)),
    list: {
      tokens: list.tokens,
      rules: list.rules,
      maxEntries: list.maxEntries,
      residentBytes: list.residentBytes,
    },
    sources: status.sources.map(sourceView),
    threads: { live: threads.live, wanted: threads.wanted, replaced: threads.replaced },
    journal: { healthy: journal.healthy, ...optional('trouble', journal.trouble) },
  };
}

function sourceView(source: SourceStatus) {
  const { name, type, required, state, freshAsOfMs, gap, publishes, trouble } = source;
  return {
    name,
    type,
    required,
    state,
    ...instant('freshAsOf', freshAsOfMs),
    gap,
    publishes,
    ...optional('trouble', trouble),
  };
}

type Optional<Name extends string, Value> = Partial<Readonly<Record<Name, Value>>>;

function optional<Name extends string, Value>(
  name: Name,
  value: Value | undefined,
): Optional<Name, Value> {
  return value === undefined ? {} : ({ [name]: value } as Optional<Name, Value>);
}

function instant<Name extends string>(name: Name, ms: number | undefined): Optional<Name, string> {
  return optional(name, ms === undefined ? undefined : formatInstant(ms));
}

/** Shapes of the answers, for the CLI. */
export type RevokedView = ReturnType<typeof revokedView>;
export type LiftedView = ReturnType<typeof liftedView>;
export type PageView = ReturnType<typeof pageView>;
export type RecordView = ReturnType<typeof recordView>;
export type VerdictView = ReturnType<typeof verdictView>;
export type StatusView = ReturnType<typeof statusView>;
