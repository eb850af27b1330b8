import { GatewayFault } from '../errors.ts';
import { FIELD_OVERHEAD } from '../http1/rules.ts';
import { type EdgeRules, edgeRules } from './edge-rules.ts';
import {
  type FieldKind,
  fieldKinds,
  FORWARDED_PREFIX,
  lookAlike,
  nominated,
} from './header-names.ts';
import type { HeaderRule, Limits } from './options.ts';

/** What is said about all header fields once, at the start. */
export interface HeaderPolicy {
  readonly kinds: ReadonlyMap<string, FieldKind>;
  readonly credentialName: string;
  readonly removeCredential: boolean;
  /** Name and value, alternating, that every upstream request gets from header rules. */
  readonly requestOverrides: readonly string[];
  /** Of answers made here. */
  readonly serverHeader: string | undefined;
  /** `Server` of the upstream is not passed on. */
  readonly replaceServer: boolean;
  readonly edge: EdgeRules;
}

export function headerPolicy(options: {
  readonly authorizationHeader?: string | undefined;
  readonly removeAuthHeader?: boolean | undefined;
  readonly serverHeader?: string | undefined;
  readonly headerRules?: readonly HeaderRule[] | undefined;
  readonly edge?: Partial<EdgeRules> | undefined;
}): HeaderPolicy {
  const edge = edgeRules(options.edge);
  const rules = options.headerRules ?? [];
  const server = rules.find((rule) => rule.name.toLowerCase() === 'server');
  const replaced = rules.filter((rule) => rule !== server && !rule.preserve);
  const credentialName = (options.authorizationHeader ?? 'authorization').toLowerCase();
  const serverHeader =
    (options.serverHeader === '' ? undefined : options.serverHeader) ??
    (server?.preserve === false ? server.override : undefined);
  const kinds = fieldKinds(
    credentialName,
    replaced.map((rule) => rule.name.toLowerCase()),
    edge,
  );
  return {
    kinds,
    credentialName,
    removeCredential: options.removeAuthHeader ?? true,
    requestOverrides: replaced
      .map((rule) => ({ name: rule.name.toLowerCase(), value: rule.override }))
      .flatMap(({ name, value }) => (kinds.get(name) === 'overridden' ? [name, value] : [])),
    serverHeader,
    replaceServer: serverHeader !== undefined && server?.preserve !== true,
    edge,
  };
}

/** A request's header fields, read once: framing, host, credentials, and what goes upstream. */
export interface RequestHead {
  /** End-to-end fields, name (lower case) and value alternating: without host, framing, credentials and forwarding fields. */
  readonly fields: string[];
  /** Every value of the credential header, in order; one at most where only the first counts. */
  readonly credentials: readonly string[];
  /** Empty only in HTTP/1.0. */
  readonly host: string;
  /** Bytes; -1 when not said. */
  readonly contentLength: number;
  readonly hasBody: boolean;
  /** The client takes trailers (`TE: trailers`, RFC 9110 section 10.1.4). */
  readonly takesTrailers: boolean;
  /** The protocol that the client would switch to (RFC 9110 section 7.8), in lower case. */
  readonly upgrade: string | undefined;
  /** From a trusted peer, or from any where a rule believes all. */
  readonly forwardedFor: string | undefined;
  readonly forwardedHost: string | undefined;
  readonly forwardedProto: string | undefined;
}

