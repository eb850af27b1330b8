import { FIELD_TEXT, TOKEN } from './characters.ts';
import { CHUNKED } from './message-head.ts';

/** Ends a chunked body without trailers. */
export const LAST_CHUNK = '0\r\n\r\n';

/** Reason phrases are for people only (RFC 9112 section 4): those of RFC 9110 section 15, RFC 6585 and RFC 9457's neighbours. */
const REASONS: Readonly<Record<number, string>> = {
  100: 'Continue',
  101: 'Switching Protocols',
  103: 'Early Hints',
  200: 'OK',
  201: 'Created',
  202: 'Accepted',
  203: 'Non-Authoritative Information',
  204: 'No Content',
  205: 'Reset Content',
  206: 'Partial Content',
  207: 'Multi-Status',
  300: 'Multiple Choices',
  301: 'Moved Permanently',
  302: 'Found',
  303: 'See Other',
  304: 'Not Modified',
  307: 'Temporary Redirect',
  308: 'Permanent Redirect',
  400: 'Bad Request',
  401: 'Unauthorized',
  402: 'Payment Required',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  406: 'Not Acceptable',
  407: 'Proxy Authentication Required',
  408: 'Request Timeout',
  409: 'Conflict',
  410: 'Gone',
  411: 'Length Required',
  412: 'Precondition Failed',
  413: 'Content Too Large',
  414: 'URI Too Long',
  415: 'Unsupported Media Type',
  416: 'Range Not Satisfiable',
  417: 'Expectation Failed',
  421: 'Misdirected Request',
  422: 'Unprocessable Content',
  423: 'Locked',
  424: 'Failed Dependency',
  425: 'Too Early',
  426: 'Upgrade Required',
  428: 'Precondition Required',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  451: 'Unavailable For Legal Reasons',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
  507: 'Insufficient Storage',
  511: 'Network Authentication Required',
};

/** Whole status lines by status, as 599 concatenations are made once. */
const STATUS_LINES: readonly string[] = Array.from(
  { length: 600 },
  (_, status) => `HTTP/1.1 ${status} ${REASONS[status] ?? ''}\r\n`,
);

/**
 * A request's head, latin1, with its blank line.
 * @param hostLine the whole line, with CRLF
 * @param fields name and value, alternating; without Host, framing and Connection
 * @param length bytes of the body, or CHUNKED; undefined: no body, and nothing is said of it
 * @param extraLines whole lines, each with CRLF
 * @throws TypeError framing among the fields
 */
export function requestHead(
  method: string,
  path: string,
  hostLine: string,
  fields: readonly string[],
  length: number | undefined,
  extraLines: string,
): string {
  const head = `${method} ${path} HTTP/1.1\r\n${hostLine}${fieldLines(fields)}${extraLines}`;
  return `${head}${framingLine(length)}\r\n`;
}

/**
 * A response's head, latin1, with its blank line; always HTTP/1.1 (RFC 9110 section 6.2). In 101 and 426 `Connection: Upgrade` is added.
 * @param minor of the client: HTTP/1.0 gets no chunks, and `Connection: close`
 * @param length bytes that the body has, also of a HEAD or 304 that has none; CHUNKED when not known; undefined: nothing is said of it.
 *   1xx and 204 say nothing whatever is given
 * @param dateLine the whole line, with CRLF: used where the fields have no `Date` (RFC 9110 section 6.6.1)
 * @throws RangeError a status below 100 or above 599
 * @throws TypeError framing among the fields
 */
export function responseHead(
  status: number,
  minor: 0 | 1,
  fields: readonly string[],
  length: number | undefined,
  close: boolean,
  dateLine: string,
): string {
  const statusLine = status < 100 ? undefined : STATUS_LINES[status];
  if (statusLine === undefined) throw new RangeError('status that is no number from 100 to 599');
  const head = `${statusLine}${fieldLines(fields)}${hasDate(fields) ? '' : dateLine}`;
  if (status < 200) return `${head}${status === 101 ? 'Connection: Upgrade\r\n' : ''}\r\n`;
  const unsaid = status === 204 || (length === CHUNKED && (minor === 0 || status === 304));
  const framed = unsaid ? '' : framingLine(length);
  const upgrade = status === 426 ? 'Connection: Upgrade\r\n' : ''; // RFC 9110 section 15.5.22
  return `${head}${framed}${upgrade}${close || minor === 0 ? 'Connection: close\r\n' : ''}\r\n`;
}

function framingLine(length: number | undefined): string {
  if (length === undefined) return '';
  if (length === CHUNKED) return 'Transfer-Encoding: chunked\r\n';
  if (!Number.isSafeInteger(length) || length < 0) throw new RangeError('no length of a body');
  return `Content-Length: ${length}\r\n`;
}

function fieldLines(fields: readonly string[]): string {
  let lines = '';
  for (let index = 0; index < fields.length; index += 2) {
    const name = fields[index] ?? '';
    if ((name.length === 14 || name.length === 17) && isFraming(name)) {
      throw new TypeError('framing among the fields');
    }
    lines += `${name}: ${fields[index + 1] ?? ''}\r\n`;
  }
  return lines;
}

function hasDate(fields: readonly string[]): boolean {
  for (let index = 0; index < fields.length; index += 2) {
    const name = fields[index] ?? '';
    if (name.length === 4 && name.toLowerCase() === 'date') return true;
  }
  return false;
}

/** A second framing must not get out even by a mistake elsewhere. */
function isFraming(name: string): boolean {
  const lower = name.toLowerCase();
  return lower === 'content-length' || lower === 'transfer-encoding';
}

/**
 * Fields that did not come from a parser. Framing among them is found by {@link requestHead} and {@link responseHead}.
 * @throws TypeError a name that is no token, or a character that no value may have
 */
export function checkFields(fields: readonly string[]): void {
  if (fields.length % 2 !== 0) throw new TypeError('field without a value');
  for (let index = 0; index < fields.length; index += 2) {
    const name = fields[index] ?? '';
    if (name === '' || !hasOnly(TOKEN, name)) throw new TypeError('field name that is no token');
    if (!hasOnly(FIELD_TEXT, fields[index + 1] ?? '')) {
      throw new TypeError('character that no field value may have');
    }
  }
}

function hasOnly(characters: Uint8Array, text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    if ((characters[text.charCodeAt(index)] ?? 0) === 0) return false;
  }
  return true;
}

/**
 * What goes before a chunk's bytes; CRLF goes behind them.
 * @param size bytes, never 0, which would end the body
 */
export function chunkStart(size: number): string {
  if (!(size > 0)) throw new RangeError('empty chunk');
  return `${size.toString(16)}\r\n`;
}
