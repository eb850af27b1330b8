import type { RevocationEvent } from '../revocation/revocation.ts';
import type { RuleEvent } from '../revocation/rule-event.ts';
import type { RuleKind } from '../revocation/rule.ts';
import type { MetricValues } from './metric-catalogue.ts';

/**
 * The one port through which the operator's API reaches the core. Every method may reject with an {@link ApiRefusal}, which the caller gets
 * as it is; anything else it rejects with is logged and answered 500. Nothing that goes in or out of here holds the text of a token but
 * `revoke` and `explain`, whose input does. All times are epoch milliseconds.
 */
export interface Operations {
  /**
   * Applies a revocation here, makes it durable (the journal's fsync), publishes it to every source that can, and waits for the data-plane
   * threads if asked. Rejects with `invalid_value` naming the field that the core's own rules refuse (`issuedBefore`, `endsAt`, `claims`,
   * ...), `not_durable` when it acts in memory but could not be written, `list_full` when there is no room for it.
   * @param acts called as soon as it acts here, before anything that may keep this from resolving
   */
  revoke(
    request: RevocationRequest,
    by: Operator,
    acts: (applied: Pick<Revoked, 'id' | 'applied'>) => void,
  ): Promise<Revoked>;
  /**
   * One page of what is revoked, from the journal. Rejects with `invalid_value` and field `cursor` for a cursor that is not its own, with
   * `taken_over` while another gateway has the journal.
   */
  revocations(query: RevocationQuery): Promise<RevocationPage>;
  /** Undefined when nothing has this id, or has it no more. Rejects with `taken_over`. */
  revocation(id: string): Promise<RevocationRecord | undefined>;
  /**
   * Takes a rule back; what is lifted already is written and published once more. Rejects with `not_found`, `not_a_rule` (the id of a token or
   * lift), `not_durable`, `taken_over` (nothing was lifted then).
   */
  lift(id: string, why: string, by: Operator): Promise<Lifted>;
  /** Whether a token would pass here now. Never rejects because of what the token is; with `taken_over` where only the journal could say what denies it. */
  explain(token: string): Promise<Verdict>;
  status(): Status | Promise<Status>;
  readiness(): Readiness;
  /** One reading of every metric. */
  metrics(): MetricValues;
}

/** Who calls. */
export interface Operator {
  /** `operator token`, or the subject of the client certificate. */
  readonly name: string;
  /** IP address of the peer. */
  readonly address: string;
}

export interface RevocationRequest {
  /** What is revoked, as received: the core checks it as it checks a source's. */
  readonly what: { readonly token: RevocationEvent } | { readonly rule: RuleEvent };
  readonly reason?: string;
  /** Wait for every data-plane thread to confirm, up to so many milliseconds. Absent: do not wait. */
  readonly waitMs?: number;
}

/** `token`, or the kind of a rule. */
export type RevocationKind = 'token' | RuleKind;

export const REVOCATION_KINDS = [
  'token',
  'subject',
  'session',
  'client',
  'issuer',
  'claims',
  'lift',
] as const satisfies readonly RevocationKind[];

/** What became of the copy for one source. */
export interface Published {
  readonly source: string;
  readonly ok: boolean;
  /** Why not: fit for an operator's eyes, without secrets. Absent when `ok`. */
  readonly reason?: string;
}

/** How many data-plane threads act on a change already. */
export interface ConfirmedThreads {
  readonly confirmed: number;
  readonly of: number;
}

export interface Revoked {
  readonly id: string;
  readonly kind: Exclude<RevocationKind, 'lift'>;
  /** `known`: nothing changed, it was revoked for at least as long already. */
  readonly applied: 'added' | 'extended' | 'known';
  /** What is held: later than what was asked for where a later end was known. */
  readonly endsAtMs: number;
  /** Rules only. */
  readonly issuedBeforeMs?: number;
  /** One entry for each source that can publish. */
  readonly published: readonly Published[];
  /** Where the caller waited. */
  readonly confirmedThreads?: ConfirmedThreads;
}

export interface Lifted {
  /** Id of the record of the lift. */
  readonly id: string;
  /** Id of the rule that is lifted. */
  readonly lifted: string;
  readonly endsAtMs: number;
  readonly published: readonly Published[];
}

