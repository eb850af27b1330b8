import { CR, isDigit, LF } from './characters.ts';
import { connectionOptions, type FieldSection, framing, readFields } from './fields.ts';
import { firstLineEnd, methodAt } from './first-line.ts';
import type { HeadLimits } from './limits.ts';
import type { RequestHead } from './message-head.ts';
import { GrammarError } from './refusal.ts';

/**
 * Reads a request's head (RFC 9112 section 3): exactly what is written in docs/http1.md, all else is refused.
 * @param start of the head, with the one CRLF before it that is allowed
 * @param end after the blank line, as {@link HeadScanner.find} says it
 * @throws GrammarError
 */
export function parseRequestHead(
  bytes: Buffer,
  start: number,
  end: number,
  limits: HeadLimits,
): RequestHead {
  const offset = bytes[start] === CR && bytes[start + 1] === LF ? start + 2 : start;
  const text = bytes.toString('latin1', offset, end);
  const lineEnd = firstLineEnd('request', text, 0, limits);
  const method = methodAt(text, 0) ?? '';
  const target = text.slice(method.length + 1, lineEnd - ' HTTP/1.1'.length);
  const minor = text.charCodeAt(lineEnd - 1) === 0x31 ? 1 : 0;
  const section = readFields(bytes, text, offset, lineEnd + 2, limits);
  checkHost(section, target, minor);
  const length = framing(section, minor) ?? 0;
  const { close, upgrade } = connectionOptions(section.connection);
  const { expect } = section;
  return {
    method,
    target,
    minor,
    fields: section.fields,
    length,
    persistent: minor === 1 && !close && (length === 0 || (method !== 'GET' && method !== 'HEAD')),
    expects: expect === undefined || minor === 0 ? 'nothing' : expectation(expect),
    upgrade: minor === 1 && section.upgrade && upgrade,
  };
}

function expectation(value: string): 'continue' | 'unknown' {
  return value.toLowerCase() === '100-continue' ? 'continue' : 'unknown';
}

const MAX_HOST = 255;
const MAX_PORT_DIGITS = 5;

/** One host in HTTP/1.1, one at most in HTTP/1.0, and a target in absolute-form has the same (RFC 9112 section 3.2). */
function checkHost(section: FieldSection, target: string, minor: 0 | 1): void {
  const { host } = section;
  if (section.repeated === 'host') throw new GrammarError('malformed', 'more than one Host');
  if (host === undefined) {
    if (minor === 1) throw new GrammarError('malformed', 'no Host');
  } else if (host.length > MAX_HOST || !isHost(host)) {
    throw new GrammarError('malformed', 'Host that is no host with perhaps a port');
  }
  if (target.charCodeAt(0) === 0x2f) return;
  const authority = target.slice(target.indexOf('/') + 2);
  const rest = authority.search(/[/?]/);
  const named = rest === -1 ? authority : authority.slice(0, rest);
  if (named.toLowerCase() !== host?.toLowerCase()) {
    throw new GrammarError('malformed', 'the request target and Host name different hosts');
  }
}

/** Of RFC 3986 section 3.2.2, without what names have outside of URLs only. A comma would be a list to some. */
const REG_NAME = /^(?:[A-Za-z0-9._~!$&'()*+;=-]|%[0-9A-Fa-f]{2})+$/;
const IP_LITERAL = /^\[(?:[0-9A-Fa-f:.]{2,45}|v[0-9A-Fa-f]+\.[A-Za-z0-9._~!$&'()*+,;=:-]+)\]$/;

function isHost(host: string): boolean {
  const colon =
    host.charCodeAt(0) === 0x5b ? host.indexOf(':', host.indexOf(']')) : host.indexOf(':');
  let end = host.length;
  if (colon !== -1) {
    end = colon;
    if (host.length - colon - 1 > MAX_PORT_DIGITS || colon === host.length - 1) return false;
    for (let index = colon + 1; index < host.length; index++) {
      if (!isDigit(host.charCodeAt(index))) return false;
    }
  }
  if (end === 0) return false;
  for (let index = 0; index < end; index++) {
    if (!isPlain(host.charCodeAt(index))) {
      const name = host.slice(0, end);
      return REG_NAME.test(name) || IP_LITERAL.test(name);
    }
  }
  return true;
}

/** Of nearly every name. */
function isPlain(character: number): boolean {
  return (
    (character >= 0x61 && character <= 0x7a) ||
    character === 0x2e ||
    character === 0x2d ||
    (character >= 0x30 && character <= 0x39) ||
    (character >= 0x41 && character <= 0x5a)
  );
}
