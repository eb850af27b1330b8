import { combineSaid, MAX_LIFTED, REMEMBERED_MS, saidMember } from './heard-cutoffs.ts';
import type { SourcePolicy } from './revocation.ts';
import type { Lift, Rule, RuleKind } from './rule.ts';
import type { RuleEvent } from './rule-event.ts';

/** Claims of one rule. */
const MAX_CLAIMS = 8;
/** UTF-8 bytes of a claim's name, of its value and of an issuer. */
export const MAX_RULE_TEXT_BYTES = 1024;
/** From here on a time is epoch milliseconds (September 2001), below it epoch seconds. */
const FIRST_EPOCH_MS = 1e12;
/** What lies behind the year 275760 is no time that a Date can be. */
const LAST_TIME_MS = 8.64e15;
const TIME = /^\s*\d{1,20}(?:\.\d{1,10})?\s*$/;
/** A token may outlive a rule's end by the skew of its `exp`, of its `iat` and of its longest life, and by what is rounded. */
const SKEWS = 3;
const SPARE_MS = 60_000;

/** Why a rule was not taken: fixed phrases without content of the event, for counters, logs and answers. */
export type RuleRefusal =
  | 'rule has no claim'
  | 'rule has too many claims'
  | 'claims are not names with values'
  | 'claim name is empty'
  | 'claim name is too long'
  | 'claim value is empty'
  | 'claim value is too long'
  | 'claim value is neither text, number nor boolean'
  | 'issuer is not a text'
  | 'issuer is empty'
  | 'issuer is too long'
  | 'issuer is not the one that the claim iss names'
  | 'issuer is not for this source to revoke'
  | 'cut-off is not a time'
  | 'cut-off is in the future'
  | 'cut-off is so old that no token it denies is alive'
  | 'end is not a time'
  | 'end is not after the cut-off'
  | 'end has passed'
  | 'rules of this kind are not for this source';

/** Which part of the event a refusal is about. */
export type RuleField = 'claims' | 'issuer' | 'issuedBefore' | 'endsAt' | 'kind';

/** A rule that is not taken. */
export interface RefusedRule {
  readonly action: 'refuse';
  readonly refused: RuleRefusal;
  readonly field: RuleField;
  /** Of `claims`: the one it is about, where it is about one. Content of the event: not for the log. */
  readonly claim?: string;
}

/** What a rule event comes to. */
export type ParsedRule =
  /** One rule; of a source that may deny several issuers' tokens only, and named none: one for each of them. */
  | { readonly action: 'revoke'; readonly rules: readonly Rule[] }
  | { readonly action: 'lift'; readonly lifts: readonly Lift[] }
  /** No token that it denies can be alive: nothing is to be done, and nothing is wrong. A store may list it for ever. */
  | { readonly action: 'ended' }
  | RefusedRule;

/** The kind of a rule, by what it names. */
export function ruleKindOf({
  issuer,
  claims,
}: Pick<Rule, 'issuer' | 'claims'>): Exclude<RuleKind, 'lift'> {
  const [first, ...more] = claims;
  if (first === undefined) return issuer === null ? 'claims' : 'issuer';
  if (more.length > 0) return 'claims';
  const [name] = first;
  if (name === 'sub') return 'subject';
  if (name === 'sid') return 'session';
  return name === 'client' ? 'client' : 'claims';
}

/**
 * Checks one event and turns it into what the list keeps, or says why not. From a source a cut-off or an end that lies too far away is brought
 * near, and an end that makes no sense is as good as none (the longest that it could mean); an operator, who can be asked, is told.
 * @param now epoch milliseconds
 */
