import { GatewayFault } from '../errors.ts';
import type { Caller } from '../auth/caller.ts';
import type { Exchange } from './exchange.ts';
import { upstreamHeaders } from './headers.ts';
import { offsetBelow } from './path.ts';
import type { Operation } from './routes.ts';
import { UpstreamCall } from './upstream-call.ts';
import type { Endpoint, Upstream } from './upstream.ts';

/** A request as it is about to go upstream. */
export interface Outgoing {
  readonly endpoint: Endpoint;
  /** Path and query at the upstream. */
  readonly path: string;
  /** Name in lower case and value, alternating: without host and framing. */
  headers: string[];
}

/** Answers for a call that failed before its response began. */
export type OnFailure = (exchange: Exchange, error: unknown) => void;

/**
 * Chooses the endpoint by the caller's key type and makes the upstream's request of the client's: the path below the API's base path is
 * appended to the endpoint's, the query is kept, byte for byte.
 * @throws GatewayFault `noProductionEndpoint`, `noSandboxEndpoint`
 */
export function prepare(
  exchange: Exchange,
  operation: Operation,
  pathEnd: number,
  caller: Caller | undefined,
): Outgoing {
  const sandbox = caller?.keyType === 'SANDBOX';
  const endpoint = (sandbox ? operation.sandbox : operation.production)?.next();
  if (endpoint === undefined) {
    throw new GatewayFault(
      sandbox ? 'noSandboxEndpoint' : 'noProductionEndpoint',
      `the API has no ${sandbox ? 'sandbox' : 'production'} endpoint`,
    );
  }
  const { target } = exchange;
  const below = target.slice(offsetBelow(target, operation.baseDepth, pathEnd));
  return outgoing(exchange, endpoint, below, !exchange.plane.policy.removeCredential);
}

/** @param below what follows the endpoint's own path: a path and query, a query, or nothing */
export function outgoing(
  exchange: Exchange,
  endpoint: Endpoint,
  below: string,
  keepCredential: boolean,
): Outgoing {
  const { head, connection, site, plane } = exchange;
  if (head === undefined) throw new Error('the request head was not read');
  const joined = endpoint.prefix + below;
  return {
    endpoint,
    path: joined.charCodeAt(0) === 0x2f ? joined : `/${joined}`,
    headers: upstreamHeaders(head, connection.peer, site.scheme, plane.policy, keepCredential),
  };
}

/**
 * Sends a request upstream and streams both bodies. At most `maxActive` calls go to one origin at a time: this one may have to wait.
 * @throws GatewayFault `serviceUnavailable`; `badRequest` for a WebSocket where the upstream speaks HTTP/2 (RFC 8441 is not spoken)
 */
export function forward(exchange: Exchange, outgoing: Outgoing, onFailure: OnFailure): void {
  const { upstream } = outgoing.endpoint;
  if (upstream.http2 && exchange.handshake !== undefined) {
    throw new GatewayFault('badRequest', 'a WebSocket to an upstream that is called over HTTP/2');
  }
  requireHealth(upstream);
  if (upstream.queue.hasRoom) {
    call(exchange, outgoing, onFailure);
    return;
  }
  const waits = upstream.queue.wait(
    exchange,
    () => {
      try {
        requireHealth(upstream); // it may have failed meanwhile
        call(exchange, outgoing, onFailure);
      } catch (error) {
        onFailure(exchange, error);
      }
    },
    () =>
      onFailure(
        exchange,
        busy(upstream, `, and its turn did not come within ${upstream.queue.waitMs} ms`),
      ),
  );
  if (!waits)
    throw busy(upstream, upstream.queue.waitMs === 0 ? '' : ', and too many wait for one to end');
}

function requireHealth({ health, origin, turnedAway }: Upstream): void {
  const nowMs = performance.now();
  if (health === undefined || health.allows(nowMs)) return;
  const seconds = Math.max(1, Math.ceil(health.waitMs(nowMs) / 1_000));
  throw turnedAway.fault(`${origin} failed too often`, seconds);
}

function busy({ origin, queue, turnedAway }: Upstream, waited: string): GatewayFault {
  const bound = `${origin} has ${queue.maxActive} calls, all that httpClients.poolConfig.maxActiveConnections allows`;
  return turnedAway.fault(bound + waited, 1);
}

function call(
  exchange: Exchange,
  { endpoint, path, headers }: Outgoing,
  onFailure: OnFailure,
): void {
  const { upstream } = endpoint;
  const { head, method } = exchange;
  // A body where none is usual: some parsers leave it on the connection, so this one is not used again.
  if (head?.hasBody === true && (method === 'GET' || method === 'HEAD')) exchange.closeAfter = true;
  const fields = exchange.plane.tracer?.pass(exchange, headers, upstream.origin) ?? headers;
  new UpstreamCall(exchange, upstream, path, fields, onFailure).start();
}
