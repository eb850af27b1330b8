import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import {
  createServer as createTlsServer,
  type Server as TlsServer,
  type TLSSocket,
} from 'node:tls';
import type { Clock } from '../../http1/wire.ts';
import { plainAddress } from '../client-address.ts';
import type { EngineListener } from '../client-side.ts';
import type { Connection } from '../connection.ts';
import type { DataPlane } from '../data-plane.ts';
import type { Http2Front } from '../http2-front.ts';
import {
  type Bound,
  ListenError,
  type Listening,
  type ListenerOptions,
  type ListenerTls,
  type Timeouts,
} from '../options.ts';
import { errorText } from '../error-text.ts';
import { tlsContext } from '../tls-server.ts';
import { deadlinesOf } from './deadlines.ts';
import { type Entrance, OwnClient } from './own-client.ts';

/** One bound address, TCP or TLS, whose clients are read by `src/http1`. */
export class OwnListener implements EngineListener {
  readonly #options: ListenerOptions;
  readonly #plane: DataPlane;
  readonly #http2: Http2Front | undefined;
  readonly #server: Server | TlsServer;
  readonly #clock: Clock & { nowMs: number };
  readonly #entrance: Entrance;
  readonly #clients = new Set<OwnClient>();
  /** TLS: TCP sockets by the client's address and port, and those of them whose handshake is under way. */
  readonly #below = new Map<string, Socket>();
  readonly #shaking = new Set<Socket>();

  /** @param http2 what serves it; undefined: it is not offered */
  constructor(
    options: ListenerOptions,
    plane: DataPlane,
    timeouts: Timeouts,
    http2: Http2Front | undefined,
  ) {
    this.#options = options;
    this.#plane = plane;
    this.#http2 = http2;
    this.#clock = { nowMs: performance.now() };
    const { limits } = plane;
    this.#entrance = {
      plane,
      site: { kind: options.kind, scheme: options.kind === 'http' ? 'http' : 'https' },
      limits: {
        maxTarget: limits.maxUriLength,
        maxFieldBytes: limits.maxHeaderSize,
        maxFields: limits.maxHeaderCount,
      },
      clock: this.#clock,
      deadlines: deadlinesOf(plane, timeouts),
      forget: (client) => this.#clients.delete(client),
    };
    // Half-open: a client may end its side and wait for the answer. Not before the end of a handshake, as who leaves there is not seen then.
    if (options.kind === 'http') {
      const tcp = { allowHalfOpen: true, noDelay: true };
      this.#server = createServer(tcp, (socket) => {
        this.#guard(socket, () => this.#enter(socket, socket));
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
      ).on('connection', (socket: Socket) => this.#shake(socket));
    }
    this.#server.maxConnections = limits.maxConnections;
  }

  listen({ ports = {}, shared = false }: Listening): Promise<Bound> {
    const { kind, host } = this.#options;
    const port = ports[kind] ?? this.#options.port;
    const server: Server = this.#server;
    return new Promise((resolve, fail) => {
      const onError = (error: Error): void => fail(new ListenError({ kind, host, port }, error));
      server.once('error', onError);
      server.listen({ host, port, reusePort: shared }, () => {
        server.off('error', onError);
        server.on('error', (error) => {
          this.#plane.log.error('Gateway', `${kind} listener on port ${port}: ${error.message}`);
        });
        const bound = server.address() as AddressInfo;
        resolve({ kind, host: bound.address, port: bound.port });
      });
    });
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

  sweep(nowMs: number): void {
    this.#clock.nowMs = nowMs;
    for (const client of this.#clients) client.sweep(nowMs);
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

  /** HTTP/1.1 begins. */
  #enter(stream: Socket, tcp: Socket): void {
    const client = new OwnClient(this.#entrance, stream, tcp, plainAddress(tcp.remoteAddress));
    this.#clients.add(client);
    if (this.#plane.closing) client.closeWhenIdle();
  }

  /** A handshake begins. */
  #shake(socket: Socket): void {
    const name = endOf(socket);
    this.#below.set(name, socket);
    this.#shaking.add(socket);
    socket.on('error', ignore).once('close', () => {
      this.#below.delete(name);
      this.#shaking.delete(socket);
    });
  }

  /** A handshake has ended well. */
  #shaken(stream: TLSSocket): void {
    const tcp = this.#below.get(endOf(stream));
    if (tcp === undefined) {
      stream.destroy(); // the client is gone already, and its name with it
      return;
    }
    this.#shaking.delete(tcp);
    if (this.#http2 !== undefined && stream.alpnProtocol === 'h2') {
      this.#http2.accept(stream, tcp);
    } else {
      stream.allowHalfOpen = true;
      this.#enter(stream, tcp);
    }
  }
}

function ignore(): void {
  // An 'error' event without a listener would end the process; the TLS socket above hears of it too.
}

/** What a TCP socket and the TLS socket above it have in common. */
function endOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}
