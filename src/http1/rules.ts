/** What a field counts beside its name and value, bytes: colon, blank, CR, LF. */
export const FIELD_OVERHEAD = 4;

/** Interim answers (1xx) to one request that are swallowed; with more the upstream is taken for broken. */
export const MAX_INTERIM = 10;

/** Methods whose requests may be sent twice, as far as HTTP says (RFC 9110 section 9.2.2). */
export const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);
