import type { EdgeRules } from './edge-rules.ts';
import { CONNECTION_SPECIFIC } from './http2-fields.ts';

/** What becomes of a request's header field. Names in lower case; a field that is not here is looked at more closely. */
export type FieldKind =
  | 'plain'
  | 'host'
  | 'credential'
  | 'authorization'
  | 'contentLength'
  | 'transferEncoding'
  | 'connection'
  | 'upgrade'
  | 'expect'
  | 'cookie'
  | 'te'
  | 'forwardedFor'
  | 'forwardedHost'
  | 'forwardedProto'
  | 'forwarded'
  | 'overridden'
  | 'dropped';

/** Usual end-to-end fields: they go upstream as they came, without a look at their names. */
const PLAIN = [
  'accept',
  'accept-encoding',
  'accept-language',
  'baggage',
  'cache-control',
  'content-encoding',
  'content-language',
  'content-type',
  'dnt',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-unmodified-since',
  'origin',
  'pragma',
  'priority',
  'range',
  'referer',
  'sec-ch-ua',
  'sec-ch-ua-mobile',
  'sec-ch-ua-platform',
  'sec-fetch-dest',
  'sec-fetch-mode',
  'sec-fetch-site',
  'sec-fetch-user',
  'traceparent',
  'tracestate',
  'upgrade-insecure-requests',
  'user-agent',
  'x-request-id',
  'x-requested-with',
];

/** Kinds of fields that a header rule may set in place of the client's. */
const SETTABLE: ReadonlySet<FieldKind | undefined> = new Set([
  undefined,
  'plain',
  'forwarded',
  'authorization',
]);

/** Hop-by-hop fields (RFC 9110 section 7.6.1) and credentials for this proxy. */
const HOP_BY_HOP = [
  'keep-alive',
  'proxy-connection',
  'trailer',
  'http2-settings',
  'proxy-authorization',
  'proxy-authenticate',
];

/** Becomes `HTTP_PROXY` in CGI, which some HTTP clients take for the proxy to use (CVE-2016-5385). */
const HTTPOXY = 'proxy';

/** Fields by which upstream frameworks let a client replace the method that was checked here. */
const METHOD_OVERRIDES = [
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'x-original-method',
];

/** The same for the path; no rule lets them through. */
const PATH_OVERRIDES = ['x-envoy-original-path', 'x-original-url', 'x-rewrite-url'];

/** Fields about earlier hops that only a trusted proxy may set, beside all that start with {@link FORWARDED_PREFIX}. */
const FORWARDED = [
  'cf-connecting-ip',
  'forwarded',
  'true-client-ip',
  'x-client-ip',
  'x-cluster-client-ip',
  'x-real-ip',
];

export const FORWARDED_PREFIX = 'x-forwarded-';

/**
 * The kinds of all special request fields.
 * @param credential name of the credential header, in lower case
 * @param overridden names that a header rule sets, in lower case
 */
export function fieldKinds(
  credential: string,
  overridden: readonly string[],
  rules: EdgeRules,
): ReadonlyMap<string, FieldKind> {
  const kinds = new Map<string, FieldKind>([
    ['host', 'host'],
    ['content-length', 'contentLength'],
    ['transfer-encoding', 'transferEncoding'],
    ['connection', 'connection'],
    ['upgrade', 'upgrade'],
    ['expect', 'expect'],
    ['cookie', 'cookie'],
    ['te', 'te'],
    ['x-forwarded-for', 'forwardedFor'],
    ['x-forwarded-host', 'forwardedHost'],
    ['x-forwarded-proto', 'forwardedProto'],
  ]);
  for (const name of PLAIN) kinds.set(name, 'plain');
  for (const name of FORWARDED) kinds.set(name, 'forwarded');
  for (const name of HOP_BY_HOP) kinds.set(name, 'dropped');
  for (const name of PATH_OVERRIDES) kinds.set(name, 'dropped');
  if (rules.methodOverride === 'remove') {
    for (const name of METHOD_OVERRIDES) kinds.set(name, 'dropped');
  }
  kinds.set(HTTPOXY, 'dropped');
  kinds.set('authorization', 'authorization');
  kinds.set(credential, 'credential');
  for (const name of overridden) {
    if (SETTABLE.has(kinds.get(name))) kinds.set(name, 'overridden');
  }
  return kinds;
}

/** Fields of a response that end at this hop. */
export const RESPONSE_HOP_BY_HOP: ReadonlySet<string> = new Set([
  ...CONNECTION_SPECIFIC,
  'proxy-authenticate',
  'proxy-authentication-info',
  'te',
  'trailer',
]);

/** Fields that mean nothing, or something else, behind a body (RFC 9110 section 6.5.1): framing, routing, credentials, how to read the body. */
export const NO_TRAILERS: ReadonlySet<string> = new Set([
  ...RESPONSE_HOP_BY_HOP,
  'authorization',
  'cache-control',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'host',
  'location',
  'proxy-authorization',
  'set-cookie',
  'www-authenticate',
]);

const DASH = 0x2d;

/**
 * The name that a lenient upstream may read into this one, when it is another: CGI-like servers turn `X_User`, `X-User` and some `X.User` too
 * into the same variable.
 * @param name in lower case
 */
export function lookAlike(name: string): string | undefined {
  let before = 0;
  for (let at = 0; at < name.length; at++) {
    const character = name.charCodeAt(at);
    if (character === DASH ? before === DASH : !isAlphanumeric(character)) {
      return name.replaceAll(/[^a-z0-9]+/g, '-');
    }
    before = character;
  }
  return undefined;
}

function isAlphanumeric(character: number): boolean {
  return character >= 0x61 ? character <= 0x7a : character >= 0x30 && character <= 0x39;
}

/** Names that a `Connection` field nominates as hop-by-hop; `undefined` for the usual `keep-alive` and `close`. */
export function nominated(connection: string): ReadonlySet<string> | undefined {
  const value = connection.toLowerCase();
  if (value === 'keep-alive' || value === 'close' || value === '') return undefined;
  return new Set(value.split(',').map((name) => name.trim()));
}
