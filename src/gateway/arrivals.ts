import type { Socket } from 'node:net';
import { endsOf } from '../net/socket-ends.ts';
import type { Admission, Guest } from './admission.ts';
import { plainAddress } from './client-address.ts';

/** A TCP connection that was accepted. */
export class Arrival implements Guest {
  readonly socket: Socket;
  /** Who knows what is under way on it. Undefined: nothing has come of it yet, not even the end of a handshake. */
  inside: Pick<Guest, 'silentMs'> | undefined;
  /** Milliseconds of `performance.now()`. */
  readonly #sinceMs = performance.now();

  constructor(socket: Socket) {
    this.socket = socket;
  }

  get silentMs(): number | undefined {
    return this.inside === undefined ? performance.now() - this.#sinceMs : this.inside.silentMs;
  }

  evict(): void {
    this.socket.destroy();
  }
}

/** The TCP connections of one listener, from their acceptance to their end. */
export class Arrivals {
  readonly #admission: Admission;
  /** By their ends: TLS has sockets of its own above these. */
  readonly #byEnds = new Map<string, Arrival>();

  constructor(admission: Admission) {
    this.#admission = admission;
  }

  /** @returns undefined: there is no room for it, and it is closed */
  take(socket: Socket): Arrival | undefined {
    const arrival = new Arrival(socket);
    if (!this.#admission.enter(plainAddress(socket.remoteAddress), arrival)) {
      socket.destroy();
      return undefined;
    }
    const ends = endsOf(socket);
    this.#byEnds.set(ends, arrival);
    socket.once('close', () => {
      this.#admission.leave(arrival);
      if (this.#byEnds.get(ends) === arrival) this.#byEnds.delete(ends);
    });
    return arrival;
  }

  /** What is below a TLS socket, or a TCP socket itself; undefined once it is gone. */
  below(socket: Socket): Arrival | undefined {
    return this.#byEnds.get(endsOf(socket));
  }

  [Symbol.iterator](): Iterator<Arrival> {
    return this.#byEnds.values();
  }
}
