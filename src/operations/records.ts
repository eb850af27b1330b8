import type { RevocationRecord } from '../admin/operations.ts';
import { idOfLift, idOfRule, idOfToken } from '../admin/rule-id.ts';
import type { LiftRecord, RuleRecord, TokenRecord } from '../revocation/journal/record.ts';
import { fingerprintWords } from '../revocation/journal/record.ts';
import { ruleKindOf } from '../revocation/parse-rule.ts';

/** A record of the journal as the operator sees it. */
export function shownRecord(record: TokenRecord | RuleRecord | LiftRecord): RevocationRecord {
  if (record.kind === 'token') {
    const { fingerprint, source, learntAtMs, endSeconds } = record;
    const id = idOfToken(fingerprintWords(fingerprint) ?? new Uint32Array(3));
    return { id, kind: 'token', source, learntAtMs, endsAtMs: endSeconds * 1000 };
  }
  const isLift = record.kind === 'lift';
  const rule = isLift ? record.lift : record.rule;
  const { source, by, reason } = record;
  return {
    id: isLift ? idOfLift(rule) : idOfRule(rule),
    kind: isLift ? 'lift' : ruleKindOf(rule),
    source,
    learntAtMs: isLift ? record.atMs : record.learntAtMs,
    endsAtMs: rule.endsAtMs,
    issuedBeforeMs: rule.issuedBeforeMs,
    ...(rule.issuer === null ? {} : { issuer: rule.issuer }),
    claims: rule.claims,
    ...(by === undefined ? {} : { by }),
    ...(reason === undefined ? {} : { reason }),
  };
}
