import { CR, FIELD_TEXT, HTAB, isDigit, isFieldText, LF, SP, TOKEN } from './characters.ts';
import { knownName, type Role, ROLE } from './field-names.ts';
import type { HeadLimits } from './limits.ts';
import { CHUNKED } from './message-head.ts';
import { GrammarError, TOO_MANY_BYTES } from './refusal.ts';
import { FIELD_OVERHEAD } from './rules.ts';

/** The longest `Content-Length` is below 2^53. */
const MAX_LENGTH_DIGITS = 15;

/** The fields of one head or of trailers, with what the engine itself reads of them. */
export class FieldSection {
  /** Name and value, alternating. */
  readonly fields: string[] = [];
  host: string | undefined;
  contentLength: string | undefined;
  transferEncoding: string | undefined;
  /** A field came twice that may come once. Framing counts first: responses do not ask about Host. */
  repeated: 'host' | 'framing' | undefined;
  upgrade = false;
  expect: string | undefined;
  /** All `Connection` fields as one list. */
  connection: string | undefined;
}

/**
 * Reads field lines and the blank line behind them, up to `end` of `text`. Syntax comes before sizes: an error does not depend on how
 * the bytes were cut on their way.
 * @param text `bytes` from `offset` as latin1: characters are cheaper to find and cut there, and bytes to check here
 * @param start in `text`
 * @throws GrammarError `malformed`, `fieldsTooLarge`
 */
export function readFields(
  bytes: Uint8Array,
  text: string,
  offset: number,
  start: number,
  limits: HeadLimits,
): FieldSection {
  const section = new FieldSection();
  const { fields } = section;
  const end = text.length - 2;
  let size = 0;
  let at = start;
  while (at < end) {
    const colon = text.indexOf(':', at);
    const lineFeed = text.indexOf('\n', at);
    const carriageReturn = lineFeed - 1;
    if (colon <= at || colon >= carriageReturn) refuseLine(text, at, colon);
    if (text.charCodeAt(carriageReturn) !== CR) throw new GrammarError('malformed', 'bare LF');
    let from = colon + 1;
    while (isBlank(text.charCodeAt(from))) from++;
    let to = carriageReturn;
    while (to > from && isBlank(text.charCodeAt(to - 1))) to--;
    if (!isFieldText(bytes, offset + from, offset + to)) refuseValue(bytes, offset + from);
    const value = text.slice(from, to);
    const known = knownName(bytes, offset + at, offset + colon);
    if (known === undefined) {
      fields.push(unknownName(bytes, text, offset, at, colon), value);
    } else {
      fields.push(known.name, value);
      if (known.role === ROLE.transferEncoding) {
        note(section, known.role, codingOf(text, from, carriageReturn));
      } else if (known.role !== 0) {
        note(section, known.role, value);
      }
    }
    size += colon - at + to - from + FIELD_OVERHEAD;
    at = lineFeed + 1;
  }
  if (at !== end || text.charCodeAt(end) !== CR || text.charCodeAt(end + 1) !== LF) {
    throw new GrammarError('malformed', 'no blank line after the fields');
  }
  if (size > limits.maxFieldBytes || text.length - start > limits.maxFieldBytes * 2) {
    throw new GrammarError('fieldsTooLarge', TOO_MANY_BYTES);
  }
  if (fields.length > limits.maxFields * 2) {
    throw new GrammarError('fieldsTooLarge', 'too many fields');
  }
  return section;
}

function isBlank(character: number): boolean {
  return character === SP || character === HTAB;
}

function refuseLine(text: string, at: number, colon: number): never {
  if (isBlank(text.charCodeAt(at))) throw new GrammarError('malformed', 'folded field line');
  if (colon === at) throw new GrammarError('malformed', 'field without a name');
  throw new GrammarError('malformed', 'field line without a colon');
}

function refuseValue(bytes: Uint8Array, from: number): never {
  let at = from;
  while (FIELD_TEXT[bytes[at] ?? 0] === 1) at++;
  throw new GrammarError(
    'malformed',
    bytes[at] === CR ? 'bare CR' : 'control character in a value',
  );
}

function unknownName(
  bytes: Uint8Array,
  text: string,
  offset: number,
  from: number,
  to: number,
): string {
  for (let index = from; index < to; index++) {
    if (TOKEN[bytes[offset + index] ?? 0] === 0) {
      if (index === from) refuseLine(text, from, to);
      throw new GrammarError('malformed', 'field name that is no token');
    }
  }
  return text.slice(from, to).toLowerCase();
}

