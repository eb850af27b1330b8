import { ApiRefusal } from '../errors.ts';
import type { RuleEvent } from '../revocation/rule-event.ts';
import { isJsonObject, type JsonObject, member } from '../strict-json.ts';
import { shownName } from './body.ts';
import { parseInstant } from './instant.ts';
import type { RevocationRequest } from './operations.ts';

/** As many as the core takes (parse-rule.ts). */
const MAX_CLAIMS = 8;
const MAX_REASON = 256;
const MAX_WAIT_MS = 30_000;
const DEFAULT_WAIT_MS = 5_000;

/** Members of a rule, and the claim that each stands for. */
const NAMED = [
  ['subject', 'sub'],
  ['session', 'sid'],
  ['client', 'client'],
] as const;

const ONLY_IN_RULES = ['subject', 'session', 'client', 'claims', 'issuedBefore'] as const;

const MEMBERS: ReadonlySet<string> = new Set([
  'token',
  ...ONLY_IN_RULES,
  'issuer',
  'endsAt',
  'reason',
  'wait',
  'timeoutMs',
]);

/**
 * Reads the body of `POST /revocations`. What it says of tokens and rules is left for the core to judge, but for what only this form can get
 * wrong. `now` is epoch milliseconds: the cut-off of a rule that names none.
 * @throws ApiRefusal naming the field
 */
export function parseRevocationRequest(body: JsonObject, now: number): RevocationRequest {
  refuseUnknown(body, MEMBERS);
  const token = textMember(body, 'token');
  if (token !== undefined) checkToken(token);
  const reason = reasonMember(body, token);
  const waitMs = waitMember(body);
  const rest = {
    ...(reason === undefined ? {} : { reason }),
    ...(waitMs === undefined ? {} : { waitMs }),
  };
  const issuer = textMember(body, 'issuer');
  const endsAt = instantMember(body, 'endsAt');
  if (token === undefined) return { what: { rule: ruleOf(body, issuer, endsAt, now) }, ...rest };

  for (const name of ONLY_IN_RULES) {
    if (member(body, name) !== undefined)
      throw new ApiRefusal('invalid_value', `"${name}" and "token" exclude each other`, name);
  }
  if (endsAt !== undefined && endsAt <= now)
    throw new ApiRefusal('invalid_value', '"endsAt" has passed', 'endsAt');
  const event = {
    token,
    ...(issuer === undefined ? {} : { issuer }),
    ...(endsAt === undefined ? {} : { expiryTime: endsAt }),
  };
  return { what: { token: event }, ...rest };
}

function ruleOf(
  body: JsonObject,
  issuer: string | undefined,
  endsAt: number | undefined,
  now: number,
): RuleEvent {
  const claims = claimsOf(body);
  const issuedBefore = instantMember(body, 'issuedBefore');
  if (claims.size === 0) {
    if (issuer === undefined)
      throw new ApiRefusal(
        'missing_value',
        'name what is revoked: "token", or "subject", "session", "client", "claims" or "issuer"',
        'token',
      );
    // Whoever forgets the subject must not revoke everybody.
    if (issuedBefore === undefined)
      throw new ApiRefusal(
        'missing_value',
        'a rule for all tokens of an issuer must say "issuedBefore"',
        'issuedBefore',
      );
  }
  const cutoff = issuedBefore ?? now;
  if (endsAt !== undefined && endsAt <= Math.max(cutoff, now))
    throw new ApiRefusal(
      'invalid_value',
      endsAt <= cutoff
        ? '"endsAt" must be later than "issuedBefore"'
        : '"endsAt" has passed: the rule would deny nothing',
      'endsAt',
    );
  return {
    action: 'revoke',
    ...(issuer === undefined ? {} : { issuer }),
    // Defines own members, whatever their names are.
    claims: Object.fromEntries(claims),
    issuedBefore: cutoff,
    ...(endsAt === undefined ? {} : { endsAt }),
  };
}

