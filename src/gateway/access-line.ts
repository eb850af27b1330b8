import { METHODS } from 'node:http';
import type { FaultName } from '../errors.ts';
import type { TrustedProxies } from './client-address.ts';
import type { Finished } from './finished.ts';
import type { Outcome } from './observe.ts';

/** `json`: one object a line. `combined`: Apache's combined log format, its two header fields always `-`. */
export type AccessFormat = 'json' | 'combined';

export interface AccessLogOptions {
  readonly format: AccessFormat;
  /** Of requests that were served, every n-th is written; of others every one. */
  readonly sample: number;
  /** Takes a finished line: printable ASCII and a line feed. Never waits. False: it was dropped. */
  readonly write: (line: string) => boolean;
}

/** Characters of the path, the route, an issuer, a client id. What is longer is cut. */
const MAX_PATH = 512;
const MAX_NAME = 256;
/** A path segment that is longer than a UUID may be a token. */
const LONGEST_SEGMENT = 36;

/** What goes as it should, unless its token was let through in doubt. Everything else is written whatever the sample is. */
const SAMPLED: ReadonlySet<Outcome> = new Set(['forwarded', 'answered', 'filtered', 'aborted']);

const KNOWN_METHODS: ReadonlySet<string> = new Set(METHODS);

/** `000` to `999`: to the end of a number of seconds or milliseconds. */
const THOUSANDTHS = Array.from({ length: 1_000 }, (_, n) => String(n).padStart(3, '0'));

/**
 * Makes the lines of the access log, one for each request when it is over.
 *
 * **Security**: no header field's value is in a line, no query, no path segment longer than a UUID, no method that HTTP does not know; so
 * no token is. Whatever came from outside is bounded and escaped: a line is one line, of printable ASCII.
 */
export class AccessLines {
  readonly #sample: number;
  readonly #write: (line: string) => boolean;
  readonly #lineOf: typeof jsonLine;
  readonly #proxies: Pick<TrustedProxies, 'clientAddress'>;

  constructor(
    { format, sample, write }: AccessLogOptions,
    proxies: Pick<TrustedProxies, 'clientAddress'>,
  ) {
    this.#sample = sample;
    this.#write = write;
    this.#lineOf = format === 'json' ? jsonLine : combinedLine;
    this.#proxies = proxies;
  }

