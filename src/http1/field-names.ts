import { TOKEN } from './characters.ts';

/** Fields that say how a message is framed or what becomes of its connection: each has a rule of its own. */
export const ROLE = {
  host: 1,
  contentLength: 2,
  transferEncoding: 3,
  connection: 4,
  upgrade: 5,
  expect: 6,
  proxyConnection: 7,
} as const;

/** Of {@link ROLE}; 0: none. */
export type Role = 0 | (typeof ROLE)[keyof typeof ROLE];

const ROLES: ReadonlyMap<string, Role> = new Map<string, Role>([
  ['host', ROLE.host],
  ['content-length', ROLE.contentLength],
  ['transfer-encoding', ROLE.transferEncoding],
  ['connection', ROLE.connection],
  ['upgrade', ROLE.upgrade],
  ['expect', ROLE.expect],
  ['proxy-connection', ROLE.proxyConnection],
]);

/** Names that are met often. A message gets these very strings, so that nobody makes or hashes them again. */
const KNOWN =
  `accept accept-charset accept-encoding accept-language accept-ranges access-control-allow-credentials
access-control-allow-headers access-control-allow-methods access-control-allow-origin access-control-expose-headers
access-control-max-age access-control-request-headers access-control-request-method age allow alt-svc apikey authorization baggage
cache-control cf-connecting-ip connection content-disposition content-encoding content-language content-length content-location
content-range content-security-policy content-type cookie cross-origin-embedder-policy cross-origin-opener-policy
cross-origin-resource-policy date dnt dpop etag expect expires forwarded from host http2-settings if-match if-modified-since
if-none-match if-range if-unmodified-since internal-key keep-alive last-modified link location max-forwards nel origin
permissions-policy pragma prefer preference-applied priority proxy proxy-authenticate proxy-authorization proxy-connection range
referer referrer-policy report-to retry-after save-data sec-ch-ua sec-ch-ua-arch sec-ch-ua-mobile sec-ch-ua-model sec-ch-ua-platform
sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user sec-gpc sec-websocket-accept sec-websocket-extensions sec-websocket-key
sec-websocket-protocol sec-websocket-version server server-timing set-cookie soapaction strict-transport-security te timing-allow-origin
traceparent tracestate trailer transfer-encoding true-client-ip upgrade upgrade-insecure-requests user-agent vary via warning
www-authenticate x-amzn-trace-id x-api-key x-b3-sampled x-b3-spanid x-b3-traceid x-client-ip x-content-type-options x-correlation-id
x-csrf-token x-dns-prefetch-control x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto x-frame-options
x-http-method-override x-jwt-assertion x-powered-by x-real-ip x-request-id x-requested-with x-xss-protection`.split(
    /\s+/,
  );

class Known {
  readonly name: string;
  readonly role: Role;
  readonly bytes: Uint8Array;

  constructor(name: string) {
    this.name = name;
    this.role = ROLES.get(name) ?? 0;
    this.bytes = Buffer.from(name, 'latin1');
  }
}

export type KnownName = Known;

/** A power of two, several times the names: most slots are free, and a slot that is taken goes on in the next one. */
const SLOTS = 1_024;

const slots: (Known | undefined)[] = Array.from({ length: SLOTS }, () => undefined);

function slotOf(length: number, first: number, middle: number, last: number): number {
  // Letters without their case; what this makes of other bytes does not matter, as the whole name is compared afterwards.
  return (
    ((length * 0x61) ^
      ((first | 0x20) * 0x1f) ^
      ((middle | 0x20) * 0x95) ^
      ((last | 0x20) * 0x0d)) &
    (SLOTS - 1)
  );
}

for (const name of KNOWN) {
  const entry = new Known(name);
  const { bytes } = entry;
  const { length } = bytes;
  let slot = slotOf(length, bytes[0] ?? 0, bytes[length >> 1] ?? 0, bytes[length - 1] ?? 0);
  while (slots[slot] !== undefined) slot = (slot + 1) & (SLOTS - 1);
  slots[slot] = entry;
}

/**
 * The known name that stands in `bytes` in any case, or undefined. The names are fixed: what clients send is never kept.
 * @param to greater than `from`
 */
export function knownName(bytes: Uint8Array, from: number, to: number): KnownName | undefined {
  const length = to - from;
  let slot = slotOf(length, bytes[from] ?? 0, bytes[from + (length >> 1)] ?? 0, bytes[to - 1] ?? 0);
  for (;;) {
    const entry = slots[slot];
    if (entry === undefined) return undefined;
    if (entry.bytes.length === length && stands(entry.bytes, bytes, from)) return entry;
    slot = (slot + 1) & (SLOTS - 1);
  }
}

function stands(name: Uint8Array, bytes: Uint8Array, from: number): boolean {
  for (let index = 0; index < name.length; index++) {
    if (TOKEN[bytes[from + index] ?? 0] !== name[index]) return false;
  }
  return true;
}
