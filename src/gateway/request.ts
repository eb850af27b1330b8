import { GatewayFault } from '../errors.ts';
import type { Exchange } from './exchange.ts';
import { readHeaders, type RequestHead, sameHost } from './headers.ts';
import { readPath, type RequestPath } from './path.ts';

/** A scheme and authority before the path: absolute-form (RFC 9112 section 3.2.2). */
const ABSOLUTE = /^https?:\/\/([^/?#]*)(.*)$/is;

/**
 * Reads and checks the head of a request; afterwards `exchange.target` is in origin-form.
 * @throws GatewayFault `badRequest`, `ambiguousPath`, `payloadTooLarge`, `uriTooLong`, `headersTooLarge`
 */
export function readRequest(exchange: Exchange): {
  readonly path: RequestPath;
  readonly head: RequestHead;
} {
  const { request, plane, connection } = exchange;
  const version = request.httpVersion;
  if (!exchange.http2 && version !== '1.1' && version !== '1.0') {
    throw new GatewayFault('badRequest', 'unknown HTTP version');
  }
  if (exchange.target.length > plane.limits.maxUriLength) {
    throw new GatewayFault('uriTooLong', `request target of ${exchange.target.length} characters`);
  }
  const head = readHeaders(
    request.rawHeaders,
    version,
    exchange.openStream,
    plane.policy,
    plane.limits,
    connection.trusted,
  );
  exchange.head = head;
  const { maxBodySize } = plane.limits;
  if (maxBodySize >= 0 && head.contentLength > maxBodySize) {
    throw new GatewayFault('payloadTooLarge', `body of ${head.contentLength} bytes`);
  }
  if (exchange.target.charCodeAt(0) !== 0x2f) exchange.target = originForm(exchange.target, head);
  return { path: readPath(exchange.target), head };
}

function originForm(target: string, head: RequestHead): string {
  const [, authority, rest] = ABSOLUTE.exec(target) ?? [];
  if (authority === undefined || rest === undefined) {
    throw new GatewayFault('badRequest', 'the request target is neither a path nor an http URL');
  }
  if (!sameHost(authority, head.host)) {
    throw new GatewayFault('badRequest', 'the request target and Host name different hosts');
  }
  return rest.startsWith('/') ? rest : `/${rest}`;
}
