import type { Socket } from 'node:net';

/** The same text for a TCP connection and for the TLS that is made on it: both of its ends. One client may use one port towards two of our addresses. */
export function endsOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}
