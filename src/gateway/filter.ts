import type { Caller } from '../auth/caller.ts';
import type { ExtensionFilter, FilterAnswer, FilterRequest } from '../extension.ts';
import type { Exchange } from './exchange.ts';
import type { Outgoing } from './forward.ts';
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
 * Runs `filterResponse` on a head and sends the result. `Set-Cookie` cannot be joined in one value: those of the upstream are not in the
 * map and stay as they are. When the extension throws, the client gets a bare 500.
 */
export async function filterHead(
  filter: ExtensionFilter,
  exchange: Exchange,
  status: number,
  fields: readonly string[],
  send: (status: number, fields: string[]) => void,
): Promise<void> {
  const framing = new Map<string, string>();
  try {
    const headers = toMap(fields, isCookie);
    for (const name of ['content-length', 'connection']) {
      const value = headers.get(name);
      if (value !== undefined) framing.set(name, value);
      headers.delete(name);
    }
    const response = { status, headers, requestId: exchange.id };
    await filter.filterResponse?.(response);
    if (!Number.isInteger(response.status) || response.status < 200 || response.status > 599) {
      throw new Error(`status ${response.status} is not one of a final response`);
    }
    for (const name of ['content-length', 'connection', 'transfer-encoding', 'keep-alive']) {
      headers.delete(name);
    }
    const cookies = fields.flatMap((name, at) =>
      at % 2 === 0 && isCookie(name.toLowerCase()) ? [name, fields[at + 1] ?? ''] : [],
    );
    send(response.status, [...flat(headers), ...flat(framing), ...cookies]);
  } catch (error) {
    exchange.log.error('ExtensionFilter', `filterResponse failed: ${String(error)}`, exchange.id);
    exchange.outcome = 'internalError';
    if (exchange.status === 0) send(500, flat(framing));
  }
}

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

function isCookie(name: string): boolean {
  return name === 'set-cookie';
}

function flat(map: ReadonlyMap<string, string>): string[] {
  return [...map].flat();
}
