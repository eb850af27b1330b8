import type { Socket } from 'node:net';
import type { DataPlane } from './data-plane.ts';
import type { Exchange } from './exchange.ts';
import type { Tunnel } from './tunnel.ts';

/** Milliseconds between the last answer on a connection that is closed and its end by force. */
const LINGER_MS = 500;

/** One client connection, and what is under way on it. */
export class Connection {
  readonly peer: string;
  /** A trusted proxy: its forwarding fields are believed. */
  trusted: boolean;
  /** What the newest request is served with. */
  protected plane: DataPlane;
  /** The exchange that began last; over HTTP/2 the others hang on it. A list in place costs a request nothing that could be measured. */
  #newest: Exchange | undefined;
  /** Since when nothing is under way, milliseconds of `performance.now()`. */
  #emptySinceMs = 0;

  /** @param peer the other side's address, without notation of IPv6 for one of IPv4 */
  constructor(peer: string, plane: DataPlane) {
    this.peer = peer;
    this.plane = plane;
    this.trusted = plane.trustedProxies.trusts(peer);
  }

  /** Whether the answer that begins now is the last one, and says `Connection: close`. */
  get isLast(): boolean {
    return this.plane.draining;
  }

  /** What is being worked on: over HTTP/1.1 one exchange at a time. */
  get current(): Exchange | undefined {
    return this.#newest;
  }

  /** What it has become, when it has. */
  get tunnel(): Tunnel | undefined {
    return this.#newest?.tunnel;
  }

  /** As {@link Guest.silentMs}. */
  get silentMs(): number | undefined {
    return this.#newest === undefined ? performance.now() - this.#emptySinceMs : undefined;
  }

  /** Every exchange that is under way. */
  *exchanges(): Generator<Exchange> {
    for (let at = this.#newest; at !== undefined;) {
      const { older } = at; // it may be over when the caller is done with it
      yield at;
      at = older;
    }
  }

  /** An exchange begins. */
  join(exchange: Exchange): void {
    const { plane } = exchange;
    if (plane !== this.plane) {
      this.plane = plane;
      this.trusted = plane.trustedProxies.trusts(this.peer);
    }
    exchange.older = this.#newest;
    if (this.#newest !== undefined) this.#newest.newer = exchange;
    this.#newest = exchange;
  }

  /** An exchange is over. */
  leave(exchange: Exchange): void {
    const { older, newer } = exchange;
    if (older !== undefined) older.newer = newer;
    if (newer !== undefined) newer.older = older;
    else this.#newest = older;
    exchange.older = undefined;
    exchange.newer = undefined;
    if (this.#newest === undefined) this.emptied();
  }

  /** Nothing is under way any more. */
  protected emptied(): void {
    this.#emptySinceMs = performance.now();
  }
}

/**
 * Ends a socket, with `bytes` as the last it sends. Closing at once would reset the connection under its last answer when more bytes are
 * on their way (RFC 9112 section 9.6).
 */
export function endSoon(socket: Socket, bytes?: string | Uint8Array): void {
  if (bytes === undefined) socket.end();
  else socket.end(bytes);
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(timer));
}

/** Its end is sent, or about to be: libuv refuses a reset behind that, and node:net would never close the socket. */
export function isFinished(socket: Socket): boolean {
  return socket.writableEnded && socket.writableLength === 0;
}