export function parseRule(
  event: RuleEvent,
  policy: SourcePolicy,
  now: number,
  from: 'source' | 'operator' = 'source',
): ParsedRule {
  const named = namedBy(event);
  if ('refused' in named) return named;
  const { issuer, claims } = named;
  const allowed = policy.issuers;
  if (issuer !== null && allowed !== undefined && !allowed.includes(issuer))
    return refuse('issuer is not for this source to revoke', 'issuer');
  if (claims.length === 0 && issuer === null) return refuse('rule has no claim', 'claims');
  const lifting = event.action === 'lift';
  if (!policy.rules.has(ruleKindOf(named)) || (lifting && !policy.rules.has('lift')))
    return refuse('rules of this kind are not for this source', 'kind');

  const issuers = issuer === null ? (allowed ?? [null]) : [issuer];
  if (lifting) {
    const times = liftTimesOf(event, policy, now);
    if ('action' in times) return times;
    return { action: 'lift', lifts: issuers.map((issuer) => ({ issuer, claims, ...times })) };
  }
  const times = timesOf(event, policy, now, from === 'operator');
  if ('action' in times) return times;
  return { action: 'revoke', rules: issuers.map((issuer) => ({ issuer, claims, ...times })) };
}

function refuse(refused: RuleRefusal, field: RuleField, claim?: string): RefusedRule {
  return { action: 'refuse', refused, field, ...(claim === undefined ? {} : { claim }) };
}

/** Whom the event names. `iss` among the claims is the issuer: a rule for all of an issuer's tokens is one however it is written. */
function namedBy(event: RuleEvent): Pick<Rule, 'issuer' | 'claims'> | RefusedRule {
  const source: unknown = event.claims;
  if (typeof source !== 'object' || source === null || Array.isArray(source))
    return refuse('claims are not names with values', 'claims');
  const names = Object.keys(source);
  if (names.length > MAX_CLAIMS + 1) return refuse('rule has too many claims', 'claims');
  const claims: [string, string][] = [];
  let inner: string | undefined;
  for (const name of names.sort()) {
    const value = claimText((source as Readonly<Record<string, unknown>>)[name]);
    const refused = nameRefusal(name) ?? valueRefusal(value);
    if (refused !== undefined) return refuse(refused, 'claims', name);
    if (name === 'iss') inner = value;
    else claims.push([name, value ?? '']);
  }
  if (claims.length > MAX_CLAIMS) return refuse('rule has too many claims', 'claims');
  const outer: unknown = event.issuer ?? undefined;
  if (outer !== undefined && typeof outer !== 'string')
    return refuse('issuer is not a text', 'issuer');
  if (outer === '') return refuse('issuer is empty', 'issuer');
  if (outer !== undefined && isTooLong(outer)) return refuse('issuer is too long', 'issuer');
  if (inner !== undefined && outer !== undefined && inner !== outer)
    return refuse('issuer is not the one that the claim iss names', 'issuer');
  return { issuer: outer ?? inner ?? null, claims };
}

/**
 * The text that a claim's value is compared as: a string as it is, a number or a boolean as in JSON. Undefined for anything else. Numbers of
 * more than 53 bits have been rounded by whoever read the JSON, on both sides alike.
 */
export function claimText(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (typeof value === 'boolean' || typeof value === 'bigint') return String(value);
  return typeof value === 'number' && Number.isFinite(value) ? JSON.stringify(value) : undefined;
}

function nameRefusal(name: string): RuleRefusal | undefined {
  if (name === '') return 'claim name is empty';
  return isTooLong(name) ? 'claim name is too long' : undefined;
}

function valueRefusal(value: string | undefined): RuleRefusal | undefined {
  if (value === undefined) return 'claim value is neither text, number nor boolean';
  if (value === '') return 'claim value is empty';
  return isTooLong(value) ? 'claim value is too long' : undefined;
}

function isTooLong(text: string): boolean {
  return text.length > MAX_RULE_TEXT_BYTES || Buffer.byteLength(text) > MAX_RULE_TEXT_BYTES;
}

type Times = Pick<Rule, 'issuedBeforeMs' | 'endsAtMs' | 'heard' | 'endsFromNow'>;
type LiftTimes = Pick<Lift, 'issuedBeforeMs' | 'endsAtMs' | 'said'>;

