import { GatewayFault } from '../errors.ts';

/** The path of a request target, checked. It is matched and forwarded as it came; nothing is rewritten. */
export interface RequestPath {
  /** Where the path ends in the target: at `?`, or at the target's end. */
  readonly end: number;
  /** Segments, percent-decoded once, for matching. The last one is empty when the path ends with `/`. */
  readonly segments: readonly string[];
  /**
   * The segments without their path parameters (`;x=1`), as servlet containers read them; only when there is a `;` in the path. One that
   * came as `%3B` is text like any other (RFC 3986 section 3.3).
   */
  readonly bare: readonly string[] | undefined;
}

const SLASH = 0x2f;
const QUERY = 0x3f;
const SEMICOLON = 0x3b;
const PERCENT = 0x25;
const BACKSLASH = 0x5c;
const FRAGMENT = 0x23;

/**
 * The one check between a request target (origin-form, RFC 9112 section 3.2.1) and the router. Whatever two parties could read
 * differently is refused: dot segments in any spelling (`%2e`, and `..;x` which servlet containers take for `..`), empty segments,
 * segments that are empty without their parameters, encoded slash, backslash and NUL, invalid or overlong UTF-8, fragments, control and
 * non-ASCII characters.
 * @throws GatewayFault `ambiguousPath` or `badRequest`
 */
export function readPath(target: string): RequestPath {
  if (target.charCodeAt(0) !== SLASH) {
    throw new GatewayFault('badRequest', 'the request target is not in origin-form');
  }
  const segments: string[] = [];
  let start = 1;
  let escaped = false;
  let parameters = false;
  let at = 1;
  for (; at < target.length; at++) {
    const code = target.charCodeAt(at);
    if (code === SLASH) {
      if (at === start) throw new GatewayFault('ambiguousPath', 'empty path segment');
      segments.push(readSegment(target.slice(start, at), escaped));
      start = at + 1;
      escaped = false;
    } else if (code === QUERY) {
      break;
    } else if (code === PERCENT) {
      escaped = true;
    } else if (code === SEMICOLON) {
      parameters = true;
    } else if (code === BACKSLASH) {
      throw new GatewayFault('ambiguousPath', 'backslash in the path');
    } else {
      refuseCharacter(code);
    }
  }
  segments.push(at === start ? '' : readSegment(target.slice(start, at), escaped));
  for (let query = at + 1; query < target.length; query++)
    refuseCharacter(target.charCodeAt(query));
  return { end: at, segments, bare: parameters ? bareSegments(target.slice(1, at)) : undefined };
}

function bareSegments(path: string): string[] {
  return path.split('/').map((raw) => {
    const parameters = raw.indexOf(';');
    if (parameters === 0) throw new GatewayFault('ambiguousPath', 'a segment of parameters alone');
    const name = parameters === -1 ? raw : raw.slice(0, parameters);
    return name.includes('%') ? decode(name) : name;
  });
}

function refuseCharacter(code: number): void {
  if (code <= 0x20 || code >= 0x7f || code === FRAGMENT) {
    throw new GatewayFault('badRequest', 'a character in the request target is not allowed there');
  }
}

function readSegment(raw: string, escaped: boolean): string {
  const segment = escaped ? decode(raw) : raw;
  if (segment.charCodeAt(0) === 0x2e && isDotSegment(segment)) {
    throw new GatewayFault('ambiguousPath', 'dot segment in the path');
  }
  return segment;
}

function isDotSegment(segment: string): boolean {
  const parameters = segment.indexOf(';');
  const name = parameters === -1 ? segment : segment.slice(0, parameters);
  return name === '.' || name === '..';
}

function decode(raw: string): string {
  let segment: string;
  try {
    segment = decodeURIComponent(raw);
  } catch {
    throw new GatewayFault('ambiguousPath', 'invalid percent-encoding in the path');
  }
  if (segment.includes('/') || segment.includes('\\') || segment.includes('\0')) {
    throw new GatewayFault('ambiguousPath', 'encoded slash, backslash or NUL in the path');
  }
  return segment;
}

/** Where the part of `path` below its first `depth` segments starts: for `/petstore/v1/pet/7` and 2, the index of `/pet/7`. */
export function offsetBelow(path: string, depth: number, end: number): number {
  let at = 0;
  for (let passed = 0; passed < depth; passed++) {
    const next = path.indexOf('/', at + 1);
    if (next === -1 || next > end) return end;
    at = next;
  }
  return at;
}
