import { createServer, IncomingMessage, type Server, type ServerResponse } from 'node:http';
import {
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from 'node:http2';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { GatewayFault, OperatorError } from '../errors.ts';
import { plainAddress } from './client-address.ts';
import { Connection } from './connection.ts';
import type { DataPlane } from './data-plane.ts';
import { Exchange, type Site } from './exchange.ts';
import { handle } from './handle.ts';
import type { Bound, ListenerOptions, Timeouts } from './options.ts';
import { parseFault, refuseConnection } from './refuse-connection.ts';
import { reject } from './reject.ts';

/** AEAD with forward secrecy only: Node's own list still has CBC and ARIA. */
const CIPHERS = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_128_GCM_SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
].join(':');

/** Milliseconds between two looks for connections that are past their deadline. */
const CHECK_MS = 1_000;

type AnyServer = Server | Http2SecureServer;
type AnyRequest = IncomingMessage | Http2ServerRequest;
type AnyResponse = ServerResponse | Http2ServerResponse;

/** One bound address: from sockets to exchanges. */
export class Listener {
  readonly #options: ListenerOptions;
  readonly #plane: DataPlane;
  readonly #keepAliveMs: number;
  readonly #site: Site;
  readonly #server: AnyServer;
  /** TCP sockets by the client's address and port. */
  readonly #sockets = new Map<string, Socket>();
  readonly #sessions = new Set<ServerHttp2Session>();
  /** HTTP/1.1 connections on which no request has come yet; node:http does not take them for idle. */
  readonly #unused = new Set<Socket>();
  /** By socket, or by session in HTTP/2. */
  readonly #connections = new WeakMap<object, Connection>();

  constructor(options: ListenerOptions, plane: DataPlane, timeouts: Timeouts) {
    this.#options = options;
    this.#plane = plane;
    this.#keepAliveMs = timeouts.keepAliveMs;
    this.#site = { kind: options.kind, scheme: options.kind === 'http' ? 'http' : 'https' };
    this.#server = open(options, plane, timeouts);
    this.#follow(this.#server as Server);
  }

  /** @throws OperatorError `ERR_LISTEN` */
  listen(): Promise<Bound> {
    const { kind, host, port } = this.#options;
    const server = this.#server as Server;
    return new Promise((resolve, fail) => {
      const onError = (error: NodeJS.ErrnoException): void => {
        const message = `${kind} listener: cannot listen on ${host}:${port} (${error.code ?? error.message})`;
        fail(new OperatorError('ERR_LISTEN', message, { cause: error }));
      };
      server.once('error', onError);
      server.listen({ host, port }, () => {
        server.off('error', onError);
        server.on('error', (error) => {
          this.#plane.log.error('Gateway', `${kind} listener on port ${port}: ${error.message}`);
        });
        const bound = server.address() as AddressInfo;
        resolve({ kind, host: bound.address, port: bound.port });
      });
    });
  }

