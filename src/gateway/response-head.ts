import { NO_TRAILERS, nominated, RESPONSE_HOP_BY_HOP } from './header-names.ts';
import type { HeaderPolicy } from './headers.ts';

/**
 * What of an upstream's header fields goes to the client: not those of this hop, nor framing, which each side has of its own.
 * @param received name in lower case and value, alternating
 */
export function responseFields(received: readonly string[], policy: HeaderPolicy): string[] {
  const fields: string[] = [];
  let connection: string | undefined;
  for (let at = 0; at < received.length; at += 2) {
    const name = received[at] ?? '';
    const value = received[at + 1] ?? '';
    if (RESPONSE_HOP_BY_HOP.has(name)) {
      if (name === 'connection') {
        connection = connection === undefined ? value : `${connection}, ${value}`;
      }
    } else if (name !== 'content-length' && !(policy.replaceServer && name === 'server')) {
      fields.push(name, value);
    }
  }
  if (policy.replaceServer && policy.serverHeader !== undefined) {
    fields.push('Server', policy.serverHeader);
  }
  const names = connection === undefined ? undefined : nominated(connection);
  if (names === undefined) return fields;
  return fields.filter((_, at) => !names.has(fields[at - (at % 2)] ?? ''));
}

/**
 * What of an upstream's trailers goes to the client.
 * @param received name in lower case and value, alternating
 */
export function trailerFields(received: readonly string[]): string[] {
  return received.filter((_, at) => !NO_TRAILERS.has(received[at - (at % 2)] ?? ''));
}
