import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { endSoon } from '../connection.ts';

/** Bytes that a client may send before its answer; then no more is read until there is one. */
const MAX_EARLY_BYTES = 65_536;

/**
 * A client that asked for another protocol: its socket is off node:http's parser, so nothing behind the request is ever read as HTTP. Until
 * the upstream switches it is answered like any other, by a response of its own, and then closed.
 */
export class Switchable {
  readonly socket: Socket;
  readonly response: ServerResponse;
  #early: Buffer[] = [];
  #earlyBytes = 0;

  /** @param head what came behind the request's head */
  constructor(request: IncomingMessage, socket: Socket, head: Buffer) {
    this.socket = socket;
    this.response = new ServerResponse(request);
    this.response.assignSocket(socket);
    this.response.once('finish', this.#onFinish);
    socket
      .on('error', ignore)
      .on('drain', this.#onDrain)
      .on('data', this.#onEarly)
      .once('end', this.#onLeft);
    socket.setTimeout(0);
    if (head.length > 0) this.#onEarly(head);
  }

  /** Takes the socket for the other protocol. The response tells nothing more. */
  take(): { readonly socket: Socket; readonly early: readonly Buffer[] } {
    const { socket, response } = this;
    const early = this.#early;
    this.#early = [];
    this.#release();
    socket.off('data', this.#onEarly).off('end', this.#onLeft).pause();
    response.off('finish', this.#onFinish);
    return { socket, early };
  }

  #release(): void {
    this.socket.off('drain', this.#onDrain);
    this.response.detachSocket(this.socket);
  }

  /** Whatever came early was meant for the other protocol and is dropped. */
  readonly #onFinish = (): void => {
    this.#release();
    this.#early = [];
    endSoon(this.socket.off('data', this.#onEarly).resume());
    this.response.emit('close');
  };

  readonly #onDrain = (): void => {
    this.response.emit('drain');
  };

  readonly #onEarly = (chunk: Buffer): void => {
    this.#earlyBytes += chunk.length;
    this.#early.push(chunk);
    if (this.#earlyBytes > MAX_EARLY_BYTES) this.socket.pause();
  };

  readonly #onLeft = (): void => {
    this.socket.destroy();
  };
}

function ignore(): void {
  // An 'error' event without a listener would end the process; 'close' tells what matters.
}
