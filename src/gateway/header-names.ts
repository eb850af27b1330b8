/** What becomes of a request's header field. Names in lower case; a field that is not here goes upstream as it came. */
export type FieldKind =
  | 'host'
  | 'credential'
  | 'contentLength'
  | 'transferEncoding'
  | 'connection'
  | 'upgrade'
  | 'expect'
  | 'cookie'
  | 'forwardedFor'
  | 'forwardedHost'
  | 'forwardedProto'
  | 'forwarded'
  | 'overridden'
  | 'dropped';

/** Hop-by-hop fields (RFC 9110 section 7.6.1) and credentials for this proxy. */
const HOP_BY_HOP = [
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'http2-settings',
  'proxy-authorization',
  'proxy-authenticate',
];

/** Becomes `HTTP_PROXY` in CGI, which some HTTP clients take for the proxy to use (CVE-2016-5385). */
const HTTPOXY = 'proxy';

/** Fields by which upstream frameworks let a client replace the method or path that was checked here. */
const OVERRIDES = [
  'x-envoy-original-path',
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'x-original-method',
  'x-original-url',
  'x-rewrite-url',
];

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
): ReadonlyMap<string, FieldKind> {
  const kinds = new Map<string, FieldKind>([
    ['host', 'host'],
    ['content-length', 'contentLength'],
    ['transfer-encoding', 'transferEncoding'],
    ['connection', 'connection'],
    ['upgrade', 'upgrade'],
    ['expect', 'expect'],
    ['cookie', 'cookie'],
    ['x-forwarded-for', 'forwardedFor'],
    ['x-forwarded-host', 'forwardedHost'],
    ['x-forwarded-proto', 'forwardedProto'],
  ]);
  for (const name of FORWARDED) kinds.set(name, 'forwarded');
  for (const name of HOP_BY_HOP) kinds.set(name, 'dropped');
  for (const name of OVERRIDES) kinds.set(name, 'dropped');
  kinds.set(HTTPOXY, 'dropped');
  kinds.set(credential, 'credential');
  for (const name of overridden) {
    const kind = kinds.get(name);
    if (kind === undefined || kind === 'forwarded') kinds.set(name, 'overridden');
  }
  return kinds;
}

/** Fields of a response that end at this hop. */
export const RESPONSE_HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authentication-info',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/**
 * The name that a lenient upstream may read into this one, when it is another: CGI-like servers turn `X_User` and `X-User` into the same
 * variable.
 * @param name in lower case
 */
export function lookAlike(name: string): string | undefined {
  if (!name.includes('_') && !name.includes('--')) return undefined;
  return name.replaceAll(/[-_]+/g, '-');
}

/** Names that a `Connection` field nominates as hop-by-hop; `undefined` for the usual `keep-alive` and `close`. */
export function nominated(connection: string): ReadonlySet<string> | undefined {
  const value = connection.toLowerCase();
  if (value === 'keep-alive' || value === 'close' || value === '') return undefined;
  return new Set(value.split(',').map((name) => name.trim()));
}
