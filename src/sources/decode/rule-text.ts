/**
 * Rules as text: base64 of a JSON object in the place of a token, which is how WSO2 API Manager 4.3 and newer put them into messages and etcd.
 *
 * - a client: `{consumerKey, revocationTime}`
 * - a user: `{entityId, entityType: "USER_ID", revocationTime}`; with `CLIENT_ID` a client
 *
 * All values are text there, times epoch milliseconds. Portcullis writes these two for rules that name nothing but a client or a subject, with `issuer`
 * and `endsAt` beside them, which WSO2's readers pass over. Everything else, and every lift, is its own:
 * `{portcullisRule: "revoke" | "lift", issuer, claims, issuedBefore, endsAt}`, a lift with `saidBefore`: cut-offs that sources said and that lay too
 * far in the future to be taken so.
 */

/** A rule as its text tells of it: a `RuleEvent`. Times are as received. */
export interface RuleInText {
  readonly action: 'revoke' | 'lift';
  readonly issuer?: string;
  readonly claims: JsonObject;
  readonly issuedBefore: unknown;
  readonly endsAt?: unknown;
  readonly saidBefore?: unknown;
}

/** A rule to be written: an `OutgoingRule`. Times are epoch milliseconds. */
interface WritableRule {
  readonly action: 'revoke' | 'lift';
  readonly rule: {
    readonly issuer: string | null;
    readonly claims: readonly (readonly [name: string, value: string])[];
    readonly issuedBeforeMs: number;
    readonly endsAtMs: number;
    /** Of a lift. */
    readonly said?: readonly number[];
  };
}

type JsonObject = Readonly<Record<string, unknown>>;

/** What a text says that is a rule, or was meant to be one. */
export type RuleReading =
  | { readonly kind: 'rule'; readonly event: RuleInText }
  | { readonly kind: 'drop'; readonly reason: string; readonly reload: true };

/** Characters of a rule's text: what fits into a message together with the rest. */
export const MAX_RULE_TEXT_LENGTH = 48 * 1024;

/** Names of entity types, in lower case without what is between the words. WSO2 writes `USER_ID` and `CLIENT_ID`, and its tests `USER`. */
const CLAIM_OF_ENTITY: ReadonlyMap<string, 'sub' | 'client'> = new Map([
  ['user', 'sub'],
  ['userid', 'sub'],
  ['client', 'client'],
  ['clientid', 'client'],
]);

/** Event types, as far as they can be known; readers go by the payload. */
const CLIENT_TYPE = 'consumer_app_revocation';
const SUBJECT_TYPE = 'subject_entity_revocation';
const OWN_TYPE = 'portcullis_rule';

/** Whether an event of this type (in lower case) carries a rule, whatever else is in it. */
export function isRuleType(type: string): boolean {
  return [CLIENT_TYPE, SUBJECT_TYPE, OWN_TYPE].some((prefix) => type.startsWith(prefix));
}

