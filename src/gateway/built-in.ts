import type { Exchange } from './exchange.ts';
import type { RequestPath } from './path.ts';
import { answerTokenEndpoint } from './token-endpoints.ts';
import { GatewayFault } from '../errors.ts';

/**
 * The paths that are the gateway's own: `/health` and `/ready` on the API listeners, the token endpoints on `https` and `token`. They
 * need no token and pass no filter.
 * @returns true when the request is taken care of
 */
export function answerBuiltIn(exchange: Exchange, path: RequestPath): boolean {
  const { kind } = exchange.site;
  const [name] = path.segments;
  if (path.segments.length === 1) {
    if (kind !== 'token') {
      if (name === 'health') return status(exchange, 200, '{"status":"healthy"}');
      if (name === 'ready') return readiness(exchange);
    }
    if (kind !== 'http' && answerTokenEndpoint(exchange, name, path.end)) return true;
  }
  if (kind === 'token') throw new GatewayFault('notFound', 'not a token endpoint');
  return false;
}

/** Without detail: what is missing is in the log. */
function readiness(exchange: Exchange): true {
  const { plane } = exchange;
  return plane.ready() && !plane.draining && !plane.shedding
    ? status(exchange, 200, '{"status":"ready"}')
    : status(exchange, 503, '{"status":"not ready"}');
}

function status(exchange: Exchange, code: number, body: string): true {
  exchange.unfiltered = true;
  if (exchange.method !== 'GET' && exchange.method !== 'HEAD') {
    throw new GatewayFault('methodNotAllowed', 'only to be read', { allow: 'GET, HEAD' });
  }
  const fields = ['Content-Type', 'application/json', 'Cache-Control', 'no-store'];
  exchange.answer(code, fields, body, 'answered');
  return true;
}