function claimsOf(body: JsonObject): Map<string, string | number | boolean> {
  const claims = new Map<string, string | number | boolean>();
  for (const [name, claim] of NAMED) {
    const value = textMember(body, name);
    if (value !== undefined) claims.set(claim, value);
  }
  const object = member(body, 'claims');
  if (object === undefined) return claims;
  if (!isJsonObject(object))
    throw new ApiRefusal('invalid_value', '"claims" must be an object', 'claims');
  const entries = Object.entries(object);
  if (entries.length === 0 || entries.length > MAX_CLAIMS)
    throw new ApiRefusal(
      'invalid_value',
      `"claims" must have 1 to ${MAX_CLAIMS} members`,
      'claims',
    );
  for (const [name, value] of entries) {
    const field = `claims.${shownName(name)}`;
    if (name.trim() === '')
      throw new ApiRefusal('invalid_value', 'the name of a claim is empty', field);
    if (name === 'iss')
      throw new ApiRefusal('invalid_value', 'the issuer is the member "issuer"', field);
    if (claims.has(name))
      throw new ApiRefusal('invalid_value', 'the claim is named twice in this rule', field);
    const plain = typeof value === 'number' || typeof value === 'boolean';
    claims.set(name, plain ? value : text(value, field));
  }
  return claims;
}

/** @throws ApiRefusal unknown_member naming the first member that is none of `known` */
export function refuseUnknown(body: JsonObject, known: ReadonlySet<string>): void {
  for (const name of Object.keys(body)) {
    if (!known.has(name))
      throw new ApiRefusal(
        'unknown_member',
        `the body has no such member; it may have: ${[...known].join(', ')}`,
        shownName(name),
      );
  }
}

/** A member that is text and not blank; undefined when it is not there. */
export function textMember(body: JsonObject, name: string): string | undefined {
  const value = member(body, name);
  return value === undefined ? undefined : text(value, name);
}

function text(value: unknown, field: string): string {
  if (typeof value !== 'string')
    throw new ApiRefusal('invalid_value', `"${field}" must be text`, field);
  if (value.trim() === '')
    throw new ApiRefusal('invalid_value', `"${field}" must not be empty`, field);
  return value;
}

function instantMember(body: JsonObject, name: string): number | undefined {
  const value = member(body, name);
  if (value === undefined) return undefined;
  const at = parseInstant(value);
  if (typeof at !== 'number')
    throw new ApiRefusal('invalid_value', `"${name}" ${at.problem}`, name);
  return at;
}

/** Begins like the header of a JWT: `{"` in base64url, and a dot. */
const LIKE_A_JWT = /eyJ[\w-]{6,}\./;

/**
 * A JWT among other words is most likely a whole credential field, or several tokens: taken as one name it would revoke nothing, and nobody
 * would notice. One that is broken into lines is a whole JWT.
 */
function checkToken(token: string): void {
  const text = token.trim();
  if (!/\s/.test(text)) return;
  const isBroken = text.startsWith('eyJ') && text.split('.').length === 3;
  if (/^bearer\s/i.test(text) || (LIKE_A_JWT.test(text) && !isBroken))
    throw new ApiRefusal(
      'invalid_value',
      '"token" holds more than a token: give one, without the words around it',
      'token',
    );
}

function reasonMember(body: JsonObject, token: string | undefined): string | undefined {
  const reason = textMember(body, 'reason');
  if (reason !== undefined) checkReason(reason, token);
  return reason;
}

/** A reason is kept and shown, so it is short, and no place for a token. @throws ApiRefusal invalid_value with field `reason` */
export function checkReason(reason: string, token?: string): void {
  if (reason.length > MAX_REASON)
    throw new ApiRefusal('invalid_value', `"reason" is longer than ${MAX_REASON}`, 'reason');
  const holdsToken = token !== undefined && token.length >= 8 && reason.includes(token.trim());
  if (holdsToken || LIKE_A_JWT.test(reason))
    throw new ApiRefusal('invalid_value', '"reason" is kept and shown: no token in it', 'reason');
}

function waitMember(body: JsonObject): number | undefined {
  const wait = member(body, 'wait');
  const timeout = member(body, 'timeoutMs');
  if (wait === undefined) {
    if (timeout !== undefined)
      throw new ApiRefusal('invalid_value', '"timeoutMs" needs "wait"', 'timeoutMs');
    return undefined;
  }
  if (wait !== 'threads') throw new ApiRefusal('invalid_value', '"wait" must be "threads"', 'wait');
  if (timeout === undefined) return DEFAULT_WAIT_MS;
  if (!Number.isInteger(timeout) || Number(timeout) < 1 || Number(timeout) > MAX_WAIT_MS)
    throw new ApiRefusal(
      'invalid_value',
      `"timeoutMs" must be a whole number from 1 to ${MAX_WAIT_MS}`,
      'timeoutMs',
    );
  return Number(timeout);
}
