import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import { FAULTS, type FaultName, GatewayFault } from '../errors.ts';
import type { GrammarError, Refusal } from '../http1/refusal.ts';
import type { DataPlane } from './data-plane.ts';
import { faultBody } from './reject.ts';

/** What bytes that are refused are answered with. */
const FAULT_OF: Readonly<Record<Refusal, FaultName>> = {
  malformed: 'badRequest',
  method: 'badRequest',
  connect: 'methodNotAllowed',
  version: 'badRequest',
  targetTooLong: 'uriTooLong',
  fieldsTooLarge: 'headersTooLarge',
  framing: 'badRequest',
  chunk: 'badRequest',
  chunkExtensions: 'payloadTooLarge',
  trailers: 'badRequest',
  cutShort: 'badRequest',
};

export function refusalFault(refusal: Refusal): FaultName {
  return FAULT_OF[refusal];
}

/** The fault for a request, or the body of one, that breaks the grammar. */
export function grammarFault(error: GrammarError): GatewayFault {
  return new GatewayFault(refusalFault(error.refusal), error.at, { cause: error });
}

/**
 * The whole answer for a connection without an exchange, in the same shape as all refusals: it is counted and logged, and the connection is
 * to be closed behind it.
 * @param detail for the log
 * @param peer the other side's address
 * @returns latin1
 */
export function refusalAnswer(
  fault: FaultName,
  detail: string,
  peer: string,
  plane: DataPlane,
): string {
  const { status } = FAULTS[fault];
  const id = randomUUID();
  plane.log.info('Gateway', `${status} ${fault}: ${detail} (from ${peer})`, id);
  const body = faultBody(fault);
  plane.observer.refused(fault, id, peer, body.length);
  const { serverHeader } = plane.policy;
  return (
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/json\r\nX-Request-Id: ${id}\r\n` +
    // Only CONNECT: an authority allows no method at all (RFC 9110 section 10.2.1).
    (fault === 'methodNotAllowed' ? 'Allow: \r\n' : '') +
    (serverHeader === undefined ? '' : `Server: ${serverHeader}\r\n`) +
    `Content-Length: ${body.length}\r\nDate: ${new Date().toUTCString()}\r\nConnection: close\r\n\r\n${body}`
  );
}
