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
  const { switchable, plane, connection } = exchange;
  if (switchable === undefined) throw new Error('the client cannot switch any more');
  const { socket, early } = switchable.take();
  const tunnel = new Tunnel(socket, upstream, {
    idleMs: plane.webSocketIdleMs,
    stallMs: plane.idleBodyTimeoutMs,
    reset: () => connection.reset(),
    onOver: (end) => {
      if (exchange.outcome === 'aborted') exchange.outcome = OUTCOMES[end];
      onOver();
      switchable.over();
    },
  });
  exchange.become(tunnel);
  let head = 'HTTP/1.1 101 Switching Protocols\r\n';
  for (let at = 0; at < fields.length; at += 2) head += `${fields[at]}: ${fields[at + 1]}\r\n`;
  socket.write(`${head}\r\n`, 'latin1');
  tunnel.start(early);
}
