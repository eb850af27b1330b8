import { createServer, type Server, type Socket } from 'node:net';
import {
  createServer as createTlsServer,
  type Server as TlsServer,
  type TLSSocket,
} from 'node:tls';
import type { Clock } from '../../http1/wire.ts';
import type { Admission } from '../admission.ts';
import { type Arrival, Arrivals } from '../arrivals.ts';
import { bind } from '../bind.ts';
import { plainAddress } from '../client-address.ts';
import type { EngineListener } from '../client-side.ts';
import type { Connection } from '../connection.ts';
import type { DataPlane } from '../data-plane.ts';
import type { Http2Front } from '../http2-front.ts';
import type { Bound, Listening, ListenerOptions, ListenerTls, Timeouts } from '../options.ts';
import { errorText } from '../error-text.ts';
import { tlsContext } from '../tls-server.ts';
import { deadlinesOf } from './deadlines.ts';
import { type Entrance, OwnClient } from './own-client.ts';

/** One bound address, TCP or TLS, whose clients are read by `src/http1`. */
export class OwnListener implements EngineListener {
  readonly #options: ListenerOptions;
  #plane: DataPlane;
  readonly #http2: Http2Front | undefined;
  readonly #server: Server | TlsServer;
  readonly #entrance: { -readonly [Part in keyof Entrance]: Entrance[Part] };
  readonly #clients = new Set<OwnClient>();
  readonly #arrivals: Arrivals;
  /** TLS: those whose handshake is under way. */
  readonly #shaking = new Set<Socket>();

  /**
   * @param http2 what serves it; undefined: it is not offered
   * @param admission who may connect to it, and to the other listeners of this thread
   * @param clock of the sweep that it is added to
   */
  constructor(
    options: ListenerOptions,
    plane: DataPlane,
    timeouts: Timeouts,
    http2: Http2Front | undefined,
    admission: Admission,
    clock: Clock,
  ) {
    this.#options = options;
    this.#plane = plane;
    this.#http2 = http2;
    this.#arrivals = new Arrivals(admission);
    this.#entrance = {
      plane,
      site: { kind: options.kind, scheme: options.kind === 'http' ? 'http' : 'https' },
      limits: headLimits(plane),
      clock,
      deadlines: deadlinesOf(plane, timeouts),
      forget: (client) => this.#clients.delete(client),
    };
    // Half-open: a client may end its side and wait for the answer. Not before the end of a handshake, as who leaves there is not seen then.
    if (options.kind === 'http') {
      const tcp = { allowHalfOpen: true, noDelay: true };
      this.#server = createServer(tcp, (socket) => {
        this.#guard(socket, () => this.#enter(socket, this.#arrivals.take(socket)));
      });
    } else {
      this.#server = createTlsServer(
        {
          noDelay: true,
          ...tlsContext(options.tls),
          handshakeTimeout: timeouts.handshakeMs,
          ALPNProtocols: http2 === undefined ? ['http/1.1'] : ['h2', 'http/1.1'],
        },
        (stream) => this.#guard(stream, () => this.#shaken(stream)),
      )
        .on('connection', (socket: Socket) => this.#shake(socket))
        // Of a handshake that takes too long node:tls only tells; it is node:https that ends it.
        .on('tlsClientError', (_error, stream) => stream.destroy());
    }
  }

  listen(how: Listening): Promise<Bound> {
    return bind(this.#server, this.#options, how, this.#plane.log);
  }

  announceClose(): void {
    this.#http2?.announceClose();
  }

  stopAccepting(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve()); // an error says only that it never listened
    });
  }

  closeIdle(): void {
    for (const client of this.#clients) client.closeWhenIdle();
    for (const socket of this.#shaking) socket.destroy();
    this.#http2?.closeIdle();
  }

  destroy(): void {
    for (const client of this.#clients) client.destroy();
    for (const socket of this.#shaking) socket.destroy();
    this.#http2?.destroy();
  }

  *connections(): Generator<Connection> {
    for (const { connection } of this.#clients) {
      if (connection !== undefined) yield connection;
    }
    if (this.#http2 !== undefined) yield* this.#http2.connections();
  }

  setCertificate(tls: ListenerTls): void {
    if ('setSecureContext' in this.#server) this.#server.setSecureContext(tlsContext(tls));
  }

  setPlane(plane: DataPlane, timeouts: Timeouts): void {
    this.#plane = plane;
    this.#entrance.plane = plane;
    this.#entrance.limits = headLimits(plane);
    this.#entrance.deadlines = deadlinesOf(plane, timeouts);
    this.#http2?.setPlane(plane, timeouts);
  }

  sweep(nowMs: number): void {
    for (const client of this.#clients) client.sweep(nowMs);
    this.#http2?.sweep(nowMs);
  }

  /** What is thrown here costs this connection, and no other. */
  #guard(socket: Socket, run: () => void): void {
    try {
      run();
    } catch (error) {
      socket.destroy();
      const text = errorText(error);
      this.#plane.log.error('Gateway', `a connection is ended at its start: ${text}`);
    }
  }

  /** HTTP/1.1 begins, where there is room for it. */
  #enter(stream: Socket, arrival: Arrival | undefined): void {
    if (arrival === undefined) return;
    const { socket } = arrival;
    const peer = plainAddress(socket.remoteAddress);
    const client = new OwnClient(this.#entrance, stream, socket, peer);
    arrival.inside = client;
    this.#clients.add(client);
    if (this.#plane.closing) client.closeWhenIdle();
  }

  /** A handshake begins. */
  #shake(socket: Socket): void {
    socket.on('error', ignore);
    if (this.#arrivals.take(socket) === undefined) return;
    this.#shaking.add(socket);
    socket.once('close', () => this.#shaking.delete(socket));
  }

  /** A handshake has ended well. */
  #shaken(stream: TLSSocket): void {
    const arrival = this.#arrivals.below(stream);
    if (arrival === undefined) {
      stream.destroy(); // the client is gone already, and its name with it
      return;
    }
    this.#shaking.delete(arrival.socket);
    if (this.#http2 !== undefined && stream.alpnProtocol === 'h2') {
      this.#http2.accept(stream, arrival);
    } else {
      stream.allowHalfOpen = true;
      this.#enter(stream, arrival);
    }
  }
}

function headLimits({ limits }: DataPlane): Entrance['limits'] {
  return {
    maxTarget: limits.maxUriLength,
    maxFieldBytes: limits.maxHeaderSize,
    maxFields: limits.maxHeaderCount,
  };
}

function ignore(): void {
  // An 'error' event without a listener would end the process; the TLS socket above hears of it too.
}