/** A transfer coding with what is behind it, but for SP: not all readers take an HTAB there for a blank, and some then see no body. */
function codingOf(text: string, from: number, end: number): string {
  let to = end;
  while (to > from && text.charCodeAt(to - 1) === SP) to--;
  return text.slice(from, to);
}

function note(section: FieldSection, role: Role, value: string): void {
  switch (role) {
    case ROLE.host:
      if (section.host !== undefined) section.repeated ??= 'host';
      section.host = value;
      break;
    case ROLE.contentLength:
      if (section.contentLength !== undefined) section.repeated = 'framing';
      section.contentLength = value;
      break;
    case ROLE.transferEncoding:
      if (section.transferEncoding !== undefined) section.repeated = 'framing';
      section.transferEncoding = value;
      break;
    case ROLE.connection:
      section.connection = listed(section.connection, value);
      break;
    case ROLE.proxyConnection: // in no standard, but some take it for Connection: nothing may come behind its `close` either
      if (optionsOf(value, false).close) section.connection = listed(section.connection, 'close');
      break;
    case ROLE.upgrade:
      if (value !== '') section.upgrade = true;
      break;
    case ROLE.expect:
      section.expect = listed(section.expect, value);
      break;
    case 0:
      break;
  }
}

function listed(list: string | undefined, value: string): string {
  return list === undefined ? value : `${list},${value}`;
}

/**
 * How the body is framed, or undefined where the fields do not say it. Only what every reader takes in one way (RFC 9112 section 6.3):
 * one `Content-Length` in digits, or `chunked` alone in HTTP/1.1, and never both.
 * @throws GrammarError `framing`
 */
export function framing(section: FieldSection, minor: 0 | 1): number | undefined {
  const { contentLength, transferEncoding } = section;
  if (section.repeated === 'framing') {
    throw new GrammarError('framing', 'Content-Length or Transfer-Encoding twice');
  }
  if (transferEncoding !== undefined) {
    if (contentLength !== undefined) {
      throw new GrammarError('framing', 'Content-Length beside Transfer-Encoding');
    }
    if (minor === 0) throw new GrammarError('framing', 'Transfer-Encoding in HTTP/1.0');
    if (transferEncoding !== 'chunked' && transferEncoding.toLowerCase() !== 'chunked') {
      throw new GrammarError('framing', 'Transfer-Encoding is not chunked alone');
    }
    return CHUNKED;
  }
  return contentLength === undefined ? undefined : lengthOf(contentLength);
}

function lengthOf(digits: string): number {
  let length = 0;
  for (let index = 0; index < digits.length; index++) {
    const digit = digits.charCodeAt(index);
    if (!isDigit(digit)) throw new GrammarError('framing', 'Content-Length is not a number');
    length = length * 10 + (digit - 0x30);
  }
  if (digits.length === 0 || digits.length > MAX_LENGTH_DIGITS) {
    throw new GrammarError('framing', 'Content-Length of no or too many digits');
  }
  return length;
}

/** What `Connection` says of the connection itself (RFC 9110 section 7.6.1). */
export interface ConnectionOptions {
  readonly close: boolean;
  readonly upgrade: boolean;
}

const NONE: ConnectionOptions = { close: false, upgrade: false };
const CLOSE: ConnectionOptions = { close: true, upgrade: false };

/** @throws GrammarError `malformed`: not a list of tokens */
export function connectionOptions(list: string | undefined): ConnectionOptions {
  if (list === undefined || list === 'keep-alive') return NONE;
  return list === 'close' ? CLOSE : optionsOf(list, true);
}

/** Walks the list where it stands: a client may send thousands of commas. */
function optionsOf(list: string, strict: boolean): ConnectionOptions {
  let close = false;
  let upgrade = false;
  for (let start = 0; start <= list.length;) {
    const comma = list.indexOf(',', start);
    const end = comma === -1 ? list.length : comma;
    let from = start;
    let to = end;
    while (from < to && isBlank(list.charCodeAt(from))) from++;
    while (to > from && isBlank(list.charCodeAt(to - 1))) to--;
    if (strict) checkToken(list, from, to);
    if (to - from === 5) close ||= list.slice(from, to).toLowerCase() === 'close';
    else if (to - from === 7) upgrade ||= list.slice(from, to).toLowerCase() === 'upgrade';
    start = end + 1;
  }
  return { close, upgrade };
}

/** An empty element of a list means nothing (RFC 9110 section 5.6.1). */
function checkToken(text: string, from: number, to: number): void {
  for (let index = from; index < to; index++) {
    if (TOKEN[text.charCodeAt(index)] === 0) {
      throw new GrammarError('malformed', 'Connection is not a list of tokens');
    }
  }
}