  /**
   * A request is over.
   * @param tookMs milliseconds
   * @returns false: its line was dropped
   */
  finished(request: Finished, tookMs: number): boolean {
    const { id, outcome, connection, head, degraded } = request;
    const sampled = SAMPLED.has(outcome) && degraded === undefined;
    if (this.#sample > 1 && sampled && numberOf(id) % this.#sample !== 0) return true;
    const client = this.#proxies.clientAddress(connection.peer, head?.forwardedFor);
    return this.#write(this.#lineOf(request, client, Date.now() - tookMs, tookMs));
  }

  /**
   * A connection was refused before there was a request to speak of.
   * @param bytesOut bytes of the answer's body
   * @returns false: the line was dropped
   */
  refused(outcome: FaultName, status: number, id: string, peer: string, bytesOut: number): boolean {
    return this.#write(this.#lineOf(nobody(outcome, status, id, bytesOut), peer, Date.now(), 0));
  }
}

/** A request of which nothing is known. */
function nobody(outcome: FaultName, status: number, id: string, bytesOut: number): Line {
  return {
    id,
    outcome,
    status,
    method: '',
    target: '',
    version: undefined,
    bytesIn: 0,
    bytesOut,
    upstreamMs: -1,
    operation: undefined,
    caller: undefined,
    degraded: undefined,
  };
}

/** What a line is made of. */
interface Line extends Omit<
  Finished,
  'version' | 'startedAt' | 'connection' | 'head' | 'site' | 'calledAt' | 'trace'
> {
  readonly version: Finished['version'] | undefined;
}

/** The first 32 bits of a random id: the same for every log that has it. */
function numberOf(id: string): number {
  return Number.parseInt(id.slice(0, 8), 16);
}

function jsonLine(request: Line, client: string, startedMs: number, tookMs: number): string {
  const { id, method, version, status, outcome, operation, caller, upstreamMs, degraded } = request;
  let line =
    `{"time":"${isoTime(startedMs)}","id":"${id}","client":"${escapeJson(client, MAX_NAME)}"` +
    `,"method":"${methodOf(method)}","path":"${escapeJson(pathOf(request.target), MAX_PATH)}"`;
  if (version !== undefined) line += `,"version":"${version}"`;
  line += `,"status":${status},"outcome":"${outcome}","bytesIn":${request.bytesIn},"bytesOut":${request.bytesOut},"ms":${milliseconds(tookMs)}`;
  if (upstreamMs >= 0) line += `,"upstreamMs":${milliseconds(upstreamMs)}`;
  if (operation !== undefined) line += `,"route":"${escapeJson(operation.name, MAX_PATH)}"`;
  if (caller !== undefined) {
    const { issuer, clientId } = caller;
    if (issuer !== undefined) line += `,"issuer":"${escapeJson(issuer, MAX_NAME)}"`;
    if (clientId !== undefined) line += `,"clientId":"${escapeJson(clientId, MAX_NAME)}"`;
  }
  if (degraded !== undefined) line += `,"degraded":"${degraded}"`;
  return `${line}}\n`;
}

/** `%h - %u %t "%r" %>s %b "-" "-"`: the user is the client id. */
function combinedLine(request: Line, client: string, startedMs: number): string {
  const { method, version, status, bytesOut, caller } = request;
  const user = caller?.clientId;
  const first =
    version === undefined
      ? '-'
      : `${methodOf(method)} ${escapeWord(pathOf(request.target), MAX_PATH)} HTTP/${version}`;
  return `${escapeWord(client, MAX_NAME)} - ${user === undefined || user === '' ? '-' : escapeWord(user, MAX_NAME)} [${apacheTime(startedMs)}] "${first}" ${status === 0 ? '-' : status} ${bytesOut === 0 ? '-' : bytesOut} "-" "-"\n`;
}

export function methodOf(method: string): string {
  return KNOWN_METHODS.has(method) ? method : '-';
}

/** The path without query and fragment, and without segments that may be a token. */
export function pathOf(target: string): string {
  if (target.charCodeAt(0) !== 0x2f) return '-'; // absolute-form may hold a password
  const most = Math.min(target.length, MAX_PATH);
  let long = false;
  let segment = 0;
  let end = 0;
  for (; end < most; end++) {
    const byte = target.charCodeAt(end);
    if (byte === 0x2f) segment = end + 1;
    else if (byte === 0x3f || byte === 0x23) break;
    else if (end - segment >= LONGEST_SEGMENT) long = true;
  }
  const path = end === target.length ? target : target.slice(0, end);
  return long ? path.replaceAll(/[^/]{37,}/g, '...') : path;
}

/** Printable ASCII without quotation mark and backslash; and the same without a blank. */
const PLAIN = /^[ !#-[\]-~]*$/;
const PLAIN_WORD = /^[!#-[\]-~]*$/;

/** The inside of a JSON string (RFC 8259 section 7), in ASCII. */
function escapeJson(text: string, most: number): string {
  if (text.length <= most && PLAIN.test(text)) return text;
  const cut = text.length <= most ? text : `${text.slice(0, most)}...`;
  return JSON.stringify(cut.toWellFormed())
    .slice(1, -1)
    .replaceAll(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** One word as Apache writes it: `\"`, `\\`, and `\xhh` for each byte of whatever else is not printable, or a blank. */
function escapeWord(text: string, most: number): string {
  if (text.length <= most && PLAIN_WORD.test(text)) return text;
  const cut = text.length <= most ? text : `${text.slice(0, most)}...`;
  let word = '';
  for (const byte of Buffer.from(cut)) {
    if (byte === 0x22 || byte === 0x5c) word += `\\${String.fromCharCode(byte)}`;
    else if (byte > 0x20 && byte < 0x7f) word += String.fromCharCode(byte);
    else word += `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return word;
}

/** With three decimals, as text: a number's own digits cost more to find. */
function milliseconds(duration: number): string {
  const thousandths = Math.round(duration * 1_000);
  const rest = thousandths % 1_000;
  return `${(thousandths - rest) / 1_000}.${THOUSANDTHS[rest] ?? '000'}`;
}

/** The text of a second, made once for it. */
function perSecond(textOf: (epochMs: number) => string): (second: number) => string {
  let last = Number.NaN;
  let text = '';
  return (second) => {
    if (second !== last) {
      last = second;
      text = textOf(second * 1_000);
    }
    return text;
  };
}

const isoSecond = perSecond((epochMs) => new Date(epochMs).toISOString().slice(0, 20));
const apacheSecond = perSecond(apacheText);

/** `2026-11-22T11:54:43.007Z` */
function isoTime(epochMs: number): string {
  const whole = Math.floor(epochMs);
  const second = Math.floor(whole / 1_000);
  return `${isoSecond(second)}${THOUSANDTHS[whole - second * 1_000] ?? '000'}Z`;
}

/** `22/Nov/2026:11:54:43 +0000`, in local time. */
function apacheTime(epochMs: number): string {
  return apacheSecond(Math.floor(epochMs / 1_000));
}

const MONTHS = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ');

function apacheText(epochMs: number): string {
  const at = new Date(epochMs);
  const two = (value: number): string => String(value).padStart(2, '0');
  const offset = -at.getTimezoneOffset();
  const away = Math.abs(offset);
  return (
    `${two(at.getDate())}/${MONTHS[at.getMonth()] ?? ''}/${at.getFullYear()}:${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}` +
    ` ${offset < 0 ? '-' : '+'}${two(Math.floor(away / 60))}${two(away % 60)}`
  );
}