export interface RevocationQuery {
  readonly kind?: RevocationKind;
  /** Name of a source; `operator` for what came in through this API. */
  readonly source?: string;
  /** 1 to 1,000. */
  readonly limit: number;
  /** `next` of the page before. */
  readonly cursor?: string;
}

export interface RevocationPage {
  readonly records: readonly RevocationRecord[];
  /** Absent on the last page. */
  readonly next?: string;
}

/** What the journal has of one revocation. */
export interface RevocationRecord {
  /** Stable, in the form of rule-id.ts: `r-`, `l-` or `t-`, and 16 characters. */
  readonly id: string;
  readonly kind: RevocationKind;
  readonly source: string;
  readonly learntAtMs: number;
  readonly endsAtMs: number;
  /** Rules and lifts only, from here on. */
  readonly issuedBeforeMs?: number;
  /** Absent: every issuer's tokens. */
  readonly issuer?: string;
  readonly claims?: readonly (readonly [name: string, value: string])[];
  /** Name of the operator. */
  readonly by?: string;
  readonly reason?: string;
}

/** Why a token would pass, or would not. The order is that in which a JWT is checked. */
export const VERDICT_REASONS = [
  'valid',
  'not_a_jwt',
  'wrong_issuer',
  'keys_unavailable',
  'bad_signature',
  'key_manager_unavailable',
  'not_active',
  'expired',
  'not_valid_yet',
  'wrong_audience',
  'refused_claims',
  'token_revoked',
  'rule_revoked',
  'revocations_unknown',
  'stale',
] as const;

export type VerdictReason = (typeof VERDICT_REASONS)[number];

/** What a token would get here, scopes aside: those are a route's. */
export interface Verdict {
  readonly wouldPass: boolean;
  readonly reason: VerdictReason;
  /** HTTP status that it would get: 401 or 503. Absent when it would pass. */
  readonly status?: 401 | 503;
  /** One sentence for people; holds nothing of the token but its times and its issuer. */
  readonly detail: string;
  /** `token_revoked` and `rule_revoked`: what denies it, by its id. */
  readonly revocation?: RevocationRecord;
  /** `stale` and `revocations_unknown`: the source that is behind, where one is to blame. */
  readonly source?: string;
  /** `token_revoked` and `rule_revoked`: when that was learnt; `stale`: the last proof of freshness. Absent: not known. */
  readonly sinceMs?: number;
}

export interface Readiness {
  readonly ready: boolean;
  /** Empty when ready, but for gaps and other doubts that the policy lets pass. */
  readonly reasons: readonly ReadinessReason[];
}

export interface ReadinessReason {
  /** Stable word: `stale`, `not_read_yet`, `gap`, `journal`, `list_full`, `threads`, `draining`, ... */
  readonly code: string;
  readonly message: string;
  readonly source?: string;
  readonly sinceMs?: number;
}

export interface Status {
  readonly installation: string;
  readonly startedAtMs: number;
  readonly policy: {
    readonly maxStalenessMs: number;
    readonly whenStale: 'deny' | 'introspect' | 'allow';
  };
  /** Milliseconds since nothing was missed; absent before the first complete read. */
  readonly stalenessMs?: number;
  readonly list: {
    readonly tokens: number;
    readonly rules: number;
    readonly maxEntries: number;
    readonly residentBytes: number;
  };
  readonly sources: readonly SourceStatus[];
  readonly threads: { readonly live: number; readonly wanted: number; readonly replaced: number };
  readonly journal: { readonly healthy: boolean; readonly trouble?: string };
}

export interface SourceStatus {
  readonly name: string;
  /** `amqp`, `etcd`, ... */
  readonly type: string;
  readonly required: boolean;
  readonly state: 'connecting' | 'reading' | 'standing' | 'broken';
  /** Moment up to which nothing was missed. Absent: never proved. */
  readonly freshAsOfMs?: number;
  /** A stretch in which revocations may have been missed is not closed. */
  readonly gap: boolean;
  readonly publishes: boolean;
  /** Why it is broken. */
  readonly trouble?: string;
}
