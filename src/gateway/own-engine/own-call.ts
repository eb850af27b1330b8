import type { ClientConnection } from '../../http1/client-connection.ts';
import type { ClientConnectionError, ResponseEvents } from '../../http1/client-events.ts';
import { requestHead } from '../../http1/head-writer.ts';
import type { ResponseHead } from '../../http1/message-head.ts';
import type { ConnectionPool, PoolError, PoolFailure } from '../../http1/pool.ts';
import type { Clock } from '../../http1/wire.ts';
import { reason } from '../failure-reason.ts';
import { type CallOutlet, connectFailure, OriginCall, refused } from '../origin-call.ts';
import type {
  OpenCall,
  UpstreamAnswer,
  UpstreamFailure,
  UpstreamRequest,
} from '../upstream-side.ts';
import type { OwnSocket } from './own-socket.ts';

/** What the calls of one origin share. Milliseconds. */
export interface Outlet extends CallOutlet<OwnCall> {
  readonly hostLine: string;
  readonly pool: ConnectionPool;
  readonly clock: Clock;
  readonly connectMs: number;
  /** A connection that may become another protocol's: for one call, and not of the pool. */
  connectAlone(
    ready: (connection: ClientConnection, socket: OwnSocket) => void,
    failed: (error: Error) => void,
  ): () => void;
}

/** Methods that say something of a body; without one they say that it is empty (RFC 9110 section 8.6). */
const WITH_BODY: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH']);

const SWITCH_LINES = 'Connection: upgrade\r\nUpgrade: websocket\r\n';

const POOL_FAILURES: Readonly<Record<PoolFailure, UpstreamFailure['kind']>> = {
  full: 'exhausted',
  waited: 'exhausted',
  connect: 'connect',
  connectTimeout: 'timeout',
  closed: 'connect',
};

/** One request to an upstream, from the wish for a connection to the end of its answer. */
export class OwnCall extends OriginCall<Outlet> implements OpenCall, ResponseEvents {
  readonly #request: UpstreamRequest;
  readonly #sinceMs: number;
  /** Gives up the wait for a connection. */
  #cancel: (() => void) | undefined;
  #connection: ClientConnection | undefined;
  #socket: OwnSocket | undefined;
  /** When the last of the request went out; 0: not seen yet. */
  #sentMs = 0;

  constructor(outlet: Outlet, request: UpstreamRequest, answer: UpstreamAnswer) {
    super(outlet, answer);
    this.#request = request;
    this.#sinceMs = outlet.clock.nowMs;
  }

  /** @param fresh on a connection that has served nothing yet */
  start(fresh: boolean): void {
    const { pool } = this.outlet;
    if (this.#request.switching) {
      const cancel = this.outlet.connectAlone(
        (connection, socket) => {
          this.#socket = socket;
          this.#send(connection);
        },
        (error) => this.fail(connectFailure('connect', error)),
      );
      this.#cancel = cancel;
      return;
    }
    const idle = fresh ? undefined : pool.takeIdle();
    if (idle !== undefined) {
      this.#send(idle);
      return;
    }
    const waiting = pool.take(
      (connection) => this.#send(connection),
      (error) => this.fail(poolFailure(error)),
      fresh,
    );
    this.#cancel = () => waiting.cancel();
  }

  resume(): void {
    if (!this.over) this.#connection?.resume();
  }

  abort(): void {
    if (!this.finish()) return;
    if (this.#connection === undefined) this.#cancel?.();
    else this.#connection.abort();
  }

  /** Looks for what is past its deadline. */
  sweep(nowMs: number): void {
    const { connectMs, headMs, idleBodyMs } = this.outlet;
    const connection = this.#connection;
    if (connection === undefined) {
      // Of the others, the pool looks after it.
      if (this.#request.switching && nowMs - this.#sinceMs >= connectMs) {
        this.#timeOut(`no connection within ${connectMs} ms`);
      }
    } else if (connection.phase === 'body') {
      if (!connection.paused && nowMs - connection.movedMs >= idleBodyMs) {
        this.#timeOut(`nothing of the body for ${idleBodyMs} ms`);
      }
    } else if (connection.sent) {
      if (this.#sentMs === 0) this.#sentMs = connection.movedMs;
      if (nowMs - this.#sentMs >= headMs) this.#timeOut(`no answer within ${headMs} ms`);
    } else if (connection.backlog > 0 && nowMs - connection.movedMs >= idleBodyMs) {
      this.#timeOut(`nothing of the request was taken for ${idleBodyMs} ms`);
    }
  }

  // Of the connection. Whatever the answer throws is the end of this call, and of nothing else.

  onHead(head: ResponseHead): boolean {
    try {
      return this.answer.onHead(head.status, head.fields, head.contentLength);
    } catch (error) {
      this.#refuse(error);
      return true;
    }
  }

  onData(chunk: Buffer): boolean {
    try {
      return this.answer.onData(chunk);
    } catch (error) {
      this.#refuse(error);
      return true;
    }
  }

  onFlush(): void {
    try {
      this.answer.onFlush();
    } catch (error) {
      this.#refuse(error);
    }
  }

  onEnd(trailers: readonly string[]): void {
    if (this.finish()) this.tellEnd(trailers);
  }

  onSwitch(head: ResponseHead, early: Buffer): void {
    const socket = this.#socket;
    if (socket === undefined || !this.finish()) return;
    this.answer.onSwitch(head.fields, socket.release(), early);
  }

  onError(error: ClientConnectionError): void {
    const cause = error.cause instanceof Error ? error.cause : undefined;
    this.fail({
      kind: error.kind === 'malformed' ? 'malformed' : 'broken',
      detail: detailOf(error.message, cause),
      replayable: error.replayable,
      cause: error.kind === 'request' ? (cause ?? error) : error,
    });
  }

  // Own.

  #send(connection: ClientConnection): void {
    this.#connection = connection;
    const { method, path, fields, body, switching } = this.#request;
    const length = body === undefined ? (WITH_BODY.has(method) ? 0 : undefined) : body.length;
    const lines = switching ? SWITCH_LINES : '';
    try {
      const head = requestHead(method, path, this.outlet.hostLine, fields, length, lines);
      connection.send(head, method, body, switching, this);
    } catch (error) {
      this.#refuse(error);
    }
  }

  #timeOut(detail: string): void {
    const connection = this.#connection;
    if (connection === undefined) this.#cancel?.();
    else connection.abort();
    this.fail({ kind: 'timeout', detail, replayable: false });
  }

  #refuse(error: unknown): void {
    this.#connection?.abort();
    this.fail(refused(error));
  }

  protected override forget(): void {
    this.outlet.forget(this);
  }
}

/** A cause that breaks the grammar is what the message is made of. */
function detailOf(message: string, cause: Error | undefined): string {
  if (cause === undefined) return message;
  return cause.message === message ? reason(cause) : `${message}: ${reason(cause)}`;
}

function poolFailure(error: PoolError): UpstreamFailure {
  return connectFailure(
    POOL_FAILURES[error.kind],
    error.cause instanceof Error ? error.cause : error,
  );
}
