import { KnownTexts } from './known-texts.ts';
import { invalidToken } from './refusal.ts';
import { member } from '../strict-json.ts';
import type { JsonObject } from '../strict-json.ts';

/** What one issuer's tokens must say. */
export interface ClaimRules {
  readonly issuer: string;
  /** Any one of them must be in `aud`; absent or empty: `aud` is not compared. */
  readonly audience?: readonly string[];
  /** Claims without which a token is refused; each true unless set to false. */
  readonly requireSub?: boolean;
  readonly requireAud?: boolean;
  readonly requireExp?: boolean;
  readonly requireJti?: boolean;
  /** Default false. True: a token that does not show its whole life, and so could outlive its revocation, is refused. */
  readonly requireIat?: boolean;
  /** Claim that names the client application (WSO2's `consumerKeyClaim`). Absent: `client_id`, then `azp`, then `consumerKey`. */
  readonly consumerKeyClaim?: string;
}

/** Clocks and bounds that hold for every issuer, milliseconds. */
export interface ClaimTimes {
  readonly nowMs: number;
  readonly clockSkewMs: number;
  readonly longestTokenLifeMs: number;
}

const NO_SCOPES: ReadonlySet<string> = new Set();

/** One set serves all tokens with one text. */
const knownScopes = new KnownTexts<ReadonlySet<string>>();

/** What a claim set came to. */
interface CheckedClaims {
  readonly subject: string | undefined;
  readonly clientId: string | undefined;
  readonly jti: string | undefined;
  readonly scopes: ReadonlySet<string>;
  readonly keyType: 'PRODUCTION' | 'SANDBOX';
  /** End of the token's life, epoch milliseconds, without clock skew. */
  readonly expiresAtMs: number;
}

/** Thrown detail of tokens that live too long: operators must hear which key signs them. */
export const LIVES_TOO_LONG = 'the token lives longer than longestTokenLife';

/** Numbers from here on are milliseconds: WSO2 writes `iat` so. As seconds it would be the year 33658. */
const FIRST_MILLISECONDS = 1e12;

/** Token kinds of RFC 9068 and RFC 7519 section 5.1 that may be presented; others (logout, DPoP proof, security event) may not. */
const ACCESS_TOKEN_TYPES: ReadonlySet<string> = new Set(['jwt', 'at+jwt']);

/** Claims that only ID tokens and logout tokens have (OpenID Connect Core section 3.1.3.6, Back-Channel Logout section 2.4). */
const FOREIGN_CLAIMS = ['at_hash', 'c_hash', 's_hash', 'events'];

/** Values of Keycloak's claim `typ`, Cognito's and Hydra's `token_use` and introspection's `token_type` for what is no access token. */
const FOREIGN_KINDS: ReadonlySet<string> = new Set([
  'id',
  'id_token',
  'refresh',
  'refresh_token',
  'offline',
  'logout',
]);

