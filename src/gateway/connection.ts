import type { Socket } from 'node:net';
import type { DataPlane } from './data-plane.ts';
import type { Exchange } from './exchange.ts';

/** Milliseconds between the last answer on a connection that is closed and its end by force. */
const LINGER_MS = 500;

/**
 * Reading stops at `maxPipelined` waiting requests; what one read had in it is parsed all the same. Beyond this many nobody means it
 * well: the rest is not answered.
 */
const MAX_WAITING = 1_000;

/**
 * One client connection. HTTP/1.1 requests of one connection are worked on one after the other: a client that pipelines cannot have
 * more calls upstream than connections.
 */
export class Connection {
  readonly peer: string;
  /** A trusted proxy: its forwarding fields are believed. */
  readonly trusted: boolean;
  /** The HTTP/1.1 exchange that is being worked on. */
  current: Exchange | undefined;
  /** The HTTP/2 exchange that began last; the others hang on it. A list in place costs a request nothing that could be measured. */
  #newest: Exchange | undefined;
  readonly #plane: DataPlane;
  readonly #waiting: (() => void)[] = [];
  /** What HTTP is spoken on, and the TCP socket below it. */
  readonly #stream: Socket;
  readonly #socket: Socket;
  #held = false;
  #guarded = false;
  #cut = false;

  /** @param socket the TCP socket, below TLS where there is TLS */
  constructor(peer: string, plane: DataPlane, stream: Socket, socket: Socket) {
    this.peer = peer;
    this.trusted = plane.trustedProxies.trusts(peer);
    this.#plane = plane;
    this.#stream = stream;
    this.#socket = socket;
  }

  /** Ends it by RST: an end that nobody takes for an orderly one, as some take a FIN even without TLS's `close_notify`. */
  reset(): void {
    this.#socket.resetAndDestroy();
  }

  /** Whether the current exchange is the last one: its answer says `Connection: close`. */
  get isLast(): boolean {
    return (this.#cut || this.#plane.draining) && this.#waiting.length === 0;
  }

  /** Every exchange that is under way. */
  *exchanges(): Generator<Exchange> {
    if (this.current !== undefined) yield this.current;
    for (let at = this.#newest; at !== undefined;) {
      const { older } = at; // it may be over when the caller is done with it
      yield at;
      at = older;
    }
  }

  /** A stream of HTTP/2 begins. */
  join(exchange: Exchange): void {
    exchange.older = this.#newest;
    if (this.#newest !== undefined) this.#newest.newer = exchange;
    this.#newest = exchange;
  }

  /** A stream of HTTP/2 is over. */
  readonly leave = (exchange: Exchange): void => {
    const { older, newer } = exchange;
    if (older !== undefined) older.newer = newer;
    if (newer !== undefined) newer.older = older;
    else this.#newest = older;
    exchange.older = undefined;
    exchange.newer = undefined;
  };

  /** Takes no more requests: answers those that are here, then closes. */
  cutOff(): void {
    this.#cut = true;
  }

  /**
   * Starts a request, or keeps it until those before it are answered. When enough wait no more is read (RFC 9112 section 9.3.2).
   * @returns false when it will not be answered
   */
  enter(start: () => void): boolean {
    if (this.#cut) return false;
    if (this.current === undefined) {
      start();
      return true;
    }
    if (this.#plane.closing || this.#waiting.length >= MAX_WAITING) {
      this.#cut = true;
      return false;
    }
    this.#waiting.push(start);
    this.#hold();
    return true;
  }

  /** The current exchange is over. */
  next(): void {
    this.current = undefined;
    if (this.#stream.destroyed || !this.#stream.writable) {
      this.#waiting.length = 0; // there is nobody to answer
      return;
    }
    const start = this.#waiting.shift();
    if (start !== undefined) {
      start();
      this.#hold();
    } else if (this.#cut || this.#plane.closing) {
      endSoon(this.#stream);
    }
  }

  /** Reads only while there is room. */
  #hold(): void {
    const full = this.#waiting.length >= this.#plane.limits.maxPipelined;
    if (full === this.#held) return;
    this.#held = full;
    if (full) {
      if (!this.#guarded) this.#stream.on('resume', this.#onResume);
      this.#guarded = true;
      this.#stream.pause();
    } else {
      this.#stream.resume();
    }
  }

  /** node:http resumes the socket with every request that is read to its end. */
  readonly #onResume = (): void => {
    if (!this.#held) return;
    // A pause between resume() and this event stops nothing: it takes another round.
    if (this.#stream.isPaused()) this.#stream.resume();
    else this.#stream.pause();
  };
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
