import {
  createSecureServer,
  type Http2SecureServer,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../../http1/wire.ts';
import type { Arrival } from '../arrivals.ts';
import { plainAddress } from '../client-address.ts';
import { Connection } from '../connection.ts';
import type { DataPlane } from '../data-plane.ts';
import type { Site } from '../exchange.ts';
import type { Http2Front } from '../http2-front.ts';
import { Http2Guard } from '../http2-guard.ts';
import type { Limits, ListenerOptions, Timeouts } from '../options.ts';
import { sendGoaway } from './goaway.ts';
import { serveStream } from './http2-client.ts';

/** Bounds of node:http2's sessions. */
export function sessionBounds(limits: Limits) {
  return {
    // Beyond these nghttp2 resets the stream without an answer, so they leave room for ours.
    strictSingleValueFields: false, // ours are looked at before
    maxHeaderListPairs: 2 * limits.maxHeaderCount + 10,
    settings: {
      maxConcurrentStreams: limits.maxStreams,
      maxHeaderListSize:
        2 * (limits.maxUriLength + limits.maxHeaderSize) + 32 * limits.maxHeaderCount,
    },
  };
}

/** HTTP/2 of node:http2, on connections that another listener has accepted: its server never listens. */
export class StreamFront implements Http2Front {
  #plane: DataPlane;
  readonly #site: Site;
  readonly #guard: Http2Guard;
  #timeouts: Timeouts;
  #server: Http2SecureServer;
  readonly #sessions = new Set<ServerHttp2Session>();
  /** Those on which a request has come. */
  readonly #connections = new Map<ServerHttp2Session, Connection>();
  /** What they are on. */
  readonly #arrivals = new WeakMap<ServerHttp2Session, Arrival>();
  /** The one whose session is being made. */
  #arriving: Arrival | undefined;

  /** @param clock of the sweep that it is looked at by */
  constructor(options: ListenerOptions, plane: DataPlane, timeouts: Timeouts, clock: Clock) {
    this.#plane = plane;
    this.#site = { kind: options.kind, scheme: 'https' };
    this.#guard = new Http2Guard(plane.log, clock);
    this.#timeouts = timeouts;
    this.#server = createSecureServer(sessionBounds(plane.limits));
    this.#follow();
  }

  accept(stream: TLSSocket, arrival: Arrival): void {
    this.#arriving = arrival;
    this.#server.emit('secureConnection', stream);
    this.#arriving = undefined;
  }

  announceClose(): void {
    sendGoaway(this.#sessions);
  }

  closeIdle(): void {
    this.#guard.hurry();
    for (const session of this.#sessions) session.close();
  }

  destroy(): void {
    for (const session of this.#sessions) {
      session.destroy();
      // One that was over before has only said that it ends, and a client that takes nothing does not hear it.
      this.#arrivals.get(session)?.socket.destroy();
    }
  }

  setPlane(plane: DataPlane, timeouts: Timeouts): void {
    this.#plane = plane;
    this.#timeouts = timeouts;
    // Sessions keep the bounds, and the server, that they began with.
    this.#server = createSecureServer(sessionBounds(plane.limits));
    this.#follow();
  }

  sweep(nowMs: number): void {
    this.#guard.sweep(nowMs);
  }

  connections(): Iterable<Connection> {
    return this.#connections.values();
  }

  #follow(): void {
    this.#server
      .on('session', (session: ServerHttp2Session) => {
        this.#sessions.add(session);
        const arrival = this.#arriving;
        if (this.#plane.closing) session.close();
        session.once('close', () => {
          this.#sessions.delete(session);
          this.#connections.delete(session);
        });
        if (arrival === undefined) return;
        this.#arrivals.set(session, arrival);
        const { idleBodyTimeoutMs } = this.#plane;
        this.#guard.watch(session, this.#timeouts, arrival.socket, idleBodyTimeoutMs);
      })
      .on('stream', (stream: ServerHttp2Stream, _: unknown, flags: number, raw: string[]) => {
        const connection = (of: ServerHttp2Session) => this.#connection(of);
        const host = { plane: this.#plane, site: this.#site, guard: this.#guard, connection };
        serveStream(host, stream, flags, raw);
      });
  }

  #connection(session: ServerHttp2Session): Connection {
    let connection = this.#connections.get(session);
    if (connection === undefined) {
      connection = new Connection(plainAddress(session.socket.remoteAddress), this.#plane);
      if (!session.destroyed) this.#connections.set(session, connection);
      const arrival = this.#arrivals.get(session);
      if (arrival !== undefined) arrival.inside = connection;
    }
    return connection;
  }
}