/** The header's `typ` (RFC 8725 section 3.11): absent, or a kind of access token. @throws GatewayFault 401 */
export function checkType(typ: string | undefined): void {
  if (typ === undefined) return;
  const kind = typ.toLowerCase().replace(/^application\//, '');
  if (!ACCESS_TOKEN_TYPES.has(kind)) throw invalidToken('typ is not that of an access token');
}

/** What a claim set or an introspection answer says of the token's kind: absent, or an access token's. @throws GatewayFault 401 */
export function checkKind(claims: JsonObject): void {
  for (const name of ['typ', 'token_use', 'token_type']) {
    const kind = member(claims, name);
    if (typeof kind === 'string' && FOREIGN_KINDS.has(kind.toLowerCase()))
      throw invalidToken(`${name} is not that of an access token`);
  }
}

/** `nbf` (RFC 7519 section 4.1.5), where there is one. @throws GatewayFault 401 */
export function checkNotBefore(claims: JsonObject, { nowMs, clockSkewMs }: ClaimTimes): void {
  const notBefore = numericDate(claims, 'nbf');
  if (notBefore !== undefined && notBefore * 1_000 - clockSkewMs > nowMs)
    throw invalidToken('nbf is in the future');
}

/**
 * Checks the time claims alone (RFC 7519 sections 4.1.4 to 4.1.6) and gives the end of the token's life in epoch milliseconds. `exp` is
 * whole seconds; `iat` may be in milliseconds. No token may live longer than `longestTokenLife`, because no revocation is kept longer.
 * @throws GatewayFault 401
 */
export function checkTimes(claims: JsonObject, requireExp: boolean, times: ClaimTimes): number {
  const { nowMs, clockSkewMs, longestTokenLifeMs } = times;
  const exp = member(claims, 'exp');
  checkNotBefore(claims, times);
  const issuedAt = numericDate(claims, 'iat');
  const issuedAtMs =
    issuedAt === undefined || issuedAt >= FIRST_MILLISECONDS ? issuedAt : issuedAt * 1_000;
  if (issuedAtMs !== undefined && issuedAtMs - clockSkewMs > nowMs)
    throw invalidToken('iat is in the future');
  if (exp !== undefined && !(typeof exp === 'number' && Number.isSafeInteger(exp) && exp > 0))
    throw invalidToken('exp is not a whole, positive number of seconds');
  if (exp === undefined && requireExp) throw invalidToken('exp is missing');
  if (exp === undefined && issuedAtMs === undefined)
    throw invalidToken('neither exp nor iat is there');
  const latestMs = (issuedAtMs ?? nowMs) + longestTokenLifeMs;
  const expiresAtMs = exp === undefined ? latestMs : exp * 1_000;
  if (expiresAtMs + clockSkewMs <= nowMs) throw invalidToken('the token has expired');
  if (expiresAtMs > nowMs + longestTokenLifeMs || expiresAtMs > latestMs + clockSkewMs)
    throw invalidToken(LIVES_TOO_LONG);
  return expiresAtMs;
}

/**
 * Checks a verified JWT's claim set against its issuer's rules (RFC 7519 section 4.1, RFC 8725 sections 3.8 to 3.12). `iss` was used to
 * find the rules and keys and is compared exactly there.
 * @throws GatewayFault 401
 */
export function checkClaims(
  claims: JsonObject,
  rules: ClaimRules,
  times: ClaimTimes,
): CheckedClaims {
  const expiresAtMs = checkTimes(claims, rules.requireExp ?? true, times);
  if (rules.requireIat === true && member(claims, 'iat') === undefined)
    throw invalidToken('iat is missing');
  const subject = text(claims, 'sub', rules.requireSub ?? true);
  const jti = text(claims, 'jti', rules.requireJti ?? true);
  checkAudience(claims, rules);
  if (FOREIGN_CLAIMS.some((name) => member(claims, name) !== undefined))
    throw invalidToken('a claim that access tokens do not have');
  checkKind(claims);
  return {
    subject,
    jti,
    clientId: clientOf(claims, rules.consumerKeyClaim),
    scopes: scopesOf(claims),
    keyType: keyTypeOf(claims),
    expiresAtMs,
  };
}

/** Scopes of `scope` (RFC 8693 section 4.2), or else `scp`: blank-separated, or an array. Anything else grants nothing. */
export function scopesOf(claims: JsonObject): ReadonlySet<string> {
  const value = member(claims, 'scope') ?? member(claims, 'scp');
  if (typeof value === 'string') return scopesOfText(value);
  return Array.isArray(value) ? setOf(value) : NO_SCOPES;
}

function scopesOfText(text: string): ReadonlySet<string> {
  const before = knownScopes.get(text);
  if (before !== undefined) return before;
  const scopes = setOf(text.split(' '));
  knownScopes.set(text, scopes);
  return scopes;
}

function setOf(list: readonly unknown[]): ReadonlySet<string> {
  return new Set(
    list.filter((scope): scope is string => typeof scope === 'string' && scope !== ''),
  );
}

/** `SANDBOX` exactly when the claim `keytype` says so. */
export function keyTypeOf(claims: JsonObject): 'PRODUCTION' | 'SANDBOX' {
  return member(claims, 'keytype') === 'SANDBOX' ? 'SANDBOX' : 'PRODUCTION';
}

/** The client application: the configured claim's text, or its first element where it is a list such as `aud`. */
export function clientOf(claims: JsonObject, claim: string | undefined): string | undefined {
  for (const name of claim === undefined ? ['client_id', 'azp', 'consumerKey'] : [claim]) {
    const value = member(claims, name);
    const first: unknown = Array.isArray(value) ? value[0] : value;
    if (typeof first === 'string' && first !== '') return first;
  }
  return undefined;
}

/** A finite number that is not negative (RFC 7519 section 2, NumericDate); fractions are allowed there. */
function numericDate(claims: JsonObject, name: string): number | undefined {
  const value = member(claims, name);
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0)
    throw invalidToken(`${name} is not a number of seconds`);
  return value;
}

function text(claims: JsonObject, name: string, required: boolean): string | undefined {
  const value = member(claims, name);
  if (value === undefined && !required) return undefined;
  if (typeof value !== 'string' || value === '')
    throw invalidToken(`${name} is missing or not a text`);
  return value;
}

/** RFC 7519 section 4.1.3: a string or an array of strings, compared whole. */
function checkAudience(claims: JsonObject, rules: ClaimRules): void {
  const aud = member(claims, 'aud');
  const wanted = rules.audience ?? [];
  if (aud === undefined && wanted.length === 0 && rules.requireAud === false) return;
  const members: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
  if (members.length === 0 || !members.every((one) => typeof one === 'string' && one !== ''))
    throw invalidToken('aud is missing or not a text or list of texts');
  if (wanted.length > 0 && !members.some((one) => typeof one === 'string' && wanted.includes(one)))
    throw invalidToken('aud is none that is configured');
}

/** The issuer that a claim set names, unverified: only good for finding the issuer's keys. @throws GatewayFault 401 */
export function issuerOf(claims: JsonObject): string {
  const issuer = member(claims, 'iss');
  if (typeof issuer !== 'string') throw invalidToken('iss is missing or not a text');
  return issuer;
}
