import type { Socket } from 'node:net';
import { ClientConnection } from '../../http1/client-connection.ts';
import type { HeadLimits } from '../../http1/limits.ts';
import { ConnectionPool } from '../../http1/pool.ts';
import type { Clock } from '../../http1/wire.ts';
import type { Log } from '../../log.ts';
import { errorText } from '../error-text.ts';
import { OpenCalls } from '../open-calls.ts';
import type { UpstreamOptions } from '../options.ts';
import type { OpenCall, UpstreamAnswer, UpstreamRequest, UpstreamSide } from '../upstream-side.ts';
import { type Connect, connector } from './own-connect.ts';
import { OwnCall, type Outlet } from './own-call.ts';
import type { Carried, OwnSocket } from './own-socket.ts';

/** Header fields of a response. */
const MAX_FIELDS = 200;

/** Bounds of the wait for one of the connections, where all are busy. */
const MAX_QUEUED = 1_000;
const QUEUE_MS = 5_000;

/** Kept idle for less than the five seconds after which common servers close. */
const IDLE_MS = 4_000;

/** One origin, called over connections of our own. */
export class OwnUpstream implements UpstreamSide, Outlet {
  readonly origin: string;
  readonly hostLine: string;
  readonly clock: Clock;
  readonly connectMs: number;
  readonly headMs: number;
  readonly idleBodyMs: number;
  readonly pool: ConnectionPool;
  readonly #log: Log;
  readonly #limits: HeadLimits;
  readonly #sockets = new Set<Socket>();
  readonly #connect: Connect;
  readonly #calls = new OpenCalls<OwnCall>();

  /** @param clock of the sweep that it is looked at by */
  constructor(origin: string, options: UpstreamOptions, log: Log, clock: Clock) {
    this.origin = origin;
    this.hostLine = `Host: ${new URL(origin).host}\r\n`;
    this.connectMs = options.connectTimeoutMs ?? 5_000;
    this.headMs = options.headersTimeoutMs ?? 60_000;
    this.idleBodyMs = options.idleBodyTimeoutMs ?? 60_000;
    const maxHeaderSize = options.maxHeaderSize ?? 16_384;
    this.#limits = { maxTarget: 0, maxFieldBytes: maxHeaderSize, maxFields: MAX_FIELDS };
    this.clock = clock;
    this.#log = log;
    this.#connect = connector(origin, options, this.#sockets, (error) => this.report(error));
    this.pool = new ConnectionPool(
      (ready, failed) => this.#connect(true, (socket) => ready(this.#client(socket, true)), failed),
      {
        maxConnections: options.maxActive ?? 1_000,
        maxIdle: options.maxIdle,
        maxQueued: MAX_QUEUED,
        queueMs: QUEUE_MS,
        connectMs: this.connectMs,
        idleMs: IDLE_MS,
      },
      clock,
    );
  }

  call(request: UpstreamRequest, answer: UpstreamAnswer, fresh: boolean): OpenCall {
    const call = new OwnCall(this, request, answer);
    this.#calls.add(call);
    call.start(fresh);
    return call;
  }

  sweep(nowMs: number): void {
    this.pool.sweep(nowMs);
    this.#calls.sweep(nowMs);
  }

  async close(): Promise<void> {
    this.pool.close();
    const sockets = [...this.#sockets];
    const closed = sockets.map((socket) => new Promise((resolve) => socket.once('close', resolve)));
    for (const socket of sockets) socket.destroy();
    await Promise.all(closed);
  }

  // Of its calls.

  report(error: unknown): void {
    this.#log.error('Gateway', `${this.origin}: a call is ended: ${errorText(error)}`);
  }

  forget(call: OwnCall): void {
    this.#calls.remove(call);
  }

  /** A connection that may become another protocol's: for one call, and not of the pool. */
  connectAlone(
    ready: (connection: ClientConnection, socket: OwnSocket) => void,
    failed: (error: Error) => void,
  ): () => void {
    return this.#connect(
      false,
      (socket) => {
        const connection = this.#client(socket, false);
        connection.onIdle = (reusable) => {
          if (reusable) connection.abort();
        };
        ready(connection, socket);
      },
      failed,
    );
  }

  #client(socket: OwnSocket, lends: boolean): ClientConnection {
    const connection = new ClientConnection(socket, this.#limits, this.clock, ignore);
    socket.carry(new Carrier(connection, (error) => this.report(error)), !lends);
    return connection;
  }
}

/** Between a socket and its state machine: what throws there is a broken connection for whoever waits for its answer. */
class Carrier implements Carried {
  readonly #connection: ClientConnection;
  readonly #report: (error: unknown) => void;

  constructor(connection: ClientConnection, report: (error: unknown) => void) {
    this.#connection = connection;
    this.#report = report;
  }

  receive(chunk: Buffer): void {
    this.#connection.receive(chunk);
  }

  receivedEnd(): void {
    this.#connection.receivedEnd();
  }

  drained(): void {
    this.#connection.drained();
  }

  gone(error: Error | undefined): void {
    this.#connection.gone(error);
  }

  failed(error: unknown): void {
    this.#report(error);
    this.#connection.gone(error instanceof Error ? error : undefined);
  }
}

function ignore(): void {
  // The pool, or the one call, puts its own in.
}
