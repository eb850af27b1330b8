import { createHash } from 'node:crypto';
import { GatewayFault } from '../errors.ts';
import type { Exchange } from './exchange.ts';
import { nominated } from './header-names.ts';
import type { HeaderPolicy } from './headers.ts';
import { responseFields } from './response-head.ts';

/** A checked opening handshake of a WebSocket (RFC 6455 section 4.2.1). */
export interface Handshake {
  /** The only `Sec-WebSocket-Accept` that answers it. */
  readonly accept: string;
  /** Sub-protocols that the client offers. */
  readonly protocols: ReadonlySet<string>;
  /** The client offers extensions. */
  readonly extensible: boolean;
}

/** RFC 6455 section 1.3. */
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** 16 bytes in base64. */
const KEY = /^[A-Za-z0-9+/]{22}==$/;

/**
 * Reads what the client wants to switch to. Only `websocket` in HTTP/1.1 is a switch; any other protocol is ignored, as RFC 9110 section
 * 7.8 allows, and the request answered as it stands.
 * @returns undefined when the request is no handshake
 * @throws GatewayFault `badRequest`, `upgradeRequired` for another version than 13
 */
export function readHandshake(exchange: Exchange): Handshake | undefined {
  const { head, method, client } = exchange;
  if (head?.upgrade !== 'websocket') return undefined;
  if (method !== 'GET') throw bad('with another method than GET');
  if (head.hasBody) throw bad('with a body');
  if (only(head.fields, 'sec-websocket-version') !== '13') {
    throw new GatewayFault('upgradeRequired', 'another version of the WebSocket protocol than 13');
  }
  const key = only(head.fields, 'sec-websocket-key');
  if (key === undefined || !KEY.test(key)) throw bad('without one Sec-WebSocket-Key of 16 bytes');
  if (!client.canSwitch) throw bad('behind a request that is not answered yet');
  return {
    accept: createHash('sha1').update(key).update(GUID).digest('base64'),
    protocols: new Set(all(head.fields, 'sec-websocket-protocol').flatMap(list)),
    extensible: all(head.fields, 'sec-websocket-extensions').length > 0,
  };
}

/**
 * Reads the upstream's 101 as a client of its own would (RFC 6455 section 4.1): it must answer this very handshake.
 * @param received name in lower case and value, alternating
 * @returns the fields of the gateway's own 101, name and value alternating; without `Connection`
 * @throws Error when the upstream did not switch, or to something that was not asked for
 */
export function readSwitch(
  received: readonly string[],
  handshake: Handshake,
  policy: HeaderPolicy,
): string[] {
  if (only(received, 'upgrade')?.toLowerCase() !== 'websocket')
    throw new Error('101 to another protocol');
  const connection = all(received, 'connection').join();
  if (nominated(connection)?.has('upgrade') !== true)
    throw new Error('101 without Connection: Upgrade');
  if (only(received, 'sec-websocket-accept') !== handshake.accept) {
    throw new Error('101 with a wrong Sec-WebSocket-Accept');
  }
  if (has(received, 'content-length') || has(received, 'transfer-encoding')) {
    throw new Error('101 with a body'); // RFC 9110 section 8.6, RFC 9112 section 6.1
  }
  const protocols = all(received, 'sec-websocket-protocol');
  if (protocols.length > 1 || protocols.some((name) => !handshake.protocols.has(name))) {
    throw new Error('101 with a sub-protocol that was not offered');
  }
  if (!handshake.extensible && has(received, 'sec-websocket-extensions')) {
    throw new Error('101 with extensions, and none were offered');
  }
  const fields = responseFields(received, policy);
  return [
    'Upgrade',
    'websocket',
    'Sec-WebSocket-Accept',
    handshake.accept,
    ...fields.filter((_, at) => fields[at - (at % 2)] !== 'sec-websocket-accept'),
  ];
}

function bad(why: string): GatewayFault {
  return new GatewayFault('badRequest', `a WebSocket handshake ${why}`);
}

/** Every value of one field. */
function all(fields: readonly string[], name: string): string[] {
  return fields.filter((_, at) => at % 2 === 1 && fields[at - 1]?.toLowerCase() === name);
}

function has(fields: readonly string[], name: string): boolean {
  return all(fields, name).length > 0;
}

/** The value of a field that is there exactly once. */
function only(fields: readonly string[], name: string): string | undefined {
  const values = all(fields, name);
  return values.length === 1 ? values[0] : undefined;
}

function list(value: string): string[] {
  return value.split(',').map((item) => item.trim());
}