/** The rule in a text; undefined for a text that is none, which a token is then. Never throws. */
export function readRuleText(text: string): RuleReading | undefined {
  // Nearly every text is a token: most are told by their first characters.
  if (!/^\s*\{/.test(Buffer.from(text.slice(0, 40), 'base64').toString('latin1'))) return undefined;
  if (text.length > MAX_RULE_TEXT_LENGTH || /[^\w+/=\s-]/.test(text)) return undefined;
  const object = parseJson(Buffer.from(text, 'base64'));
  return isJsonObject(object) ? readRuleObject(object) : undefined;
}

/** The rule in an object of those forms, and in an entry of WSO2's lists, whose names are in snake case. Undefined for one that is none. */
export function readRuleObject(object: JsonObject): RuleReading | undefined {
  if (Object.hasOwn(object, 'portcullisRule')) {
    const event = ruleEventOf({ ...object, action: object['portcullisRule'] });
    return typeof event === 'string' ? drop(event) : { kind: 'rule', event };
  }
  const issuedBefore = either(object, 'revocationTime', 'revocation_time');
  if (issuedBefore === undefined || issuedBefore === null) return undefined;
  const consumerKey = either(object, 'consumerKey', 'consumer_key');
  const entityId = either(object, 'entityId', 'entity_id');
  if (consumerKey === undefined && entityId === undefined) return undefined;
  const claim = consumerKey === undefined ? claimOfEntity(object) : 'client';
  if (claim === undefined) return drop('revocation rule for an unknown kind of entity');
  const { issuer, endsAt } = object;
  const claims = { [claim]: consumerKey ?? entityId };
  const event = ruleEventOf({ action: 'revoke', issuer, claims, issuedBefore, endsAt });
  return typeof event === 'string' ? drop(event) : { kind: 'rule', event };
}

/**
 * A rule event from JSON, or of an extension: `claims` and `issuedBefore`, with `issuer`, `endsAt` and `action` (`revoke` if absent). Its parts
 * are checked by whoever keeps the list; a text is the reason why there is none.
 */
export function ruleEventOf(object: JsonObject): RuleInText | string {
  const { action, issuer, claims, issuedBefore, endsAt, saidBefore } = object;
  if (action !== undefined && action !== 'revoke' && action !== 'lift')
    return 'rule has an unknown action';
  if (issuer !== undefined && issuer !== null && typeof issuer !== 'string')
    return 'issuer is not a string';
  if (!isJsonObject(claims)) return 'claims of a rule are no object';
  return {
    action: action ?? 'revoke',
    claims,
    issuedBefore,
    ...(typeof issuer === 'string' && { issuer }),
    ...(endsAt !== undefined && endsAt !== null && { endsAt }),
    ...(action === 'lift' && Array.isArray(saidBefore) && { saidBefore }),
  };
}

/** @throws Error when it is longer than any channel takes */
export function writeRuleText({ action, rule }: WritableRule): {
  /** Of the event that carries it. */
  readonly type: string;
  /** base64url without padding, which WSO2's readers take too: it needs no escape in a URL or a key. */
  readonly text: string;
} {
  const { issuer, claims, issuedBeforeMs, endsAtMs, said } = rule;
  const beside = { issuer: issuer ?? undefined, endsAt: String(endsAtMs) };
  const time = String(issuedBeforeMs);
  const [[name, value] = ['', '']] = claims.length === 1 && action === 'revoke' ? claims : [];
  const written =
    name === 'client'
      ? { type: CLIENT_TYPE, object: { consumerKey: value, revocationTime: time, ...beside } }
      : name === 'sub'
        ? {
            type: SUBJECT_TYPE,
            object: { entityId: value, entityType: 'USER_ID', revocationTime: time, ...beside },
          }
        : {
            type: OWN_TYPE,
            object: {
              portcullisRule: action,
              claims: Object.fromEntries(claims),
              issuedBefore: time,
              ...beside,
              ...(action === 'lift' && said !== undefined && { saidBefore: said.map(String) }),
            },
          };
  const text = Buffer.from(JSON.stringify(written.object), 'utf8').toString('base64url');
  if (text.length > MAX_RULE_TEXT_LENGTH) throw new Error('the rule is too long to be published');
  return { type: written.type, text };
}

function drop(reason: string): RuleReading {
  return { kind: 'drop', reason, reload: true };
}

function claimOfEntity(object: JsonObject): 'sub' | 'client' | undefined {
  const type = either(object, 'entityType', 'entity_type');
  if (typeof type !== 'string') return undefined;
  return CLAIM_OF_ENTITY.get(type.toLowerCase().replaceAll(/[^a-z]/g, ''));
}

function either(object: JsonObject, camel: string, snake: string): unknown {
  if (Object.hasOwn(object, camel)) return object[camel];
  return Object.hasOwn(object, snake) ? object[snake] : undefined;
}

/** Undefined for what is no JSON in strict UTF-8: U+FFFD in place of other bytes would name somebody else. */
function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown;
  } catch {
    return undefined;
  }
}

function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
