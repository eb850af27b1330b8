import type { ConfirmedThreads, Readiness, Status } from '../admin/operations.ts';
import type { Degraded, Dropped, GatewayCounters, Tally } from '../gateway/observe.ts';
import type { RouteFigures } from '../gateway/route-metrics.ts';
import type { JournalStats } from '../revocation/journal/journal.ts';
import type { Revocations } from '../revocation/revocations.ts';
import type { Fingerprints } from '../threads/messages.ts';
import type { Publishing } from './publish.ts';

/** The data-plane threads, as the operator sees them. */
export interface ThreadsView {
  /** Threads that serve now, that there should be, and that were replaced. */
  readonly serving: number;
  readonly wanted: number;
  readonly replaced: number;
  /** How many of those that serve see an entry, once all have said so or `waitMs` milliseconds have passed. */
  confirm(entries: Fingerprints, waitMs: number): Promise<ConfirmedThreads>;
  counters(): GatewayCounters;
  degraded(): Record<Degraded, number>;
  /** What happened on each route that was called. */
  routes(): readonly RouteFigures[];
  /** Tokens that were refused after they were verified or asked about. */
  costlyRefusals(): number;
  /** How often an upstream was not asked any more as it had failed too often. */
  circuitsOpened(): number;
  /** What was done against too many clients. */
  tallies(): Record<Tally, number>;
  /** What was to be written of requests and was not. */
  dropped(): Record<Dropped, number>;
}

/** What status, readiness and metrics are read from. */
export interface StatusParts {
  /** Reloads by how they ended. */
  readonly reloads: { readonly counts: { readonly done: number; readonly failed: number } };
  readonly revocations: Revocations;
  readonly journal: {
    readonly installation: string;
    readonly trouble: string | undefined;
    stats(): JournalStats;
  };
  readonly threads: ThreadsView;
  readonly publishing: Publishing;
  /** Epoch milliseconds. */
  readonly startedAtMs: number;
  /** As configured. Times in milliseconds. */
  readonly policy: {
    readonly maxStalenessMs: number;
    readonly whenStale: 'deny' | 'introspect' | 'allow';
    readonly maxEntries: number;
  };
  /** Of each source, its type and whether it is required, by its name. */
  readonly sources: ReadonlyMap<string, { readonly type: string; readonly required: boolean }>;
  readonly draining: () => boolean;
}

export function statusOf(parts: StatusParts): Status {
  const { revocations, journal, threads, policy } = parts;
  const { stalenessMs, list } = revocations;
  const { trouble } = journal;
  return {
    installation: journal.installation,
    startedAtMs: parts.startedAtMs,
    policy: { maxStalenessMs: policy.maxStalenessMs, whenStale: policy.whenStale },
    ...(stalenessMs === undefined || !Number.isFinite(stalenessMs) ? {} : { stalenessMs }),
    list: {
      tokens: list.size,
      rules: list.rulesSize,
      maxEntries: policy.maxEntries,
      residentBytes: list.residentBytes,
    },
    sources: revocations.sources.map((source) => {
      const { type = source.kind, required = false } = parts.sources.get(source.name) ?? {};
      return {
        name: source.name,
        type,
        required,
        state: stateOf(source),
        ...(source.lastProof === undefined
          ? {}
          : { freshAsOfMs: Math.round(source.lastProof.wall) }),
        gap: revocations.inGap(source.name),
        publishes: parts.publishing.has(source.name),
        ...(source.trouble === undefined ? {} : { trouble: source.trouble }),
      };
    }),
    threads: { live: threads.serving, wanted: threads.wanted, replaced: threads.replaced },
    journal: { healthy: trouble === undefined, ...(trouble === undefined ? {} : { trouble }) },
  };
}

function stateOf(
  source: Revocations['sources'][number],
): 'connecting' | 'reading' | 'standing' | 'broken' {
  if (source.standingSince !== undefined) return 'standing';
  if (source.trouble !== undefined) return 'broken';
  return source.added > 0 ? 'reading' : 'connecting';
}

export function readinessOf({ revocations, threads, draining }: StatusParts): Readiness {
  const reasons: Readiness['reasons'][number][] = [...revocations.doubts()];
  if (draining()) reasons.push({ code: 'draining', message: 'the gateway is ending' });
  if (threads.serving === 0)
    reasons.push({ code: 'threads', message: 'no data-plane thread serves' });
  return { ready: revocations.ready && threads.serving > 0 && !draining(), reasons };
}
