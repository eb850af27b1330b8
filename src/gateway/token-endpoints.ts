import { FAULTS, GatewayFault } from '../errors.ts';
import type { Exchange } from './exchange.ts';
import { forward, outgoing } from './forward.ts';
import { reject } from './reject.ts';

/** Path, its one method, and what WSO2 calls it in its error text. */
const ENDPOINTS: ReadonlyMap<
  string | undefined,
  { readonly method: string; readonly called: string }
> = new Map([
  ['token', { method: 'POST', called: 'token' }],
  ['revoke', { method: 'POST', called: 'revoke' }],
  ['authorize', { method: 'GET', called: 'authorize' }],
  ['userinfo', { method: 'GET', called: 'user info' }],
]);

/**
 * Proxies a token endpoint to the key manager, credentials included: they are meant for it. That a revocation passed by here is no
 * evidence (RFC 7009 answers 200 for anybody's token), so it revokes nothing in this gateway.
 * @returns false when `name` is none of them, or there is no key manager
 * @throws GatewayFault `methodNotAllowed`
 */
export function answerTokenEndpoint(
  exchange: Exchange,
  name: string | undefined,
  pathEnd: number,
): boolean {
  const { plane, method, target } = exchange;
  const endpoint = ENDPOINTS.get(name);
  if (endpoint === undefined || plane.keyManager === undefined) return false;
  exchange.unfiltered = true;
  if (method !== endpoint.method) {
    throw new GatewayFault('methodNotAllowed', 'not the method of this token endpoint', {
      allow: endpoint.method,
    });
  }
  const below = `/${name}${target.slice(pathEnd)}`;
  const request = outgoing(exchange, plane.keyManager.next(), below, true);
  forward(exchange, request, (failed, error) => unavailable(failed, error, endpoint.called));
  return true;
}

/** WSO2's answer when the key manager cannot be had; whatever the client did wrong is refused like everywhere else. */
function unavailable(exchange: Exchange, error: unknown, called: string): void {
  if (!(error instanceof GatewayFault) || FAULTS[error.fault].status < 500) {
    reject(exchange, error);
    return;
  }
  if (!error.unsaid) {
    const line = `500 ${error.fault}: ${error.detail} (${exchange.describe()})`;
    exchange.log.error('Gateway', line, exchange.id);
  }
  const body = `{"error":"error occurred while invoking the ${called} endpoint"}`;
  const fields = ['Content-Type', 'application/json', 'X-Request-Id', exchange.id];
  exchange.answer(500, fields, body, error.fault);
}
