import { FIELD_TEXT, isDigit, SP, TARGET } from './characters.ts';
import type { HeadLimits } from './limits.ts';
import { GrammarError } from './refusal.ts';

/** What a head begins with. `fields`: nothing, as in trailers. */
export type HeadKind = 'request' | 'response' | 'fields';

/** All methods that are served, as `METHODS` of node:http has them: case-sensitive (RFC 9110 section 9.1), at most 20 bytes. */
const METHODS: readonly string[] =
  `GET POST PUT DELETE HEAD OPTIONS PATCH ACL BIND CHECKOUT CONNECT COPY LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE
  NOTIFY PROPFIND PROPPATCH PURGE QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE`.split(
    /\s+/,
  );

/** By their first letter, the usual ones first; each with the blank that ends it. */
const METHODS_BY_LETTER: readonly (readonly { readonly name: string; readonly start: string }[])[] =
  Array.from({ length: 26 }, (_, letter) =>
    METHODS.filter((name) => name.charCodeAt(0) - 0x41 === letter).map((name) => ({
      name,
      start: `${name} `,
    })),
  );

/** A method of 20 bytes with its blank, and the version with the one before it. */
const REQUEST_LINE_REST = 30;

/** Blank and version behind the target. */
const VERSION_LENGTH = ' HTTP/1.1'.length;

/** Characters of a status line before its reason phrase. */
const STATUS_LENGTH = 'HTTP/1.1 200'.length;

/** The method that begins at `from`, the same string each time; undefined: none that is served. */
export function methodAt(text: string, from: number): string | undefined {
  const candidates = METHODS_BY_LETTER[text.charCodeAt(from) - 0x41];
  if (candidates === undefined) return undefined;
  for (const { name, start } of candidates) if (text.startsWith(start, from)) return name;
  return undefined;
}

/** A first line with more characters is refused before its end is here. */
export function maxFirstLine(kind: HeadKind, limits: HeadLimits): number {
  return kind === 'request' ? limits.maxTarget + REQUEST_LINE_REST : limits.maxFieldBytes;
}

/**
 * Where the first line of a whole head ends, after it was checked.
 * @param text latin1
 * @returns index of its CR
 * @throws GrammarError the same that {@link HeadScanner} has for it when it comes in pieces
 */
export function firstLineEnd(
  kind: HeadKind,
  text: string,
  from: number,
  limits: HeadLimits,
): number {
  checkFirstByte(kind, text.charCodeAt(from));
  const carriageReturn = text.indexOf('\r', from);
  const lineFeed = text.indexOf('\n', from);
  const max = maxFirstLine(kind, limits);
  if (Math.min(carriageReturn, lineFeed) - from > max) {
    checkFirstLine(kind, text, from, from + max + 1, limits);
  }
  if (carriageReturn === -1 || lineFeed !== carriageReturn + 1) {
    throw new GrammarError('malformed', 'bare CR or LF in the first line');
  }
  checkFirstLine(kind, text, from, carriageReturn, limits);
  return carriageReturn;
}

/** What is no HTTP at all is refused before it has a line end. */
export function checkFirstByte(kind: HeadKind, byte: number): void {
  if (kind === 'request') {
    if (!(byte >= 0x41 && byte <= 0x5a)) throw new GrammarError('method', 'no method');
  } else if (byte !== 0x48) {
    throw new GrammarError('malformed', 'no status line');
  }
}

/**
 * @param to end of the line, without CRLF; or `maxFirstLine + 1` characters of a longer one, for which this always throws what it
 *   would throw for the whole of it
 */
export function checkFirstLine(
  kind: HeadKind,
  text: string,
  from: number,
  to: number,
  limits: HeadLimits,
): void {
  if (kind === 'request') checkRequestLine(text, from, to, limits.maxTarget);
  else checkStatusLine(text, from, to, limits.maxFieldBytes);
}

/** Method, target and version with one blank between them (RFC 9112 section 3). */
function checkRequestLine(text: string, from: number, to: number, maxTarget: number): void {
  const method = methodAt(text, from);
  if (method === undefined || from + method.length >= to) {
    throw new GrammarError('method', 'unknown method');
  }
  if (method === 'CONNECT') throw new GrammarError('connect', 'CONNECT is not served');
  const start = from + method.length + 1;
  let end = start;
  for (; end < to; end++) {
    const character = text.charCodeAt(end);
    if (character === SP) break;
    if (end - start === maxTarget)
      throw new GrammarError('targetTooLong', 'request target too long');
    if (TARGET[character] !== 1) {
      throw new GrammarError('malformed', 'character that no request target may have');
    }
  }
  if (end === start) throw new GrammarError('malformed', 'no request target');
  if (to - end !== VERSION_LENGTH || !isVersion(text, end + 1)) {
    throw new GrammarError('version', 'neither HTTP/1.1 nor HTTP/1.0');
  }
  if (text.charCodeAt(start) !== 0x2f && !isHttpUrl(text, start)) {
    throw new GrammarError('malformed', 'request target that is neither a path nor an http URL');
  }
}

function isVersion(text: string, at: number): boolean {
  return text.startsWith('HTTP/1.1', at) || text.startsWith('HTTP/1.0', at);
}

function isHttpUrl(text: string, at: number): boolean {
  const start = text.slice(at, at + 'https://'.length).toLowerCase();
  return start.startsWith('http://') || start === 'https://';
}

/** Version, three digits, and perhaps a blank and a reason phrase (RFC 9112 section 4). */
function checkStatusLine(text: string, from: number, to: number, max: number): void {
  if (!isVersion(text, from)) throw new GrammarError('version', 'neither HTTP/1.1 nor HTTP/1.0');
  const first = text.charCodeAt(from + 9);
  if (
    to - from < STATUS_LENGTH ||
    text.charCodeAt(from + 8) !== SP ||
    first < 0x31 ||
    first > 0x35 ||
    !isDigit(text.charCodeAt(from + 10)) ||
    !isDigit(text.charCodeAt(from + 11))
  ) {
    throw new GrammarError('malformed', 'status that is no number from 100 to 599');
  }
  if (to - from > STATUS_LENGTH && text.charCodeAt(from + STATUS_LENGTH) !== SP) {
    throw new GrammarError('malformed', 'no blank behind the status');
  }
  for (let index = from + STATUS_LENGTH; index < to; index++) {
    if (index - from >= max) throw new GrammarError('fieldsTooLarge', 'reason phrase');
    if (FIELD_TEXT[text.charCodeAt(index)] !== 1) {
      throw new GrammarError('malformed', 'control character in the reason phrase');
    }
  }
}
