import type {
  ConfirmedThreads,
  Lifted,
  Operations,
  Operator,
  Readiness,
  Revoked,
  RevocationPage,
  RevocationQuery,
  RevocationRecord,
  RevocationRequest,
  Status,
  Verdict,
} from '../admin/operations.ts';
import type { MetricValues } from '../admin/metric-catalogue.ts';
import { ruleRefusal } from '../admin/rule-refusal.ts';
import { fingerprintOfId, idOfLift, idOfRule, idOfToken } from '../admin/rule-id.ts';
import type { TokenVerifier } from '../auth/authenticate.ts';
import { ApiRefusal } from '../errors.ts';
import { systemClock } from '../revocation/clock.ts';
import { FINGERPRINT_WORDS } from '../revocation/fingerprint.ts';
import { liftTimes } from '../revocation/heard-cutoffs.ts';
import type { Journal } from '../revocation/journal/journal.ts';
import { JournalLeft } from '../revocation/journal/journal-files.ts';
import type { RuleRecord, TokenRecord } from '../revocation/journal/record.ts';
import { parseRule, ruleKindOf } from '../revocation/parse-rule.ts';
import {
  parseRevocation,
  type RevocationEvent,
  type SourcePolicy,
} from '../revocation/revocation.ts';
import type { RuleEvent } from '../revocation/rule-event.ts';
import { type Lift, nameOfRule, type Rule } from '../revocation/rule.ts';
import { shapeNames, shapeOf } from '../revocation/rule-shapes.ts';
import { keysOf, type TokenIdentity } from '../revocation/token-identity.ts';
import { type Denier, explain } from './explain.ts';
import { metricValues } from './metrics.ts';
import { outgoingToken, type Publishing } from './publish.ts';
import { shownRecord } from './records.ts';
import { readinessOf, statusOf, type StatusParts } from './status.ts';

/** What an operator's own revocations are listed under. */
const OPERATOR = 'operator';
const NOT_DURABLE =
  'it acts in this gateway, but could not be written to the disk: a restart would forget it. Mend the state folder (during a takeover: end this gateway), and send it again';

const TAKEN_OVER =
  'another gateway took over, and has the journal: ask that one, and end this one. If that one is gone, this one has its journal back within seconds';

/** What the operations are made of. */
export interface OperationsParts extends StatusParts {
  readonly journal: Journal;
  readonly publishing: Publishing;
  readonly verifier: TokenVerifier;
  /** How long tokens live and how far clocks may differ, milliseconds. */
  readonly longestTokenLifeMs: number;
  readonly clockSkewMs: number;
  readonly consumerKeyClaims: readonly string[];
}

/** What the operator's API does, on a running gateway. */
export class GatewayOperations implements Operations {
  readonly #parts: OperationsParts;
  readonly #policy: SourcePolicy;