/** RFC 3986 reg-name, IPv4 or bracketed IPv6, with a port or none, without user information; no comma, as that makes a list. */
const HOST =
  /^(?=.{1,255}$)(?:\[[0-9A-Fa-f:.]{2,45}\]|(?:[A-Za-z0-9._~!$&'()*+;=-]|%[0-9A-Fa-f]{2})+)(?::\d{1,5})?$/;

const MALFORMED = 'badRequest' as const;

const COLON = 0x3a;

/**
 * Reads and checks the header fields of one request.
 *
 * Framing is what RFC 9112 section 6 calls unambiguous and nothing else: at most one `Content-Length`, or `Transfer-Encoding` that is
 * `chunked` alone in HTTP/1.1, and no field that a lenient upstream could take for one of them.
 * @param raw name (lower case) and value, alternating
 * @param version `1.0`, `1.1` or `2.0`
 * @param openStream HTTP/2: the client did not end the stream with the head
 * @throws GatewayFault `badRequest`, `headersTooLarge`
 */
export function readHeaders(
  raw: readonly string[],
  version: string,
  openStream: boolean,
  policy: HeaderPolicy,
  limits: Limits,
  trusted: boolean,
): RequestHead {
  if (raw.length > limits.maxHeaderCount * 2) {
    throw new GatewayFault('headersTooLarge', 'too many header fields');
  }
  const { edge, kinds } = policy;
  const believed = trusted || edge.forwardedFields === 'pass';
  let size = 0;
  const fields: string[] = [];
  const credentials: string[] = [];
  let authorized = false;
  let host: string | undefined;
  let authority: string | undefined;
  let length: string | undefined;
  let coding: string | undefined;
  let connection: string | undefined;
  let upgrade: string | undefined;
  let cookie: string | undefined;
  let takesTrailers = false;
  let forwardedFor: string | undefined;
  let forwardedHost: string | undefined;
  let forwardedProto: string | undefined;
  for (let index = 0; index < raw.length; index += 2) {
    const name = raw[index] ?? '';
    const value = raw[index + 1] ?? '';
    const kind = kinds.get(name);
    size += name.length + value.length + FIELD_OVERHEAD;
    switch (kind) {
      case 'plain':
        fields.push(name, value);
        break;
      case undefined:
        if (name.charCodeAt(0) === COLON) {
          if (name === ':authority') authority = value;
          else size -= name.length + value.length + FIELD_OVERHEAD; // the request line of HTTP/1.1
        } else if (passes(name, policy, believed)) {
          fields.push(name, value);
        }
        break;
      case 'host':
        if (host !== undefined) throw new GatewayFault(MALFORMED, 'more than one Host');
        host = value;
        break;
      case 'credential':
        if (edge.duplicateCredentials === 'refuse' || credentials.length === 0) {
          credentials.push(value);
        }
        break;
      case 'authorization': // for the upstream, as another field holds the credentials for this gateway
        if (!authorized) fields.push(name, value);
        else if (edge.duplicateCredentials === 'refuse') {
          throw new GatewayFault(MALFORMED, 'more than one Authorization');
        }
        authorized = true;
        break;
      case 'contentLength':
        if (length !== undefined) throw new GatewayFault(MALFORMED, 'more than one Content-Length');
        length = value;
        break;
      case 'transferEncoding':
        coding = coding === undefined ? value : `${coding}, ${value}`;
        break;
      case 'connection':
        connection = connection === undefined ? value : `${connection}, ${value}`;
        break;
      case 'upgrade':
        upgrade = upgrade === undefined ? value : `${upgrade}, ${value}`;
        break;
      case 'cookie': // HTTP/2 splits it (RFC 9113 section 8.2.3)
        cookie = cookie === undefined ? value : `${cookie}; ${value}`;
        break;
      case 'te':
        takesTrailers ||= value.toLowerCase() === 'trailers';
        break;
      case 'forwardedFor':
        if (believed)
          forwardedFor = forwardedFor === undefined ? value : `${forwardedFor}, ${value}`;
        break;
      case 'forwardedHost':
        if (believed) forwardedHost = value;
        break;
      case 'forwardedProto':
        if (believed) forwardedProto = value;
        break;
      case 'forwarded':
        if (believed) fields.push(name, value);
        break;
      case 'expect':
      case 'overridden':
      case 'dropped':
        break;
    }
  }
  if (size > limits.maxHeaderSize) {
    throw new GatewayFault('headersTooLarge', `header fields of ${size} bytes`);
  }
  if (cookie !== undefined) fields.push('cookie', cookie);
  const contentLength = bodyLength(length, coding, version);
  const hopByHop = connection === undefined ? undefined : nominated(connection);
  return {
    fields: edge.nominatedFields === 'remove' ? withoutNominated(fields, hopByHop, kinds) : fields,
    credentials,
    host: checkedHost(host, authority, version),
    contentLength,
    hasBody: openStream || coding !== undefined || (contentLength > 0 && version !== '2.0'),
    takesTrailers,
    upgrade:
      version === '1.1' && edge.upgrade === 'websocket' && hopByHop?.has('upgrade') === true
        ? upgrade?.toLowerCase()
        : undefined,
    forwardedFor,
    forwardedHost,
    forwardedProto,
  };
}

/**
 * Whether a field without a kind of its own goes upstream: no look-alike of one that the gateway sets or reads does, and only those who are
 * believed tell about earlier hops. A look-alike of framing is refused.
 */
function passes(name: string, { kinds, edge }: HeaderPolicy, believed: boolean): boolean {
  const other = lookAlike(name);
  if (other === undefined) return believed || !name.startsWith(FORWARDED_PREFIX);
  const kind = kinds.get(other);
  if (kind === 'contentLength' || kind === 'transferEncoding') {
    throw new GatewayFault(MALFORMED, 'a field name imitates Content-Length or Transfer-Encoding');
  }
  if (edge.underscoreNames !== 'pass' && name.includes('_')) {
    if (edge.underscoreNames === 'drop') return false;
    throw new GatewayFault(MALFORMED, 'an underscore in a field name');
  }
  return (kind === undefined || kind === 'plain') && !other.startsWith(FORWARDED_PREFIX);
}

function bodyLength(
  length: string | undefined,
  coding: string | undefined,
  version: string,
): number {
  if (coding !== undefined) {
    if (version !== '1.1')
      throw new GatewayFault(MALFORMED, `Transfer-Encoding in HTTP/${version}`);
    if (length !== undefined) throw new GatewayFault(MALFORMED, 'Content-Length beside chunked');
    if (coding.toLowerCase() !== 'chunked') {
      throw new GatewayFault(MALFORMED, 'Transfer-Encoding is not chunked alone');
    }
    return -1;
  }
  if (length === undefined) return version === '2.0' ? -1 : 0;
  if (!/^\d{1,15}$/.test(length)) throw new GatewayFault(MALFORMED, 'invalid Content-Length');
  return Number(length);
}

function checkedHost(
  host: string | undefined,
  authority: string | undefined,
  version: string,
): string {
  if (authority !== undefined && host !== undefined && !sameHost(authority, host)) {
    throw new GatewayFault(MALFORMED, ':authority and Host differ');
  }
  const said = authority ?? host;
  if (said === undefined && version === '1.0') return '';
  if (said === undefined || !HOST.test(said)) {
    throw new GatewayFault(MALFORMED, 'Host is missing or invalid');
  }
  return said;
}

export function sameHost(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase();
}

/** What a believed proxy says about earlier hops stays, whoever nominates it: else its client could take it away. */
function withoutNominated(
  fields: string[],
  names: ReadonlySet<string> | undefined,
  kinds: ReadonlyMap<string, FieldKind>,
): string[] {
  if (names === undefined) return fields;
  return fields.filter((_, index) => {
    const name = fields[index - (index % 2)] ?? '';
    if (!names.has(name)) return true;
    return kinds.get(name) === 'forwarded' || name.startsWith(FORWARDED_PREFIX);
  });
}

/**
 * What goes upstream: the client's fields, the forwarding fields made here (RFC 7239 section 1 names their weakness: only trusted proxies
 * add to them), and credentials where they are kept. Framing is not in it.
 * @throws GatewayFault `badRequest` for two credentials, where no token was asked for and so nobody has refused them
 */
export function upstreamHeaders(
  head: RequestHead,
  peer: string,
  scheme: string,
  policy: HeaderPolicy,
  keepCredential: boolean,
): string[] {
  if (head.credentials.length > 1) {
    throw new GatewayFault(MALFORMED, 'more than one credential field');
  }
  const fields = head.fields;
  if (policy.requestOverrides.length > 0) fields.push(...policy.requestOverrides);
  if (keepCredential) {
    for (const value of head.credentials) fields.push(policy.credentialName, value);
  }
  const { forwardedFor, forwardedHost, forwardedProto } = head;
  fields.push(
    'x-forwarded-for',
    forwardedFor === undefined ? peer : `${forwardedFor}, ${peer}`,
    'x-forwarded-proto',
    forwardedProto ?? scheme,
  );
  const host = forwardedHost ?? head.host;
  if (host !== '') fields.push('x-forwarded-host', host);
  return fields;
}