  /** Accepts no more; resolves when the last connection is gone. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve()); // an error says only that it never listened
      for (const session of this.#sessions) session.close(); // GOAWAY
      for (const socket of this.#unused) socket.destroy();
    });
  }

  /** Ends every connection now. */
  destroy(): void {
    for (const session of this.#sessions) session.destroy();
    for (const socket of this.#sockets.values()) socket.destroy();
  }

  #follow(server: Server): void {
    server.on('connection', (socket: Socket) => {
      const name = endOf(socket);
      this.#sockets.set(name, socket);
      socket.once('close', () => this.#sockets.delete(name));
    });
    server.on(
      this.#site.scheme === 'http' ? 'connection' : 'secureConnection',
      (socket: Socket) => {
        if ((socket as TLSSocket).alpnProtocol === 'h2') return;
        this.#unused.add(socket);
        socket.once('close', () => this.#unused.delete(socket));
      },
    );
    server.on('session', (session: ServerHttp2Session) => {
      this.#sessions.add(session);
      session.once('close', () => this.#sessions.delete(session));
      session.setTimeout(this.#keepAliveMs, () => session.close());
    });
    server.on('request', (request, response) => this.#enter(request, response, false));
    server.on('checkContinue', (request, response) => this.#enter(request, response, true));
    server.on('checkExpectation', (request, response) => {
      const fault = new GatewayFault('badRequest', 'unknown expectation');
      this.#enter(request, response, false, (exchange) => reject(exchange, fault));
    });
    server.on('connect', (request: AnyRequest, other: Duplex | AnyResponse) => {
      const detail = 'CONNECT is not served';
      if (request instanceof IncomingMessage) {
        const socket = other as Socket;
        if (this.#connections.get(socket)?.current !== undefined) {
          socket.destroy(); // an earlier request is to be answered first
          return;
        }
        const allow = 'Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n';
        refuseConnection(socket, 'methodNotAllowed', detail, peerOf(socket), this.#plane, allow);
      } else {
        const fault = new GatewayFault('badRequest', detail);
        this.#enter(request, other as AnyResponse, false, (exchange) => reject(exchange, fault));
      }
    });
    server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
      this.#unparsable(error, socket as Socket);
    });
  }

  #enter(
    request: AnyRequest,
    response: AnyResponse,
    expectsContinue: boolean,
    run: (exchange: Exchange) => void = handle,
  ): void {
    const connection = this.#connection(request);
    const start = (): void => run(this.#exchange(connection, request, response, expectsContinue));
    if (connection.current === undefined) {
      start();
    } else if (!connection.wait(start, this.#plane.limits.maxPipelined)) {
      this.#plane.log.info('Gateway', `too many pipelined requests (from ${connection.peer})`);
      request.socket.destroy();
    }
  }

  #exchange(
    connection: Connection,
    request: AnyRequest,
    response: AnyResponse,
    expectsContinue: boolean,
  ): Exchange {
    const { httpVersionMajor } = request;
    const exchange = new Exchange(
      this.#plane,
      this.#site,
      connection,
      request,
      response,
      expectsContinue,
      httpVersionMajor < 2 ? () => connection.next() : () => undefined,
    );
    if (httpVersionMajor < 2) connection.current = exchange;
    return exchange;
  }

  #connection(request: AnyRequest): Connection {
    const key = request instanceof IncomingMessage ? request.socket : request.stream.session;
    const known = key === undefined ? undefined : this.#connections.get(key);
    if (known !== undefined) return known;
    this.#unused.delete(request.socket);
    const peer = peerOf(request.socket);
    const trusted = this.#plane.trustedProxies.trusts(peer);
    const socket = this.#sockets.get(endOf(request.socket)) ?? request.socket;
    const connection = new Connection(peer, trusted, socket);
    if (key !== undefined) this.#connections.set(key, connection);
    return connection;
  }

  /** What node:http cannot parse, or gave up waiting for. It belongs to the request under way, or to none yet. */
  #unparsable(error: NodeJS.ErrnoException, socket: Socket): void {
    if (socket.destroyed || socket.writableEnded) return;
    if (!socket.writable || error.code === 'ECONNRESET') {
      socket.destroy();
      return;
    }
    const fault = parseFault(error, this.#plane.limits.maxUriLength);
    const current = this.#connections.get(socket)?.current;
    if (current === undefined) {
      refuseConnection(socket, fault, error.code ?? 'unreadable', peerOf(socket), this.#plane);
    } else if (
      current.answered ||
      current.request.complete ||
      error.code === 'HPE_INVALID_EOF_STATE'
    ) {
      socket.destroy(); // its answer is on the way, or it is an earlier request's turn, or the client left in the middle
    } else {
      current.closeAfter = true;
      reject(current, new GatewayFault(fault, error.code ?? 'unreadable body', { cause: error }));
    }
  }
}

function peerOf(socket: { readonly remoteAddress?: string | undefined }): string {
  return plainAddress(socket.remoteAddress);
}

/** What a TCP socket and the TLS socket above it have in common. */
function endOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}

function open(options: ListenerOptions, plane: DataPlane, timeouts: Timeouts): AnyServer {
  const { limits } = plane;
  const http1 = {
    // One bound for both in node:http; each is checked again by itself.
    maxHeaderSize: limits.maxUriLength + limits.maxHeaderSize,
    headersTimeout:
      timeouts.requestMs > 0
        ? Math.min(timeouts.headersMs, timeouts.requestMs)
        : timeouts.headersMs,
    requestTimeout: timeouts.requestMs,
    keepAliveTimeout: timeouts.keepAliveMs,
    connectionsCheckingInterval: CHECK_MS,
    insecureHTTPParser: false,
    requireHostHeader: false, // answered in the shape of all refusals instead
  };
  let server: AnyServer;
  if (options.kind === 'http') {
    server = createServer(http1);
  } else {
    const tls = {
      cert: options.tls.cert,
      key: options.tls.key,
      minVersion: 'TLSv1.2' as const,
      ciphers: CIPHERS,
      honorCipherOrder: true,
      handshakeTimeout: timeouts.handshakeMs,
    };
    const http2 = options.http2 ?? options.kind === 'https';
    server = http2
      ? createSecureServer({
          ...tls,
          ...http1,
          allowHTTP1: true,
          maxHeaderListPairs: limits.maxHeaderCount + 10,
          settings: {
            maxConcurrentStreams: limits.maxStreams,
            maxHeaderListSize: limits.maxUriLength + limits.maxHeaderSize,
          },
        })
      : createHttpsServer({ ...tls, ...http1 });
  }
  // node:http forgets what is over the count without a word: one more than allowed shows that it was.
  (server as Server).maxHeadersCount = limits.maxHeaderCount + 1;
  server.maxConnections = limits.maxConnections;
  return server;
}
