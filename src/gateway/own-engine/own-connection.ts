import type { Socket } from 'node:net';
import type { ServerConnection } from '../../http1/server-connection.ts';
import { Connection } from '../connection.ts';
import type { DataPlane } from '../data-plane.ts';

/** A client connection of HTTP/1.1, as exchanges see it. */
export class OwnConnection extends Connection {
  readonly #machine: ServerConnection<Socket>;

  constructor(peer: string, plane: DataPlane, machine: ServerConnection<Socket>) {
    super(peer, plane);
    this.#machine = machine;
  }

  protected override emptied(): void {
    // The machine knows since when.
  }

  /** A gateway that drains still answers the requests that are here. */
  override get isLast(): boolean {
    return this.plane.draining && !this.#machine.waiting;
  }
}
