import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';
import { endsOf } from './net/socket-ends.ts';

/**
 * Holds a server to `limit` connections without letting silence lock anyone out: when one too many comes, the connection goes that has been
 * silent for longest, which is one that has not sent a whole request since it was opened, or since it was last answered. Where all others
 * wait for an answer the new one goes. Readers of the event stream and requests that are being answered keep theirs.
 * @returns closes every connection, also those that are no HTTP yet, which the server's own `closeAllConnections` does not know
 */
export function limitConnections(server: Server | TlsServer, limit: number): () => void {
  const open = new Map<string, Socket>();
  /** Those that owe us a request, the longest silent first. */
  const silent = new Map<string, Socket>();
  /** Whole requests that are not answered yet. */
  const waiting = new Map<string, number>();

  server.on('connection', (socket: Socket) => {
    const ends = endsOf(socket);
    open.set(ends, socket);
    silent.set(ends, socket);
    waiting.delete(ends);
    socket.once('close', () => {
      if (open.get(ends) !== socket) return;
      open.delete(ends);
      silent.delete(ends);
      waiting.delete(ends);
    });
    if (open.size <= limit) return;
    const [oldest] = silent;
    if (oldest === undefined) return;
    const [endsOfOldest, socketOfOldest] = oldest;
    // Several connections come in one turn of the event loop, before anything is told to be closed.
    open.delete(endsOfOldest);
    silent.delete(endsOfOldest);
    waiting.delete(endsOfOldest);
    socketOfOldest.destroy();
  });
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const ends = endsOf(request.socket);
    const socket = open.get(ends);
    if (socket === undefined) return;
    const heard = (): void => {
      if (response.closed || open.get(ends) !== socket) return;
      silent.delete(ends);
      waiting.set(ends, (waiting.get(ends) ?? 0) + 1);
      response.once('close', () => {
        if (open.get(ends) !== socket) return;
        const left = (waiting.get(ends) ?? 1) - 1;
        waiting.set(ends, left);
        if (left === 0) silent.set(ends, socket);
      });
    };
    // A body may be held back for as long as a silence, whatever the method is.
    if (hasBody(request)) request.once('end', heard);
    else heard();
  });
  return () => {
    for (const socket of open.values()) socket.destroy();
  };
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}
