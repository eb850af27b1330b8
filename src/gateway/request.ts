import { GatewayFault } from '../errors.ts';
import type { EdgeRules } from './edge-rules.ts';
import type { Exchange } from './exchange.ts';
import { readHeaders, type RequestHead, sameHost } from './headers.ts';
import { checkHttp2Fields } from './http2-fields.ts';
import type { KnownPath } from './route-cache.ts';
import type { Operation } from './routes.ts';

/** A scheme and authority before the path: absolute-form (RFC 9112 section 3.2.2). */
const ABSOLUTE = /^https?:\/\/([^/?#]*)(.*)$/is;

/**
 * Reads and checks the head of a request; afterwards `exchange.target` is in origin-form, and what is matched and forwarded.
 * @throws GatewayFault `badRequest`, `ambiguousPath`, `payloadTooLarge`, `uriTooLong`, `headersTooLarge`
 */
export function readRequest(exchange: Exchange): {
  readonly path: KnownPath<Operation>;
  readonly head: RequestHead;
} {
  const { client, plane, connection } = exchange;
  if (exchange.target.length > plane.limits.maxUriLength) {
    throw new GatewayFault('uriTooLong', `request target of ${exchange.target.length} characters`);
  }
  const head = readHeaders(
    client.fields,
    client.version,
    exchange.openStream,
    plane.policy,
    plane.limits,
    connection.trusted,
  );
  exchange.head = head;
  if (exchange.http2) checkHttp2Fields(client.fields);
  const { maxBodySize } = plane.limits;
  if (maxBodySize >= 0 && head.contentLength > maxBodySize) {
    throw new GatewayFault('payloadTooLarge', `body of ${head.contentLength} bytes`);
  }
  if (head.hasBody) checkBodyOf(exchange.method, plane.policy.edge);
  const target =
    exchange.target.charCodeAt(0) === 0x2f ? exchange.target : originForm(exchange, head);
  const path = plane.routes.read(exchange.method, target);
  exchange.target = path.target;
  return { path, head };
}

/** TRACE has no body (RFC 9110 section 9.3.8), GET and HEAD where a rule says so. */
function checkBodyOf(method: string, { requestBodyOnGet, trace }: EdgeRules): void {
  const unusual = method === 'GET' || method === 'HEAD';
  if (
    (unusual && requestBodyOnGet === 'refuse') ||
    (method === 'TRACE' && trace === 'serve') // else it is no method here
  ) {
    throw new GatewayFault('badRequest', `a body of ${method}`);
  }
}

function originForm({ target, http2, plane }: Exchange, head: RequestHead): string {
  const { absoluteForm } = plane.policy.edge;
  const [, authority, rest] = (!http2 && ABSOLUTE.exec(target)) || [];
  if (authority !== undefined && absoluteForm === 'refuse') {
    throw new GatewayFault('badRequest', 'absolute-form');
  }
  if (authority === undefined || rest === undefined) {
    throw new GatewayFault('badRequest', 'the request target is neither a path nor an http URL');
  }
  if (!sameHost(authority, head.host)) {
    throw new GatewayFault('badRequest', 'the request target and Host name different hosts');
  }
  return rest.startsWith('/') ? rest : `/${rest}`;
}
