import type { Caller } from '../auth/caller.ts';
import type { ExtensionFilter, FilterAnswer, FilterRequest } from '../extension.ts';
import type { Exchange } from './exchange.ts';
import type { Outgoing } from './forward.ts';
import { RESPONSE_HOP_BY_HOP } from './header-names.ts';
import type { HeaderPolicy } from './headers.ts';

/**
 * The project's own filter (`extensions/extension_filter.ts`). Only used where there is one: without it no map is built.
 */

/** Runs `filterRequest`; its changes to the headers are in `outgoing` afterwards. Rejects with what the extension throws. */
export async function filterRequest(
  filter: ExtensionFilter,
  exchange: Exchange,
  outgoing: Outgoing,
  caller: Caller | undefined,
): Promise<FilterAnswer | undefined> {
  const headers = toMap(outgoing.headers, () => false);
  const request: FilterRequest = {
    method: exchange.method,
    target: exchange.target,
    headers,
    requestId: exchange.id,
    subject: caller?.subject,
  };
  const answer = await filter.filterRequest?.(request);
  outgoing.headers = requestFields(headers, exchange.plane.policy);
  return answer;
}

/**
 * Runs `filterResponse` on a head. `Set-Cookie` cannot be joined in one value: those of the upstream are not in the map and stay as they
 * are. Rejects with what the extension throws.
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
  await filter.filterResponse?.(response);
  if (!Number.isInteger(response.status) || response.status < 200 || response.status > 599) {
    throw new Error(`filterResponse: ${response.status} is not the status of a final response`);
  }
  for (const name of FRAMING) headers.delete(name);
  const kept = fields.filter((_, at) => {
    const name = (fields[at - (at % 2)] ?? '').toLowerCase();
    return FRAMING.has(name) || name === 'set-cookie';
  });
  return { status: response.status, fields: [...[...headers].flat(), ...kept] };
}

/** The fields of an answer that an extension made: name and value, alternating. */
export function answerFields(answer: FilterAnswer): string[] {
  return Object.entries(answer.headers ?? {})
    .filter(([name]) => !FRAMING.has(name.toLowerCase()))
    .flat();
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
    const kept = kind !== 'dropped' && kind !== 'expect' && kind !== 'connection';
    if (kept && kind !== 'host' && kind !== 'contentLength' && kind !== 'transferEncoding') {
      fields.push(name, value);
    }
  }
  return fields;
}
