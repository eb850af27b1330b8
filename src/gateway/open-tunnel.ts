import type { Socket } from 'node:net';
import type { Exchange } from './exchange.ts';
import type { Outcome } from './observe.ts';
import { Tunnel, type TunnelEnd } from './tunnel.ts';

const OUTCOMES: Readonly<Record<TunnelEnd, Outcome>> = {
  ended: 'forwarded',
  client: 'aborted',
  upstream: 'brokenOff',
  gateway: 'brokenOff',
};

/**
 * Answers the client's handshake and joins the two connections; the exchange lasts as long as they do.
 * @param fields of the 101, name and value alternating
 * @param upstream the socket that has switched
 * @param onOver called once, when both connections are over
 */
export function openTunnel(
  exchange: Exchange,
  fields: readonly string[],
  upstream: Socket,
  onOver: () => void,
): void {
  const { client, plane } = exchange;
  const { socket, early } = client.switchProtocols(fields);
  const tunnel = new Tunnel(socket, upstream, {
    idleMs: plane.webSocketIdleMs,
    stallMs: plane.idleBodyTimeoutMs,
    reset: () => client.breakOff(),
    onOver: (end) => {
      if (exchange.outcome === 'aborted') exchange.outcome = OUTCOMES[end];
      exchange.bytesIn = tunnel.bytesIn;
      exchange.bytesOut = tunnel.bytesOut;
      onOver();
      exchange.over();
    },
  });
  exchange.become(tunnel);
  tunnel.start(early);
}
