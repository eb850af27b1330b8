import type { Caller } from '../auth/caller.ts';
import { GatewayFault } from '../errors.ts';
import type { ExtensionFilter, FilterAnswer, FilterRequest } from '../extension.ts';
import { errorText } from './error-text.ts';
import type { Exchange } from './exchange.ts';
import type { Outgoing } from './forward.ts';
import { RESPONSE_HOP_BY_HOP } from './header-names.ts';
import type { HeaderPolicy } from './headers.ts';

/**
 * The project's own filter (`extensions/extension_filter.ts`). Only used where there is one: without it no map is built.
 */

/** An answer of the extension that HTTP allows. */
interface CheckedAnswer {
  readonly status: number;
  /** Name and value, alternating. */
  readonly fields: string[];
  readonly body: string;
}

/**
 * Runs `filterRequest`; its changes to the headers are in `outgoing` afterwards. Rejects with a GatewayFault `internalError` when the
 * extension throws, and when what it made is nothing that HTTP allows: that is not the upstream's failure.
 */
export async function filterRequest(
  filter: ExtensionFilter,
  exchange: Exchange,
  outgoing: Outgoing,
  caller: Caller | undefined,
): Promise<CheckedAnswer | undefined> {
  const headers = toMap(outgoing.headers, () => false);
  const request: FilterRequest = {
    method: exchange.method,
    target: exchange.target,
    headers,
    requestId: exchange.id,
    subject: caller?.subject,
  };
  return blamed('filterRequest', async () => {
    const answer = await filter.filterRequest?.(request);
    if (answer !== undefined) return checkedAnswer(answer);
    const fields = requestFields(headers, exchange.plane.policy);
    checkFields(fields);
    outgoing.headers = fields;
    return undefined;
  });
}

/**
 * Runs `filterResponse` on a head. `Set-Cookie` cannot be joined in one value: those of the upstream are not in the map and stay as they
 * are. Rejects as {@link filterRequest} does.
 * @param fields name and value, alternating
 */
export async function filterHead(
  filter: ExtensionFilter,
  status: number,
  fields: readonly string[],
  requestId: string,
): Promise<{ readonly status: number; readonly fields: string[] }> {
  const headers = toMap(fields, (name) => FRAMING.has(name) || name === 'set-cookie');
  const response = { status, headers, requestId };
  const own = await blamed('filterResponse', async () => {
    await filter.filterResponse?.(response);
    checkStatus(response.status);
    const changed = [...headers].filter(([name]) => !FRAMING.has(name.toLowerCase())).flat();
    checkFields(changed);
    return changed;
  });
  const kept = fields.filter((_, at) => {
    const name = (fields[at - (at % 2)] ?? '').toLowerCase();
    return FRAMING.has(name) || name === 'set-cookie';
  });
  return { status: response.status, fields: [...own, ...kept] };
}

/** Does a part of the extension's work; what goes wrong in it is said to be the extension's. */
async function blamed<T>(part: keyof ExtensionFilter, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const detail = `extensions/extension_filter.ts: ${part}: ${errorText(cause)}`;
    throw new GatewayFault('internalError', detail, { cause });
  }
}

/** An extension's types were checked when it was built, but its values may still be anything: it may use `any`. */
function checkedAnswer(answer: FilterAnswer): CheckedAnswer {
  if (typeof answer !== 'object' || (answer as unknown) === null)
    throw new TypeError('it returned something else than an answer or undefined');
  const { status, headers = {}, body = '' } = answer;
  checkStatus(status);
  if (typeof body !== 'string') throw new TypeError('the body of its answer is no string');
  const fields = Object.entries(headers)
    .filter(([name]) => !FRAMING.has(name.toLowerCase()))
    .flat();
  checkFields(fields);
  return { status, fields, body };
}

function checkStatus(status: number): void {
  if (!Number.isInteger(status) || status < 200 || status > 599)
    throw new RangeError(`${String(status)} is not the status of a final response`);
}

/**
 * RFC 9110 section 5: a token as the name, no control characters in the value. A value is not repeated in the message: it may be a secret.
 * @param fields name and value, alternating
 */
function checkFields(fields: readonly unknown[]): void {
  for (let index = 0; index < fields.length; index += 2) {
    const name = fields[index];
    const value = fields[index + 1];
    if (typeof name !== 'string' || !/^[\w!#$%&'*+.^`|~-]+$/.test(name))
      throw new TypeError('it set a header with a name that HTTP does not allow');
    if (typeof value !== 'string' || !/^[\t\x20-\x7e\x80-\xff]*$/.test(value))
      throw new TypeError(`it set the header ${name} to a value that HTTP does not allow`);
  }
}

/** Fields of a response that are not the extension's to set. */
const FRAMING: ReadonlySet<string> = new Set(['content-length', ...RESPONSE_HOP_BY_HOP]);

/** Names in lower case; fields of one name joined as RFC 9110 section 5.3 says. */
function toMap(
  fields: readonly string[],
  leaveOut: (name: string) => boolean,
): Map<string, string> {
  const map = new Map<string, string>();
  for (let index = 0; index < fields.length; index += 2) {
    const name = (fields[index] ?? '').toLowerCase();
    if (leaveOut(name)) continue;
    const value = fields[index + 1] ?? '';
    const earlier = map.get(name);
    map.set(name, earlier === undefined ? value : `${earlier}, ${value}`);
  }
  return map;
}

/** Framing and hop-by-hop fields are not the extension's to set. */
function requestFields(headers: ReadonlyMap<string, string>, policy: HeaderPolicy): string[] {
  const fields: string[] = [];
  for (const [name, value] of headers) {
    const kind = policy.kinds.get(name.toLowerCase());
    const kept = kind !== 'dropped' && kind !== 'expect';
    const hop = kind === 'connection' || kind === 'upgrade';
    if (
      kept &&
      !hop &&
      kind !== 'host' &&
      kind !== 'contentLength' &&
      kind !== 'transferEncoding'
    ) {
      fields.push(name.toLowerCase(), value);
    }
  }
  return fields;
}