function timesOf(
  event: RuleEvent,
  { longestTokenLifeMs, clockSkewMs }: SourcePolicy,
  now: number,
  strict: boolean,
): Times | RefusedRule | { readonly action: 'ended' } {
  const cutoff = timeOf(event.issuedBefore);
  if (cutoff === undefined) return refuse('cut-off is not a time', 'issuedBefore');
  if (strict && cutoff > now + clockSkewMs)
    return refuse('cut-off is in the future', 'issuedBefore');
  const issuedBeforeMs = Math.ceil(Math.min(cutoff, now + clockSkewMs));
  const latest = issuedBeforeMs + longestTokenLifeMs;
  if (latest + marginMs(clockSkewMs) <= now)
    return strict
      ? refuse('cut-off is so old that no token it denies is alive', 'issuedBefore')
      : { action: 'ended' };
  const saidMs = Math.ceil(cutoff);
  const ofFar = (endsAtMs: number): Pick<Rule, 'heard'> =>
    saidMs > issuedBeforeMs ? { heard: [{ saidMs, takenMs: issuedBeforeMs, endsAtMs }] } : {};
  const whole: Times = {
    issuedBeforeMs,
    endsAtMs: latest,
    ...ofFar(saidMs + longestTokenLifeMs),
    ...(saidMs > issuedBeforeMs && { endsFromNow: true }),
  };
  if (event.endsAt === undefined || event.endsAt === null) return whole;
  const end = timeOf(event.endsAt);
  if (strict) {
    if (end === undefined) return refuse('end is not a time', 'endsAt');
    if (end <= issuedBeforeMs) return refuse('end is not after the cut-off', 'endsAt');
    if (end <= now) return refuse('end has passed', 'endsAt');
  }
  // Whoever makes a rule thinks that it denies something: an end that has passed is a clock or a unit that is wrong.
  if (end === undefined || end <= issuedBeforeMs || end <= now) return whole;
  const once =
    end > saidMs ? Math.min(end, saidMs + longestTokenLifeMs) : saidMs + longestTokenLifeMs;
  return { issuedBeforeMs, endsAtMs: Math.min(Math.ceil(end), latest), ...ofFar(Math.ceil(once)) };
}

function liftTimesOf(
  event: RuleEvent,
  { longestTokenLifeMs, clockSkewMs }: SourcePolicy,
  now: number,
): LiftTimes | RefusedRule | { readonly action: 'ended' } {
  const cutoff = timeOf(event.issuedBefore);
  if (cutoff === undefined) return refuse('cut-off is not a time', 'issuedBefore');
  // One of the future is lifted by its name alone: brought near, it would take back whatever is revoked before this is heard.
  const isFar = cutoff > now + clockSkewMs;
  const issuedBeforeMs = isFar ? FIRST_EPOCH_MS : Math.ceil(cutoff);
  const listed: readonly unknown[] = Array.isArray(event.saidBefore) ? event.saidBefore : [];
  const times = [...(isFar ? [cutoff] : []), ...listed.slice(0, MAX_LIFTED).map(timeOf)];
  const said = combineSaid(
    times.map((time = 0) => Math.ceil(time)),
    [],
    issuedBeforeMs,
  );
  // What is named may be said again for ever: each time the lift is prolonged, so it need not last as long.
  const lastMs = Math.max(issuedBeforeMs, Math.min(said[0] ?? 0, now + REMEMBERED_MS));
  const endsAtMs = Math.ceil(lastMs + longestTokenLifeMs + marginMs(clockSkewMs));
  if (endsAtMs <= now) return { action: 'ended' };
  return { issuedBeforeMs, endsAtMs, ...saidMember(said) };
}

/** How much longer than `longestTokenLife` after its cut-off a rule can matter. */
function marginMs(clockSkewMs: number): number {
  return SKEWS * clockSkewMs + SPARE_MS;
}

/** Epoch milliseconds, from a number or numeric text in seconds or milliseconds. Undefined for what is no time after 1970. */
function timeOf(value: unknown): number | undefined {
  const isText = typeof value === 'string';
  if (isText && !TIME.test(value)) return undefined;
  if (!isText && typeof value !== 'number' && typeof value !== 'bigint') return undefined;
  const number = Number(value);
  if (!Number.isFinite(number) || number <= 0) return undefined;
  return Math.min(number < FIRST_EPOCH_MS ? number * 1_000 : number, LAST_TIME_MS);
}
