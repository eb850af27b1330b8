import {
  constants,
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from 'node:http2';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { GatewayFault } from '../../errors.ts';
import { plainAddress } from '../client-address.ts';
import { Connection } from '../connection.ts';
import type { DataPlane } from '../data-plane.ts';
import { Exchange, type Site } from '../exchange.ts';
import { handle } from '../handle.ts';
import type { Http2Front } from '../http2-front.ts';
import type { Limits, ListenerOptions, Timeouts } from '../options.ts';
import { reject } from '../reject.ts';
import { Http2Client } from './http2-compat.ts';

/** As the last stream of a GOAWAY: those that are opened before the client hears of it are served. */
const ANY_STREAM = 2 ** 31 - 1;

/** Bounds of node:http2's sessions. */
export function sessionBounds(limits: Limits) {
  return {
    // Beyond these nghttp2 resets the stream without an answer, so they leave room for ours.
    maxHeaderListPairs: 2 * limits.maxHeaderCount + 10,
    settings: {
      maxConcurrentStreams: limits.maxStreams,
      maxHeaderListSize:
        2 * (limits.maxUriLength + limits.maxHeaderSize) + 32 * limits.maxHeaderCount,
    },
  };
}

/** HTTP/2 of node:http2, on connections that another listener has accepted: its server never listens. */
export class CompatFront implements Http2Front {
  readonly #plane: DataPlane;
  readonly #site: Site;
  readonly #keepAliveMs: number;
  readonly #server: Http2SecureServer;
  readonly #sessions = new Set<ServerHttp2Session>();
  /** Those on which a request has come. */
  readonly #connections = new Map<ServerHttp2Session, Connection>();

  constructor(options: ListenerOptions, plane: DataPlane, timeouts: Timeouts) {
    this.#plane = plane;
    this.#site = { kind: options.kind, scheme: 'https' };
    this.#keepAliveMs = timeouts.keepAliveMs;
    this.#server = createSecureServer(sessionBounds(plane.limits));
    this.#follow();
  }

  accept(stream: TLSSocket): void {
    this.#server.emit('secureConnection', stream);
  }

  announceClose(): void {
    for (const session of this.#sessions) {
      session.goaway(constants.NGHTTP2_NO_ERROR, ANY_STREAM);
    }
  }

  closeIdle(): void {
    for (const session of this.#sessions) session.close();
  }

  destroy(): void {
    for (const session of this.#sessions) session.destroy();
  }

  connections(): Iterable<Connection> {
    return this.#connections.values();
  }

  #follow(): void {
    this.#server
      .on('session', (session: ServerHttp2Session) => {
        this.#sessions.add(session);
        if (this.#plane.closing) session.close();
        session.once('close', () => {
          this.#sessions.delete(session);
          this.#connections.delete(session);
        });
        session.setTimeout(this.#keepAliveMs, () => session.close());
      })
      .on('request', (request: Http2ServerRequest, response: Http2ServerResponse) => {
        this.#enter(request, response, false, handle);
      })
      .on('checkContinue', (request: Http2ServerRequest, response: Http2ServerResponse) => {
        this.#enter(request, response, true, handle);
      })
      .on('checkExpectation', (request: Http2ServerRequest, response: Http2ServerResponse) => {
        this.#refuse(request, response, new GatewayFault('expectationFailed', 'unknown'));
      })
      .on('connect', (request: Http2ServerRequest, response: Http2ServerResponse) => {
        const fault = new GatewayFault('methodNotAllowed', 'CONNECT is not served', { allow: '' });
        this.#refuse(request, response, fault);
      });
  }

  #refuse(request: Http2ServerRequest, response: Http2ServerResponse, fault: GatewayFault): void {
    this.#enter(request, response, false, (exchange) => reject(exchange, fault));
  }

  #enter(
    request: Http2ServerRequest,
    response: Http2ServerResponse,
    expectsContinue: boolean,
    run: (exchange: Exchange) => void,
  ): void {
    const { session } = request.stream;
    if (session === undefined) return; // it ended under its first request
    const client = new Http2Client(
      request,
      response,
      expectsContinue,
      this.#plane.idleBodyTimeoutMs,
    );
    const connection = this.#connection(session as ServerHttp2Session, request.socket);
    run(new Exchange(this.#plane, this.#site, connection, client));
  }

  #connection(session: ServerHttp2Session, socket: Socket): Connection {
    let connection = this.#connections.get(session);
    if (connection === undefined) {
      connection = new Connection(plainAddress(socket.remoteAddress), this.#plane);
      if (!session.destroyed) this.#connections.set(session, connection);
    }
    return connection;
  }
}
