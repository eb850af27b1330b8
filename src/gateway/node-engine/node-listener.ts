import { createServer, IncomingMessage, type Server, type ServerResponse } from 'node:http';
import {
  constants,
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from 'node:http2';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, Server as NetServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { GatewayFault } from '../../errors.ts';
import { plainAddress } from '../client-address.ts';
import type { EngineListener } from '../client-side.ts';
import type { Connection } from '../connection.ts';
import type { DataPlane } from '../data-plane.ts';
import { Exchange, type Site } from '../exchange.ts';
import { handle } from '../handle.ts';
import {
  type Bound,
  ListenError,
  type Listening,
  type ListenerOptions,
  type ListenerTls,
  type Timeouts,
} from '../options.ts';
import { sessionBounds } from './compat-front.ts';
import { Http1Client } from './http1-client.ts';
import { Http2Client } from './http2-compat.ts';
import { NodeConnection } from './node-connection.ts';
import { parseFault, refuseConnection } from './refuse-connection.ts';
import { reject } from '../reject.ts';
import { tlsContext } from '../tls-server.ts';
import { Switchable } from './switchable.ts';

/** Milliseconds between two looks for connections that are past their deadline. */
const CHECK_MS = 1_000;

/** As the last stream of a GOAWAY: those that are opened before the client hears of it are served. */
const ANY_STREAM = 2 ** 31 - 1;

/** Of HTTP/1. node:http lets others through. */
const VERSIONS: ReadonlySet<string> = new Set(['1.0', '1.1']);

type AnyServer = Server | Http2SecureServer;
type AnyRequest = IncomingMessage | Http2ServerRequest;
type AnyResponse = ServerResponse | Http2ServerResponse;

/** One bound address of node:http, node:https or node:http2. */
export class NodeListener implements EngineListener {
  readonly #options: ListenerOptions;
  readonly #plane: DataPlane;
  readonly #keepAliveMs: number;
  readonly #site: Site;
  readonly #server: AnyServer;
  /** TCP sockets by the client's address and port. */
  readonly #sockets = new Map<string, Socket>();
  readonly #sessions = new Set<ServerHttp2Session>();
  /** TCP sockets on which no request and no HTTP/2 session has come yet; node:http does not take them for idle. */
  readonly #unused = new Set<Socket>();
  /** By socket, or by session in HTTP/2. */
  readonly #connections = new WeakMap<object, NodeConnection>();
  /** By TCP socket: those on which a request has come. */
  readonly #used = new Map<Socket, NodeConnection>();

  constructor(options: ListenerOptions, plane: DataPlane, timeouts: Timeouts) {
    this.#options = options;
    this.#plane = plane;
    this.#keepAliveMs = timeouts.keepAliveMs;
    this.#site = { kind: options.kind, scheme: options.kind === 'http' ? 'http' : 'https' };
    this.#server = open(options, plane, timeouts);
    this.#follow(this.#server as Server);
  }

  /** @throws ListenError */
  listen({ ports = {}, shared = false }: Listening): Promise<Bound> {
    const { kind, host } = this.#options;
    const port = ports[kind] ?? this.#options.port;
    const server = this.#server as Server;
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

  /** Tells HTTP/2 clients to open no more streams here; those that they have opened meanwhile are served (RFC 9113 section 6.8). */
  announceClose(): void {
    for (const session of this.#sessions) {
      session.goaway(constants.NGHTTP2_NO_ERROR, ANY_STREAM);
    }
  }

  /** Accepts no more; resolves when the last connection is gone. */
  stopAccepting(): Promise<void> {
    return new Promise((resolve) => {
      // Not the server's own close(): that ends idle connections at once, under requests that are on their way.
      // An error says only that it never listened.
      NetServer.prototype.close.call(this.#server, () => resolve());
    });
  }

  /** Ends connections on which nothing is under way; the others end with their last response. */
  closeIdle(): void {
    this.#server.close();
    for (const session of this.#sessions) session.close(); // GOAWAY
    for (const socket of this.#unused) socket.destroy();
  }

  /** Ends every connection now; the clients of WebSockets are told so, where a frame may stand (1001, RFC 6455 section 7.4.1). */
  destroy(): void {
    for (const session of this.#sessions) session.destroy();
    for (const socket of this.#sockets.values()) {
      const tunnel = this.#used.get(socket)?.tunnel;
      if (tunnel === undefined) socket.destroy();
      else tunnel.close(1001, 'the gateway is closing');
    }
  }

  /** The connections on which a request has come. */
  connections(): Iterable<Connection> {
    return this.#used.values();
  }

  setCertificate(tls: ListenerTls): void {
    if ('setSecureContext' in this.#server) this.#server.setSecureContext(tlsContext(tls));
  }

  sweep(): void {
    // node:http and node:http2 have deadlines of their own.
  }

  #follow(server: Server): void {
    server.on('connection', (socket: Socket) => {
      const name = endOf(socket);
      this.#sockets.set(name, socket);
      this.#unused.add(socket);
      socket.once('close', () => {
        this.#sockets.delete(name);
        this.#unused.delete(socket);
        this.#used.delete(socket);
      });
    });
    server.on('session', (session: ServerHttp2Session) => {
      this.#unused.delete(this.#below(session.socket));
      this.#sessions.add(session);
      if (this.#plane.closing) session.close();
      session.once('close', () => this.#sessions.delete(session));
      session.setTimeout(this.#keepAliveMs, () => session.close());
    });
    server.on('request', (request, response) => this.#enter(request, response, false));
    server.on('checkContinue', (request, response) => this.#enter(request, response, true));
    server.on('checkExpectation', (request, response) => {
      const fault = new GatewayFault('expectationFailed', 'unknown expectation');
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
        refuseConnection(socket, 'methodNotAllowed', detail, peerOf(socket), this.#plane);
      } else {
        const fault = new GatewayFault('methodNotAllowed', detail, { allow: '' });
        this.#enter(request, other as AnyResponse, false, (exchange) => reject(exchange, fault));
      }
    });
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      this.#switch(request, socket as Socket, head);
    });
    // Anything else that asks for an upgrade is read on as HTTP/1.1. node:http2 takes the option for its HTTP/1.1 only so.
    Object.assign(server, {
      shouldUpgradeCallback: (request: IncomingMessage) =>
        mayBeHandshake(request) && this.#connections.get(request.socket)?.current === undefined,
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
    if (!(request instanceof IncomingMessage)) {
      const stallMs = this.#plane.idleBodyTimeoutMs;
      const client = new Http2Client(
        request,
        response as Http2ServerResponse,
        expectsContinue,
        stallMs,
      );
      run(new Exchange(this.#plane, this.#site, connection, client));
      return;
    }
    const entered = connection.enter(() =>
      this.#start(
        connection,
        request,
        response as ServerResponse,
        expectsContinue,
        undefined,
        VERSIONS.has(request.httpVersion) ? run : refuseVersion,
      ),
    );
    if (!entered) {
      this.#plane.log.info('Gateway', `a pipelined request is dropped (from ${connection.peer})`);
    }
  }

  /** A handshake that nothing is waiting before: node:http has let go of the socket. */
  #switch(request: IncomingMessage, socket: Socket, head: Buffer): void {
    const connection = this.#connection(request);
    const switchable = new Switchable(request, socket, head);
    const { response } = switchable;
    const entered = connection.enter(() =>
      this.#start(connection, request, response, false, switchable, handle),
    );
    if (!entered) socket.destroy();
  }

  #start(
    connection: NodeConnection,
    request: IncomingMessage,
    response: ServerResponse,
    expectsContinue: boolean,
    switchable: Switchable | undefined,
    run: (exchange: Exchange) => void,
  ): void {
    const client = new Http1Client(
      connection,
      request,
      response,
      expectsContinue,
      switchable,
      this.#plane.idleBodyTimeoutMs,
    );
    run(new Exchange(this.#plane, this.#site, connection, client));
  }

  #connection(request: AnyRequest): NodeConnection {
    const key = request instanceof IncomingMessage ? request.socket : request.stream.session;
    const known = key === undefined ? undefined : this.#connections.get(key);
    if (known !== undefined) return known;
    const socket = this.#below(request.socket);
    this.#unused.delete(socket);
    const connection = new NodeConnection(peerOf(socket), this.#plane, request.socket, socket);
    if (key !== undefined) this.#connections.set(key, connection);
    if (!socket.destroyed) this.#used.set(socket, connection);
    return connection;
  }

  /** The TCP socket below a TLS socket; a TCP socket itself. */
  #below(socket: Socket): Socket {
    return this.#sockets.get(endOf(socket)) ?? socket;
  }

  /** What node:http cannot parse, or gave up waiting for. It belongs to the request under way, or to none yet. */
  #unparsable(error: NodeJS.ErrnoException, socket: Socket): void {
    if (socket.destroyed || socket.writableEnded) return;
    if (!socket.writable || error.code === 'ECONNRESET') {
      socket.destroy();
      return;
    }
    const fault = parseFault(error, this.#plane.limits.maxUriLength);
    const connection = this.#connections.get(socket);
    const current = connection?.current;
    if (connection === undefined || current === undefined) {
      refuseConnection(socket, fault, error.code ?? 'unreadable', peerOf(socket), this.#plane);
    } else if (current.client.bodyRead) {
      connection.cutOff(); // what came before is good, and answered first
    } else if (error.code === 'HPE_INVALID_EOF_STATE') {
      socket.destroy(); // the client left in the middle
    } else if (current.answered) {
      connection.cutOff();
    } else {
      const detail = error.code ?? 'unreadable body';
      current.onBadBody(new GatewayFault(fault, detail, { cause: error }));
    }
  }
}

/** Whether a request is one that {@link Switchable} can take: it has no body, so what follows its head is the other protocol's. */
function mayBeHandshake({ method, httpVersion, headers }: IncomingMessage): boolean {
  return (
    method === 'GET' &&
    httpVersion === '1.1' &&
    headers.upgrade?.toLowerCase() === 'websocket' &&
    (headers['content-length'] ?? '0') === '0' &&
    headers['transfer-encoding'] === undefined
  );
}

function refuseVersion(exchange: Exchange): void {
  reject(exchange, new GatewayFault('badRequest', 'unknown HTTP version'));
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
    const tls = { ...tlsContext(options.tls), handshakeTimeout: timeouts.handshakeMs };
    const http2 = options.http2 ?? options.kind === 'https';
    server = http2
      ? createSecureServer({
          ...tls,
          ...http1,
          allowHTTP1: true,
          ...sessionBounds(limits),
        })
      : createHttpsServer({ ...tls, ...http1 });
  }
  // node:http forgets what is over the count without a word: one more than allowed shows that it was.
  (server as Server).maxHeadersCount = limits.maxHeaderCount + 1;
  server.maxConnections = limits.maxConnections;
  return server;
}
