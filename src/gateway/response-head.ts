import { nominated, RESPONSE_HOP_BY_HOP } from './header-names.ts';
import type { HeaderPolicy } from './headers.ts';

/** An upstream's response head: what goes to the client, and how long the body will be. */
export interface ResponseHead {
  /** Name and value, alternating. */
  readonly fields: string[];
  /** Bytes; -1 when not said. */
  readonly contentLength: number;
}

/**
 * Reads an upstream's header fields.
 * @throws Error when the framing is not plain: the response must not be passed on
 */
export function readResponseHeaders(
  raw: readonly Buffer[],
  status: number,
  policy: HeaderPolicy,
): ResponseHead {
  const fields: string[] = [];
  let contentLength = -1;
  let coding = false;
  let connection: string | undefined;
  for (let index = 0; index < raw.length; index += 2) {
    const name = raw[index]?.toString('latin1') ?? '';
    const value = raw[index + 1]?.toString('latin1') ?? '';
    const lower = name.toLowerCase();
    if (RESPONSE_HOP_BY_HOP.has(lower)) {
      if (lower === 'connection') {
        connection = connection === undefined ? value : `${connection}, ${value}`;
      }
      if (lower === 'transfer-encoding') {
        if (coding || value.toLowerCase() !== 'chunked')
          throw new Error('coding is not chunked alone');
        coding = true;
      }
    } else if (lower === 'content-length') {
      if (contentLength !== -1 || !/^\d{1,15}$/.test(value)) throw new Error('bad Content-Length');
      contentLength = Number(value);
    } else if (!(policy.replaceServer && lower === 'server')) {
      fields.push(name, value);
    }
  }
  if (coding && contentLength !== -1) throw new Error('Content-Length beside chunked');
  if (contentLength !== -1 && status !== 204) fields.push('Content-Length', String(contentLength));
  if (policy.replaceServer && policy.serverHeader !== undefined) {
    fields.push('Server', policy.serverHeader);
  }
  return { fields: withoutNominatedByUpstream(fields, connection), contentLength };
}

function withoutNominatedByUpstream(fields: string[], connection: string | undefined): string[] {
  const names = connection === undefined ? undefined : nominated(connection);
  if (names === undefined) return fields;
  return fields.filter((_, index) => !names.has((fields[index - (index % 2)] ?? '').toLowerCase()));
}
