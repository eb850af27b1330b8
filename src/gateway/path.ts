import { GatewayFault } from '../errors.ts';
import { CLOSED, type EdgeRules } from './edge-rules.ts';

/** Rules of {@link EdgeRules} that a path is read by. */
export type PathRules = Pick<
  EdgeRules,
  'dotSegments' | 'emptySegments' | 'encodedSlash' | 'pathParameters'
>;

/** The path of a request target, checked. One and the same path is matched and forwarded. */
export interface RequestPath {
  /** Path and query as they are forwarded: byte for byte as they came, unless a rule resolves dot segments or merges slashes. */
  readonly target: string;
  /** Where the path ends in `target`: at `?`, or at the target's end. */
  readonly end: number;
  /** Segments, percent-decoded once, for matching. The last one is empty when the path ends with `/`. */
  readonly segments: readonly string[];
  /**
   * The segments without their path parameters (`;x=1`), as servlet containers read them; only when there is a `;` in the path, and it is not
   * taken for text. One that came as `%3B` is text like any other (RFC 3986 section 3.3).
   */
  readonly bare: readonly string[] | undefined;
}

const SLASH = 0x2f;
const SEMICOLON = 0x3b;
const PERCENT = 0x25;
const BACKSLASH = 0x5c;
const FRAGMENT = 0x23;
const DOT = 0x2e;

/** `.` and `..` as they may be written. */
const DOT_SEGMENT = /^(?:\.|%2e){1,2}$/i;

/**
 * The one check between a request target (origin-form, RFC 9112 section 3.2.1) and the router. Whatever two parties could read
 * differently is refused, or made one by a rule before it is read: dot segments in any spelling (`%2e`, and `..;x` which servlet containers
 * take for `..`), empty segments, encoded slash and backslash. No rule lets through segments that are empty without their parameters,
 * backslash, NUL, invalid or overlong UTF-8, fragments, control and non-ASCII characters. Nothing is decoded twice.
 *
 * What comes out is in order: read again it comes out the same.
 * @throws GatewayFault `ambiguousPath` or `badRequest`
 */
export function readPath(target: string, rules: PathRules = CLOSED): RequestPath {
  if (target.charCodeAt(0) !== SLASH) {
    throw new GatewayFault('badRequest', 'the request target is not in origin-form');
  }
  const query = target.indexOf('?');
  const path = query === -1 ? target : target.slice(0, query);
  if (query !== -1) checkQuery(target, query);
  const ordered =
    rules.dotSegments === 'normalise' || rules.emptySegments === 'merge'
      ? inOrder(path, rules)
      : path;
  const forwarded = ordered === path ? target : ordered + target.slice(path.length);
  return readOrdered(ordered, forwarded, rules);
}

/** @throws GatewayFault `badRequest` for a character that has no place in a target */
export function checkQuery(target: string, start: number): void {
  for (let at = start; at < target.length; at++) refuseCharacter(target.charCodeAt(at));
}

/**
 * The path with its dot segments resolved (RFC 3986 section 5.2.4) and its slashes merged, as far as the rules say so. A path where the
 * order of the two would matter, and one that leads above the root, is refused.
 */
function inOrder(path: string, rules: PathRules): string {
  const { dotSegments, emptySegments } = rules;
  const raw = path.split('/');
  const last = raw.length - 1;
  const kept: string[] = [];
  let merged = false;
  let climbs = false;
  for (let index = 1; index <= last; index++) {
    const segment = raw[index] ?? '';
    if (segment === '' && index < last && emptySegments === 'merge') {
      merged = true;
    } else if (dotSegments === 'normalise' && DOT_SEGMENT.test(segment)) {
      if (segment.length !== 1 && segment.toLowerCase() !== '%2e') {
        climbs = true;
        const left = kept.pop();
        if (left === undefined) {
          throw new GatewayFault('ambiguousPath', 'dot segments that lead above the root');
        }
        // What falls out must be clear too: of `a\b` one party leaves two segments.
        readOrdered(`/${left}`, '', rules);
      }
      if (index === last) kept.push('');
    } else {
      kept.push(segment);
    }
  }
  if (climbs && (merged || path.includes('//'))) {
    throw new GatewayFault('ambiguousPath', 'empty segments beside `..`');
  }
  return `/${kept.join('/')}`;
}

/** Reads a path that holds no dot segments or empty ones, or refuses it. */
function readOrdered(path: string, target: string, rules: PathRules): RequestPath {
  const segments: string[] = [];
  let start = 1;
  let escaped = false;
  let parameters = false;
  for (let at = 1; at < path.length; at++) {
    const code = path.charCodeAt(at);
    if (code === SLASH) {
      if (at === start) throw new GatewayFault('ambiguousPath', 'empty path segment');
      segments.push(readSegment(path.slice(start, at), escaped, rules));
      start = at + 1;
      escaped = false;
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
  segments.push(start === path.length ? '' : readSegment(path.slice(start), escaped, rules));
  if (parameters && rules.pathParameters === 'refuse') {
    throw new GatewayFault('ambiguousPath', 'path parameters');
  }
  const bare =
    parameters && rules.pathParameters === 'both' ? bareSegments(path.slice(1), rules) : undefined;
  return { target, end: path.length, segments, bare };
}

function bareSegments(path: string, rules: PathRules): string[] {
  return path.split('/').map((raw) => {
    const parameters = raw.indexOf(';');
    if (parameters === 0) throw new GatewayFault('ambiguousPath', 'a segment of parameters alone');
    const name = parameters === -1 ? raw : raw.slice(0, parameters);
    return name.includes('%') ? decode(name, rules) : name;
  });
}

function refuseCharacter(code: number): void {
  if (code <= 0x20 || code >= 0x7f || code === FRAGMENT) {
    throw new GatewayFault('badRequest', 'a character in the request target is not allowed there');
  }
}

function readSegment(raw: string, escaped: boolean, rules: PathRules): string {
  const segment = escaped ? decode(raw, rules) : raw;
  if (segment.includes('/') || segment.includes('\\')) {
    // A rule lets them be: then no part between two of them may climb either.
    for (const part of segment.split(/[/\\]/)) refuseDots(part);
  } else if (segment.charCodeAt(0) === DOT) {
    refuseDots(segment);
  }
  return segment;
}

function refuseDots(segment: string): void {
  const parameters = segment.indexOf(';');
  const name = parameters === -1 ? segment : segment.slice(0, parameters);
  if (name === '.' || name === '..') {
    throw new GatewayFault('ambiguousPath', 'dot segment in the path');
  }
}

function decode(raw: string, { encodedSlash }: PathRules): string {
  let segment: string;
  try {
    segment = decodeURIComponent(raw);
  } catch {
    throw new GatewayFault('ambiguousPath', 'invalid percent-encoding in the path');
  }
  if (segment.includes('\0')) throw new GatewayFault('ambiguousPath', 'encoded NUL in the path');
  if (encodedSlash === 'refuse' && (segment.includes('/') || segment.includes('\\'))) {
    throw new GatewayFault('ambiguousPath', 'encoded slash or backslash in the path');
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
