import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import {
  createSecureServer,
  type Http2SecureServer,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import { createServer as createHttpsServer } from 'node:https';
import { Server as NetServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { GatewayFault } from '../../errors.ts';
import type { Clock } from '../../http1/wire.ts';
import type { Admission } from '../admission.ts';
import { Arrivals } from '../arrivals.ts';
import { bind } from '../bind.ts';
import { plainAddress } from '../client-address.ts';
import type { EngineListener } from '../client-side.ts';
import { type Connection, endSoon } from '../connection.ts';
import type { DataPlane } from '../data-plane.ts';
import { Exchange, type Site } from '../exchange.ts';
import { handle } from '../handle.ts';
import { Http2Guard } from '../http2-guard.ts';
import {
  type Bound,
  type Limits,
  type Listening,
  type ListenerOptions,
  type ListenerTls,
  type Timeouts,
} from '../options.ts';
import { sendGoaway } from './goaway.ts';
import { sessionBounds } from './stream-front.ts';
import { Http1Client } from './http1-client.ts';
import { serveStream } from './http2-client.ts';
import { NodeConnection } from './node-connection.ts';
import { parseFault, refuseConnection } from './refuse-connection.ts';
import { reject } from '../reject.ts';
import { tlsContext } from '../tls-server.ts';
import { Switchable } from './switchable.ts';

/** Milliseconds between two looks for connections that are past their deadline. */
const CHECK_MS = 1_000;

/** Of HTTP/1. node:http lets others through. */
const VERSIONS: ReadonlySet<string> = new Set(['1.0', '1.1']);

type AnyServer = Server | Http2SecureServer;

/** One bound address of node:http, node:https or node:http2. */
export class NodeListener implements EngineListener {
  readonly #options: ListenerOptions;
  #plane: DataPlane;
  #timeouts: Timeouts;
  readonly #guard: Http2Guard;
  readonly #site: Site;
  readonly #server: AnyServer;
  readonly #arrivals: Arrivals;
  readonly #sessions = new Set<ServerHttp2Session>();
  /** TCP sockets on which no request and no HTTP/2 session has come yet; node:http does not take them for idle. */
  readonly #unused = new Set<Socket>();
  /** By socket, or by session in HTTP/2. */
  readonly #connections = new WeakMap<object, NodeConnection>();
  /** By TCP socket: those on which a request has come. */
  readonly #used = new Map<Socket, NodeConnection>();

  /**
   * @param admission who may connect to it, and to the other listeners of this thread
   * @param clock of the sweep that it is added to
   */
  constructor(
    options: ListenerOptions,
    plane: DataPlane,
    timeouts: Timeouts,
    admission: Admission,
    clock: Clock,
  ) {
    this.#options = options;
    this.#plane = plane;
    this.#arrivals = new Arrivals(admission);
    this.#timeouts = timeouts;
    this.#guard = new Http2Guard(plane.log, clock);
    this.#site = { kind: options.kind, scheme: options.kind === 'http' ? 'http' : 'https' };
    this.#server = open(options, plane, timeouts);
    this.#follow(this.#server as Server);
  }

  /** @throws ListenError */
  listen(how: Listening): Promise<Bound> {
    return bind(this.#server, this.#options, how, this.#plane.log);
  }

  /** Tells HTTP/2 clients to open no more streams here. */
  announceClose(): void {
    sendGoaway(this.#sessions);
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
    this.#guard.hurry();
    for (const session of this.#sessions) session.close(); // GOAWAY
    for (const socket of this.#unused) socket.destroy();
  }

  /** Ends every connection now; the clients of WebSockets are told so, where a frame may stand (1001, RFC 6455 section 7.4.1). */
  destroy(): void {
    for (const session of this.#sessions) session.destroy();
    for (const { socket } of this.#arrivals) {
      const connection = this.#used.get(socket);
      if (connection?.tunnel !== undefined) connection.tunnel.close(1001, 'the gateway is closing');
      // To a client of HTTP/1.0 an answer may end with FIN: one that is cut short is not to look whole.
      else if (connection?.current !== undefined) connection.reset();
      else socket.destroy();
    }
  }

  /** The connections on which a request has come. */
  connections(): Iterable<Connection> {
    return this.#used.values();
  }

  setCertificate(tls: ListenerTls): void {
    if ('setSecureContext' in this.#server) this.#server.setSecureContext(tlsContext(tls));
  }

  setPlane(plane: DataPlane, timeouts: Timeouts): void {
    this.#plane = plane;
    this.#timeouts = timeouts;
    Object.assign(this.#server, http1Bounds(plane.limits, timeouts));
    if ('updateSettings' in this.#server) {
      this.#server.updateSettings(sessionBounds(plane.limits).settings);
    }
  }

  sweep(nowMs: number): void {
    this.#guard.sweep(nowMs); // node:http has deadlines of its own
  }

  #follow(server: Server): void {
    server.on('connection', (socket: Socket) => {
      if (this.#arrivals.take(socket) === undefined) return;
      this.#unused.add(socket);
      socket.once('close', () => {
        this.#unused.delete(socket);
        this.#used.delete(socket);
      });
    });
    server.on('session', (session: ServerHttp2Session) => {
      const below = this.#below(session.socket);
      this.#unused.delete(below);
      this.#sessions.add(session);
      if (this.#plane.closing) session.close();
      session.once('close', () => this.#sessions.delete(session));
      this.#guard.watch(session, this.#timeouts, below, this.#plane.idleBodyTimeoutMs);
    });
    for (const event of ['request', 'checkContinue', 'checkExpectation']) {
      server.on(event, (request: IncomingMessage, response: ServerResponse) => {
        this.#enter(request, response);
      });
    }
    server.on('connect', (_request: IncomingMessage, other: Duplex) => {
      const socket = other as Socket;
      if (this.#connections.get(socket)?.current !== undefined) {
        socket.destroy(); // an earlier request is to be answered first
        return;
      }
      const detail = 'CONNECT is not served';
      refuseConnection(socket, 'methodNotAllowed', detail, peerOf(socket), this.#plane);
    });
    // A listener of 'request' makes node:http2 answer streams by an imitation of HTTP/1.1, which has no place for an answer without a body.
    server.removeAllListeners('stream');
    server.on('stream', (stream: ServerHttp2Stream, _: unknown, flags: number, raw: string[]) => {
      const connection = (session: ServerHttp2Session) => this.#connection(session, session.socket);
      const host = { plane: this.#plane, site: this.#site, guard: this.#guard, connection };
      serveStream(host, stream, flags, raw);
    });
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      this.#switch(request, socket as Socket, head);
    });
    // Anything else that asks for an upgrade is read on as HTTP/1.1. node:http2 takes the option for its HTTP/1.1 only so.
    Object.assign(server, {
      shouldUpgradeCallback: (request: IncomingMessage) =>
        mayBeHandshake(request) && isFree(this.#connections.get(request.socket)),
    });
    server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
      this.#unparsable(error, socket as Socket);
    });
  }

  #enter(request: IncomingMessage, response: ServerResponse): void {
    const connection = this.#connection(request.socket, request.socket);
    const start = (): void => this.#start(connection, request, response, undefined);
    if (!connection.enter(request, start) && !connection.isOver) {
      this.#plane.log.info('Gateway', `a pipelined request is dropped (from ${connection.peer})`);
    }
  }

  /** A handshake that nothing is waiting before: node:http has let go of the socket. */
  #switch(request: IncomingMessage, socket: Socket, head: Buffer): void {
    const connection = this.#connection(socket, socket);
    const switchable = new Switchable(request, socket, head);
    const { response } = switchable;
    const start = (): void => this.#start(connection, request, response, switchable);
    if (!connection.enter(request, start)) socket.destroy();
  }

  #start(
    connection: NodeConnection,
    request: IncomingMessage,
    response: ServerResponse,
    switchable: Switchable | undefined,
  ): void {
    const client = new Http1Client(
      connection,
      request,
      response,
      switchable,
      this.#plane.idleBodyTimeoutMs,
    );
    const exchange = new Exchange(this.#plane, this.#site, connection, client);
    if (!VERSIONS.has(request.httpVersion)) {
      reject(exchange, new GatewayFault('badRequest', 'unknown HTTP version'));
    } else if (client.expects === 'unknown') {
      reject(exchange, new GatewayFault('expectationFailed', 'unknown expectation'));
    } else {
      handle(exchange);
    }
  }

  /**
   * @param key the socket, or the session in HTTP/2
   * @param stream what HTTP is spoken on
   */
  #connection(key: object, stream: Socket): NodeConnection {
    const known = this.#connections.get(key);
    if (known !== undefined) return known;
    const socket = this.#below(stream);
    this.#unused.delete(socket);
    const connection = new NodeConnection(peerOf(socket), this.#plane, stream, socket);
    this.#connections.set(key, connection);
    if (!socket.destroyed) this.#used.set(socket, connection);
    const arrival = this.#arrivals.below(socket);
    if (arrival !== undefined) arrival.inside = connection;
    return connection;
  }

  /** The TCP socket below a TLS socket; a TCP socket itself. */
  #below(socket: Socket): Socket {
    return this.#arrivals.below(socket)?.socket ?? socket;
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
    if (current === undefined && connection?.unread?.complete === false) {
      endSoon(socket); // that request has its answer (RFC 9112 section 9.3)
    } else if (connection === undefined || current === undefined) {
      refuseConnection(socket, fault, error.code ?? 'unreadable', peerOf(socket), this.#plane);
    } else if (current.client.bodyRead) {
      // What came before is good, and answered first.
      connection.cutOff(error.code === 'ERR_HTTP_REQUEST_TIMEOUT');
    } else if (error.code === 'HPE_INVALID_EOF_STATE') {
      socket.destroy(); // the client left in the middle
    } else if (current.answered) {
      connection.cutOff(false);
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

/** Whether a request that comes now is worked on at once. */
function isFree(connection: NodeConnection | undefined): boolean {
  return connection === undefined || (connection.current === undefined && !connection.isOver);
}

function peerOf(socket: { readonly remoteAddress?: string | undefined }): string {
  return plainAddress(socket.remoteAddress);
}

/** What node:http looks up on its server for each connection. */
function http1Bounds(limits: Limits, { headersMs, requestMs, keepAliveMs }: Timeouts) {
  return {
    // One bound for both in node:http; each is checked again by itself.
    maxHeaderSize: limits.maxUriLength + limits.maxHeaderSize,
    // node:http forgets what is over the count without a word: one more than allowed shows that it was.
    maxHeadersCount: limits.maxHeaderCount + 1,
    headersTimeout: requestMs > 0 ? Math.min(headersMs, requestMs) : headersMs,
    requestTimeout: requestMs,
    keepAliveTimeout: keepAliveMs,
  };
}

function open(options: ListenerOptions, plane: DataPlane, timeouts: Timeouts): AnyServer {
  const { limits } = plane;
  const { maxHeadersCount, ...bounds } = http1Bounds(limits, timeouts);
  const http1 = {
    ...bounds,
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
  (server as Server).maxHeadersCount = maxHeadersCount;
  return server;
}
