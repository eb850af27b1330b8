import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Connection } from './connection.ts';

/** What serves HTTP/2 on connections that a listener has accepted and whose clients have chosen it (ALPN `h2`). */
export interface Http2Front {
  /** @param tcp the socket below `stream`, where a reset has to go */
  accept(stream: TLSSocket, tcp: Socket): void;
  /** GOAWAY; streams that were opened before the client hears of it are served (RFC 9113 section 6.8). */
  announceClose(): void;
  /** Ends sessions that have no stream; the others end with their last. */
  closeIdle(): void;
  /** Ends every session now. */
  destroy(): void;
  /** The sessions on which a request has come. */
  connections(): Iterable<Connection>;
}
