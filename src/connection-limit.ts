import type { IncomingMessage, Server } from 'node:http';
import type { Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';

/**
 * Holds a server to `limit` connections without letting silence lock anyone out: when one too many comes, the oldest connection that has not
 * sent a whole request yet is closed. Where all others have, those that only wait for a next request go, and without any the new one.
 * Readers of the event stream and requests that are being answered keep theirs.
 * @returns closes every connection, also those that are no HTTP yet, which the server's own `closeAllConnections` does not know
 */
export function limitConnections(server: Server | TlsServer, limit: number): () => void {
  const open = new Map<string, Socket>();
  /** Those without a request so far, oldest first. */
  const silent = new Map<string, Socket>();

  const heard = (request: IncomingMessage): void => {
    silent.delete(peerOf(request.socket));
  };
  server.on('connection', (socket: Socket) => {
    const peer = peerOf(socket);
    open.set(peer, socket);
    silent.set(peer, socket);
    socket.once('close', () => {
      if (open.get(peer) !== socket) return;
      open.delete(peer);
      silent.delete(peer);
    });
    if (open.size <= limit) return;
    if (silent.size === 1) {
      server.closeIdleConnections();
      if ([...open.values()].some(({ destroyed }) => destroyed)) return;
    }
    const [oldest] = silent;
    if (oldest === undefined) return;
    const [peerOfOldest, socketOfOldest] = oldest;
    // Several connections come in one turn of the event loop, before anything is told to be closed.
    open.delete(peerOfOldest);
    silent.delete(peerOfOldest);
    socketOfOldest.destroy();
  });
  server.on('request', (request: IncomingMessage) => {
    // A body may be held back for as long as a silence.
    if (request.method === 'GET' || request.method === 'HEAD') heard(request);
    else request.once('end', () => heard(request));
  });
  return () => {
    for (const socket of open.values()) socket.destroy();
  };
}

/** The same text for a connection and for the TLS that is made on it. */
function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
