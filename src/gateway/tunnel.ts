import type { Socket } from 'node:net';
import { endSoon } from './connection.ts';
import { closeFrame, FrameEdge } from './frame-edge.ts';
import { Silence } from './silence.ts';

/** How a tunnel ended: in order, by the client's failure, by the upstream's, or by the gateway. */
export type TunnelEnd = 'ended' | 'client' | 'upstream' | 'gateway';

export interface TunnelOptions {
  /** Milliseconds without a byte in either direction. */
  readonly idleMs: number;
  /** Milliseconds that one side may take nothing of what the other sends, or stay when the other has left. */
  readonly stallMs: number;
  /** Ends the client's connection so that nobody takes it for an orderly end. */
  readonly reset: () => void;
  /** Called once, when both connections are over. */
  readonly onOver: (end: TunnelEnd) => void;
}

/**
 * Joins a client's connection with an upstream's once both have switched to WebSocket. Bytes pass in order and untouched, each direction at
 * the pace of its reader; each may end by itself (TCP half-close).
 */
export class Tunnel {
  readonly #client: Socket;
  readonly #upstream: Socket;
  readonly #options: TunnelOptions;
  /** Where the frames to the client stand. */
  readonly #edge = new FrameEdge();
  readonly #quiet = new Silence(() => this.#fail('gateway'));
  #end: TunnelEnd | undefined;
  /** Bytes that were passed on: to the upstream and to the client. */
  bytesIn = 0;
  bytesOut = 0;
  /** Connections that are not over. */
  #open = 2;

  constructor(client: Socket, upstream: Socket, options: TunnelOptions) {
    this.#client = client;
    this.#upstream = upstream;
    this.#options = options;
    this.#quiet.start(options.idleMs);
    for (const socket of [client, upstream]) {
      socket.allowHalfOpen = true;
      socket.setTimeout(0);
      socket.setNoDelay(true);
    }
    this.#join(client, upstream, 'client');
    this.#join(upstream, client, 'upstream');
  }

  /**
   * Passes on what came before there was a tunnel, then everything else.
   * @param early what the client sent before it had its answer
   */
  start(early: readonly Buffer[]): void {
    for (const chunk of early) {
      this.bytesIn += chunk.length;
      this.#upstream.write(chunk);
    }
    this.#client.resume();
    this.#upstream.resume();
  }

  /**
   * Ends both connections. The client is told why where a frame may stand; in the middle of another its connection is reset.
   * @param code RFC 6455 section 7.4.1
   */
  close(code: number, reason: string): void {
    const client = this.#client;
    if (this.#end !== undefined || client.destroyed) return;
    this.#end = 'gateway';
    this.#quiet.stop();
    this.#upstream.removeAllListeners('data').destroy();
    client.removeAllListeners('data').resume(); // bytes that nobody reads would turn the end into a reset
    if (client.writableEnded) client.destroy();
    else if (this.#edge.closed) endSoon(client);
    else if (this.#edge.isHere) endSoon(client, closeFrame(code, reason));
    else this.#options.reset();
  }

  /** Ends both connections in a way that is no orderly end to the client. */
  destroy(): void {
    this.#fail('gateway');
  }

  #join(source: Socket, target: Socket, side: 'client' | 'upstream'): void {
    const other = side === 'client' ? 'upstream' : 'client';
    const stall = new Silence(() => this.#fail(other));
    source
      .on('data', (chunk: Buffer) => {
        this.#quiet.moved();
        if (!target.writable) return; // it takes no more, and half of the tunnel is gone with that
        if (side === 'upstream') {
          this.bytesOut += chunk.length;
          this.#edge.pass(chunk);
        } else {
          this.bytesIn += chunk.length;
        }
        if (target.write(chunk)) return;
        source.pause();
        stall.start(this.#options.stallMs);
      })
      .on('end', () => {
        if (this.#end !== undefined) return;
        target.end();
        this.#quiet.start(this.#options.stallMs);
      })
      .on('error', () => this.#fail(side))
      .on('close', () => {
        if (!source.readableEnded) this.#fail(side);
        if (--this.#open > 0) return;
        this.#quiet.stop();
        this.#options.onOver(this.#end ?? 'ended');
      });
    target
      .on('drain', () => {
        stall.stop();
        source.resume();
      })
      .on('close', () => {
        stall.stop();
        source.resume(); // to see its end
      });
  }

  #fail(side: TunnelEnd): void {
    if (this.#end !== undefined) return;
    this.#end = side;
    this.#quiet.stop();
    this.#upstream.destroy();
    if (!this.#client.destroyed) this.#options.reset();
  }
}