  constructor(parts: OperationsParts) {
    this.#parts = parts;
    this.#policy = {
      ttlUnit: 'auto',
      longestTokenLifeMs: parts.longestTokenLifeMs,
      clockSkewMs: parts.clockSkewMs,
      rules: new Set(['subject', 'session', 'client', 'claims', 'issuer', 'lift']),
    };
  }

  revoke(
    request: RevocationRequest,
    by: Operator,
    acts: (applied: Pick<Revoked, 'id' | 'applied'>) => void,
  ): Promise<Revoked> {
    return 'token' in request.what
      ? this.#revokeToken(request.what.token, request, acts)
      : this.#revokeByRule(request.what.rule, request, by, acts);
  }

  async revocations({ kind, source, limit, cursor }: RevocationQuery): Promise<RevocationPage> {
    const isRule = kind !== undefined && kind !== 'token' && kind !== 'lift';
    const { records, next } = await this.#read((journal) =>
      journal.list({
        limit,
        ...(kind === undefined ? {} : { kind: isRule ? 'rule' : kind }),
        ...(source === undefined ? {} : { source }),
        ...(cursor === undefined ? {} : { cursor }),
      }),
    ).catch((error: unknown) => {
      if (error instanceof RangeError)
        throw new ApiRefusal('invalid_value', 'the cursor is none of this list', 'cursor');
      throw error;
    });
    const shown = records.map(shownRecord);
    return {
      records: isRule ? shown.filter((record) => record.kind === kind) : shown,
      ...(next === undefined ? {} : { next }),
    };
  }

  async revocation(id: string): Promise<RevocationRecord | undefined> {
    const print = fingerprintOfId(id);
    if (print !== undefined) {
      const token = await this.#read((journal) => journal.find(print, 0));
      return token === undefined ? undefined : shownRecord(token);
    }
    const rule = await this.#ruleById(id);
    if (rule !== undefined) return shownRecord(rule);
    const { lifts } = await this.#rules();
    const lift = lifts.find((record) => idOfLift(record.lift) === id);
    return lift === undefined ? undefined : shownRecord(lift);
  }

  async lift(id: string, why: string, by: Operator): Promise<Lifted> {
    const { revocations } = this.#parts;
    const record = await this.#ruleById(id);
    if (record === undefined) {
      // Lifted before: whoever was told that it could not be written, or not published, sends it again.
      const { lifts } = await this.#rules();
      const before = lifts.find(({ lift }) => idOfRule(lift) === id);
      if (before !== undefined) return this.#lifted(id, before.lift);
      if ((await this.revocation(id)) === undefined)
        throw new ApiRefusal('not_found', 'nothing that is revoked has this id');
      throw new ApiRefusal('not_a_rule', 'only rules can be lifted, and each cut-off once');
    }
    const { issuer, claims } = record.rule;
    const now = systemClock.latest();
    const { issuedBeforeMs, said } = liftTimes(record.rule, now);
    const parsed = parseRule(
      {
        action: 'lift',
        claims: Object.fromEntries(claims),
        issuedBefore: issuedBeforeMs,
        saidBefore: said,
        ...(issuer === null ? {} : { issuer }),
      },
      this.#policy,
      now,
    );
    const lift = parsed.action === 'lift' ? parsed.lifts[0] : undefined;
    if (lift === undefined)
      throw new ApiRefusal('not_found', 'the rule has ended: no token that it denies is alive');
    if (revocations.list.addLift(lift, OPERATOR, { by: by.name, reason: why }) === 'full')
      throw new ApiRefusal('list_full', 'there is no room for another lift: the rule stays');
    return this.#lifted(id, lift);
  }

  explain(token: string): Promise<Verdict> {
    const { verifier, revocations, policy } = this.#parts;
    return explain(token, {
      verifier,
      denier: (identity) => this.#denierOf(identity),
      knowledge: () => revocations.reader.knowledge(),
      policy: () => {
        if (revocations.reader.knowledge() !== 'never') return policy.whenStale;
        return revocations.ready ? 'allow' : 'deny';
      },
      behind: () => revocations.doubts()[0],
    });
  }

  status(): Status {
    return statusOf(this.#parts);
  }

  readiness(): Readiness {
    return readinessOf(this.#parts);
  }

  metrics(): MetricValues {
    return metricValues(this.#parts);
  }

  async #lifted(id: string, lift: Lift): Promise<Lifted> {
    await this.#durable();
    const published = await this.#parts.publishing.rule('lift', lift);
    return { id: idOfLift(lift), lifted: id, endsAtMs: lift.endsAtMs, published };
  }

  async #revokeToken(
    event: RevocationEvent,
    request: RevocationRequest,
    acts: (applied: Pick<Revoked, 'id' | 'applied'>) => void,
  ): Promise<Revoked> {
    const { revocations, publishing } = this.#parts;
    const { list } = revocations;
    const revocation = parseRevocation(event, this.#policy, systemClock.latest());
    if (typeof revocation === 'string') throw new ApiRefusal('invalid_value', revocation, 'token');
    const result = list.addToken(revocation, OPERATOR);
    if (result === 'full') throw listFull();
    const prints = list.fingerprintsOf(revocation.keys);
    const done = { id: idOfToken(prints), applied: APPLIED[result] };
    acts(done);
    await this.#durable();
    const published = await publishing.token(
      outgoingToken(event.token ?? '', event.issuer, revocation.endsAtMs),
    );
    return {
      ...done,
      kind: 'token',
      // What is held, which is more than was asked for where a later end was known.
      endsAtMs: list.heldUntil(revocation),
      published,
      ...(await this.#confirmed(prints, 'tokens', request.waitMs)),
    };
  }

  async #revokeByRule(
    event: RuleEvent,
    { reason, waitMs }: RevocationRequest,
    by: Operator,
    acts: (applied: Pick<Revoked, 'id' | 'applied'>) => void,
  ): Promise<Revoked> {
    const { revocations, publishing } = this.#parts;
    const { list } = revocations;
    const parsed = parseRule(event, this.#policy, systemClock.latest(), 'operator');
    if (parsed.action === 'refuse') throw ruleRefusal(parsed);
    const rule = parsed.action === 'revoke' ? parsed.rules[0] : undefined;
    if (rule === undefined)
      throw new ApiRefusal('invalid_value', 'no token that it denies is alive', 'issuedBefore');
    const before = list.ruleOf(rule);
    const result = list.addRule(rule, OPERATOR, { by: by.name, reason: reason ?? '' });
    if (result === 'full') throw listFull();
    if (result === 'too many shapes')
      throw new ApiRefusal(
        'list_full',
        'rules name too many different sets of claims: use fewer kinds of conjunctions',
      );
    if (result === 'lifted')
      throw new ApiRefusal(
        'invalid_value',
        'this cut-off, or a later one, was lifted: choose a later one',
        'issuedBefore',
      );
    // What holds, which is more than was asked for where a later cut-off or end was known.
    const held = list.ruleOf(rule) ?? rule;
    const isNoMore = result === 'changed' && before !== undefined && holdsAlike(before, held);
    const applied = isNoMore ? 'known' : APPLIED[result];
    const done = { id: idOfRule(rule), applied } as const;
    acts(done);
    await this.#durable();
    const prints = list.fingerprintsOf([nameOfRule(rule)]);
    const published = await publishing.rule('revoke', rule);
    return {
      ...done,
      kind: ruleKindOf(rule),
      endsAtMs: held.endsAtMs,
      issuedBeforeMs: held.issuedBeforeMs,
      published,
      ...(await this.#confirmed(prints, 'rules', waitMs)),
    };
  }

  async #durable(): Promise<void> {
    try {
      await this.#parts.journal.durable();
    } catch (cause) {
      throw new ApiRefusal('not_durable', NOT_DURABLE, undefined, cause);
    }
  }

  /** Asks the journal, where this gateway has it. */
  async #read<T>(question: (journal: Journal) => Promise<T>): Promise<T> {
    try {
      return await question(this.#parts.journal);
    } catch (cause) {
      if (cause instanceof JournalLeft)
        throw new ApiRefusal('taken_over', TAKEN_OVER, undefined, cause);
      throw cause;
    }
  }

  #rules(): ReturnType<Journal['rules']> {
    return this.#read((journal) => journal.rules());
  }

  async #confirmed(
    prints: Uint32Array,
    table: 'tokens' | 'rules',
    waitMs: number | undefined,
  ): Promise<{ confirmedThreads?: ConfirmedThreads }> {
    if (waitMs === undefined) return {};
    return { confirmedThreads: await this.#parts.threads.confirm({ prints, table }, waitMs) };
  }

  async #ruleById(id: string): Promise<RuleRecord | undefined> {
    const { rules } = await this.#rules();
    return rules.find(({ rule }) => idOfRule(rule) === id);
  }

  /**
   * What denies a token, as a request would be told now, with what the journal has of it: the entry under one of its names, or the matching
   * rule with the latest cut-off.
   */
  async #denierOf(identity: TokenIdentity): Promise<Denier | undefined> {
    const { revocations } = this.#parts;
    const kind = revocations.reader.revokedBy(identity);
    if (kind === undefined) return undefined;
    const record =
      kind === 'token'
        ? await this.#tokenRecord(keysOf(identity))
        : await this.#ruleRecord(identity);
    return {
      kind,
      ...(record === undefined ? {} : { record: shownRecord(record) }),
    };
  }

  async #tokenRecord(names: readonly string[]): Promise<TokenRecord | undefined> {
    const prints = this.#parts.revocations.list.fingerprintsOf(names);
    for (let at = 0; at < prints.length; at += FINGERPRINT_WORDS) {
      const record = await this.#read((journal) => journal.find(prints, at));
      if (record !== undefined) return record;
    }
    return undefined;
  }

  async #ruleRecord({ claims = {}, issuers = [] }: TokenIdentity): Promise<RuleRecord | undefined> {
    const { consumerKeyClaims } = this.#parts;
    let latest: RuleRecord | undefined;
    for (const record of (await this.#rules()).rules) {
      const { rule } = record;
      if (rule.issuedBeforeMs <= (latest?.rule.issuedBeforeMs ?? -1)) continue;
      const names = shapeNames(shapeOf(rule), claims, issuers, consumerKeyClaims);
      // A token of which it cannot be said is denied, as for a request.
      if (names === undefined || names.includes(nameOfRule(rule))) latest = record;
    }
    return latest;
  }
}

const APPLIED = { added: 'added', changed: 'extended', same: 'known' } as const;

/** Whether a rule denies the same tokens for as long as before: an older cut-off that was heard besides changes neither. */
function holdsAlike(before: Rule, held: Rule): boolean {
  return before.issuedBeforeMs === held.issuedBeforeMs && before.endsAtMs === held.endsAtMs;
}

function listFull(): ApiRefusal {
  return new ApiRefusal('list_full', 'the list is full: raise tokenRevocationConfig.maxEntries');
}
