import type { TLSSocket } from 'node:tls';
import type { Arrival } from './arrivals.ts';
import type { Connection } from './connection.ts';
import type { DataPlane } from './data-plane.ts';
import type { Timeouts } from './options.ts';

/** What serves HTTP/2 on connections that a listener has accepted and whose clients have chosen it (ALPN `h2`). */
export interface Http2Front {
  /** @param arrival with the socket below `stream`, where a reset has to go; it is to be told who knows what is under way */
  accept(stream: TLSSocket, arrival: Arrival): void;
  /** GOAWAY (RFC 9113 section 6.8). */
  announceClose(): void;
  /** Ends sessions that have no stream; the others end with their last. */
  closeIdle(): void;
  /** Ends every session now. */
  destroy(): void;
  /** Requests that begin from now on get this; bounds of sessions hold for new ones. */
  setPlane(plane: DataPlane, timeouts: Timeouts): void;
  /** Looks for sessions that are past their bounds: as {@link Swept.sweep}. */
  sweep(nowMs: number): void;
  /** The sessions on which a request has come. */
  connections(): Iterable<Connection>;
}
