import type { Socket } from 'node:net';
import type { Exchange } from './exchange.ts';

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
  readonly #waiting: (() => void)[] = [];
  readonly #socket: Socket;

  /** @param socket the TCP socket, below TLS where there is TLS */
  constructor(peer: string, trusted: boolean, socket: Socket) {
    this.peer = peer;
    this.trusted = trusted;
    this.#socket = socket;
  }

  /** Ends it by RST: an end that nobody takes for an orderly one, as some take a FIN even without TLS's `close_notify`. */
  reset(): void {
    this.#socket.resetAndDestroy();
  }

  /** Keeps a request until those before it are answered. False when too many wait already. */
  wait(start: () => void, maxWaiting: number): boolean {
    return this.#waiting.length < maxWaiting && this.#waiting.push(start) > 0;
  }

  /** The current exchange is over. */
  next(): void {
    this.current = undefined;
    this.#waiting.shift()?.();
  }
}
