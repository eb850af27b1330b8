import type { Socket } from 'node:net';
import { Connection, endSoon, isFinished } from '../connection.ts';
import type { DataPlane } from '../data-plane.ts';

/**
 * Reading stops at `maxPipelined` waiting requests; what one read had in it is parsed all the same. Beyond this many nobody means it
 * well: the rest is not answered.
 */
const MAX_WAITING = 1_000;

/** A request, as far as node:http has read it. */
interface Read {
  /** All of it has come. */
  readonly complete: boolean;
}

/**
 * One connection of node:http or node:http2. HTTP/1.1 requests of one connection are worked on one after the other: a client that pipelines
 * cannot have more calls upstream than connections.
 */
export class NodeConnection extends Connection {
  /** The TCP socket, below TLS where there is TLS. */
  readonly socket: Socket;
  /** HTTP/1.1: the last request whose answer was over before its body was read. */
  unread: Read | undefined;
  readonly #waiting: { readonly request: Read; readonly start: () => void }[] = [];
  /** What HTTP is spoken on. */
  readonly #stream: Socket;
  #held = false;
  #guarded = false;
  #cut = false;
  #saidClose = false;

  constructor(peer: string, plane: DataPlane, stream: Socket, socket: Socket) {
    super(peer, plane);
    this.#stream = stream;
    this.socket = socket;
  }

  /** Ends it by RST: an end that nobody takes for an orderly one, as some take a FIN even without TLS's `close_notify`. */
  reset(): void {
    if (isFinished(this.#stream)) this.socket.destroy();
    else this.socket.resetAndDestroy();
  }

  override get isLast(): boolean {
    return (this.#cut || this.plane.draining) && this.#waiting.length === 0;
  }

  /** HTTP/1.1: nothing that is not begun is worked on any more: an answer said `Connection: close` (RFC 9112 section 9.6), or nobody is there. */
  get isOver(): boolean {
    return this.#saidClose || this.#stream.destroyed || !this.#stream.writable;
  }

  /** HTTP/1.1: the answer that has begun says `Connection: close`. */
  sayClose(): void {
    this.#saidClose = true;
  }

  /**
   * Takes no more requests: answers those that are here, then closes.
   * @param restComes whether the newest may still become whole, if it is not
   */
  cutOff(restComes: boolean): void {
    this.#cut = true;
    if (!restComes && this.#waiting.at(-1)?.request.complete === false) this.#waiting.pop();
  }

  /**
   * HTTP/1.1: starts a request, or keeps it until those before it are answered. When enough wait no more is read (RFC 9112 section 9.3.2).
   * @returns false when it will not be answered
   */
  enter(request: Read, start: () => void): boolean {
    if (this.#cut) return false;
    if (this.current === undefined) {
      // node:http may still be at what it has read, behind an answer that is whole.
      if (this.isOver) return false;
      start();
      return true;
    }
    if (this.plane.closing || this.#waiting.length >= MAX_WAITING) {
      this.#cut = true;
      return false;
    }
    this.#waiting.push({ request, start });
    this.#hold();
    return true;
  }

  /** HTTP/1.1: the current exchange is over. */
  next(): void {
    if (this.isOver) {
      this.#waiting.length = 0;
      return;
    }
    const next = this.#waiting.shift();
    if (next !== undefined) {
      next.start();
      this.#hold();
    } else if (this.#cut || this.plane.closing) {
      endSoon(this.#stream);
    }
  }

  /** Reads only while there is room. */
  #hold(): void {
    const full = this.#waiting.length >= this.plane.limits.maxPipelined;
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
