import { type BearerChallenge, FAULTS, type FaultName, GatewayFault } from '../errors.ts';
import { errorText } from './error-text.ts';
import type { Exchange } from './exchange.ts';

/** The bodies of all faults, as WSO2 writes them: a blank after each comma, none after a colon. */
const BODIES = Object.fromEntries(
  Object.entries(FAULTS).map(([name, { code, message, description }]) => [
    name,
    `{"fault":{"code":${code}, "message":${JSON.stringify(message)}, "description":${JSON.stringify(description)}}}`,
  ]),
) as Readonly<Record<FaultName, string>>;

/** Who sends such a request is out of step with this gateway, or wants to be: nothing more is read from there. */
const BAD_INPUT: ReadonlySet<number> = new Set([400, 413, 414, 431]);

const WEBSOCKET_13 = ['Sec-WebSocket-Version', '13'] as const;

export function faultBody(fault: FaultName): string {
  return BODIES[fault];
}

/**
 * Refuses a request: the fault body, the fields that go with its status, and one log line under the id that the client gets as
 * `X-Request-Id`, unless the fault is `unsaid`. An error that is no {@link GatewayFault} is a fault of the gateway itself: 500, and an ERROR in
 * the log.
 */
export function reject(exchange: Exchange, error: unknown): void {
  if (exchange.ended) return; // answered meanwhile, or its client has left
  const fault = error instanceof GatewayFault ? error : unexpected(error);
  if (!fault.unsaid) logRefusal(exchange, fault);
  if (exchange.status !== 0) {
    exchange.breakOff('brokenOff');
    return;
  }
  // A head that could not be read says nothing reliable about where the next request begins.
  const { status } = FAULTS[fault.fault];
  if (exchange.head === undefined || BAD_INPUT.has(status)) exchange.closeAfter = true;
  const fields = ['Content-Type', 'application/json', 'X-Request-Id', exchange.id];
  const challenge = wwwAuthenticate(status, fault.challenge, exchange.plane.realm);
  if (challenge !== undefined) fields.push('WWW-Authenticate', challenge);
  if (fault.allow !== undefined) fields.push('Allow', fault.allow);
  // RFC 9110 section 15.5.22, RFC 6455 section 4.4
  if (status === 426) fields.push('Upgrade', 'websocket', ...WEBSOCKET_13);
  if (fault.retryAfterSeconds !== undefined) {
    fields.push('Retry-After', String(fault.retryAfterSeconds));
  }
  try {
    exchange.answer(status, fields, BODIES[fault.fault], fault.fault);
  } catch (cause) {
    logRefusal(exchange, unexpected(cause));
    exchange.breakOff(fault.fault); // no exchange stays unanswered
  }
}

/** RFC 6750 section 3: with every 401, and with a 403 for want of a scope. */
function wwwAuthenticate(
  status: number,
  challenge: BearerChallenge | undefined,
  realm: string,
): string | undefined {
  if (status !== 401 && challenge === undefined) return undefined;
  const { error, errorDescription, scope } = challenge ?? {};
  const parts = [`Bearer realm=${quoted(realm)}`];
  if (error !== undefined) parts.push(`error=${quoted(error)}`);
  if (errorDescription !== undefined) parts.push(`error_description=${quoted(errorDescription)}`);
  if (scope !== undefined) parts.push(`scope=${quoted(scope)}`);
  return parts.join(', ');
}

/** Only the characters that RFC 6750 section 3 allows in a value. */
function quoted(value: string): string {
  return `"${value.replaceAll(/[^\x20-\x7e]|["\\]/g, ' ')}"`;
}

function unexpected(error: unknown): GatewayFault {
  return new GatewayFault('internalError', errorText(error), { cause: error });
}

/** One line: what the client is not told. Paths without query, no header, no token. */
function logRefusal(exchange: Exchange, { fault, detail }: GatewayFault): void {
  const { log, id } = exchange;
  const { status } = FAULTS[fault];
  const line = `${status} ${fault}: ${detail} (${exchange.describe()} from ${exchange.clientAddress})`;
  if (status === 500) log.error('Gateway', line, id);
  else if (status > 500) log.warn('Gateway', line, id);
  else log.info('Gateway', line, id);
}
