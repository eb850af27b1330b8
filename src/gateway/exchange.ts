import { randomUUID } from 'node:crypto';
import type { Caller } from '../auth/caller.ts';
import { GatewayFault } from '../errors.ts';
import { GrammarError } from '../http1/refusal.ts';
import type { Log } from '../log.ts';
import { methodOf, pathOf } from './access-line.ts';
import type { ClientListener, ClientSide } from './client-side.ts';
import type { Connection } from './connection.ts';
import type { DataPlane } from './data-plane.ts';
import { filterHead } from './filter.ts';
import type { Finished, FinishedOperation } from './finished.ts';
import type { Handshake } from './handshake.ts';
import type { RequestHead } from './headers.ts';
import type { Degraded, Outcome } from './observe.ts';
import type { ListenerOptions } from './options.ts';
import { grammarFault } from './refusal-answer.ts';
import { reject } from './reject.ts';
import type { Trace } from './trace-context.ts';
import type { Tunnel } from './tunnel.ts';

/** Where a request came in. */
export interface Site {
  readonly kind: ListenerOptions['kind'];
  readonly scheme: 'http' | 'https';
}

/** Who is at work on the answer. */
export interface Work {
  /** Nobody waits for it any more: the client left, a deadline passed, or another answer was given. */
  onGone(): void;
  /** The client takes more. */
  onDrained(): void;
}

/** One request and its response, over whatever engine and version of HTTP. Whoever answers first has answered; later answers are ignored. */
export class Exchange implements ClientListener, Finished {
  readonly id = randomUUID();
  readonly plane: DataPlane;
  readonly site: Site;
  readonly connection: Connection;
  readonly client: ClientSide;
  readonly method: string;
  /** Path and query. */
  target: string;
  /** The header fields, once read. */
  head: RequestHead | undefined;
  /** Status of the answer; 0 until there is one. */
  status = 0;
  /** Until there is an end, the client might still leave. */
  outcome: Outcome = 'aborted';
  /** Milliseconds of `performance.now()`. */
  readonly startedAt = performance.now();
  readonly version: ClientSide['version'];
  /** What it is for, once that is known. */
  operation: FinishedOperation | undefined;
  /** Bytes of the bodies: of the request as far as it was read, of the answer as far as it was given away. */
  bytesIn = 0;
  bytesOut = 0;
  /** When the upstream was called last, milliseconds of `performance.now()`. */
  calledAt = 0;
  /** Milliseconds from then to the head of its answer; -1: there was none. */
  upstreamMs = -1;
  /** Where it stands in a trace. */
  trace: Trace | undefined;
  work: Work | undefined;
  /** The connection is to be closed with this response. */
  closeAfter = false;
  /** The gateway's own endpoints pass no filter. */
  unfiltered = false;
  /** Who was let in; their open streams end when their token is revoked. */
  caller: Caller | undefined;
  /** How their token was let through, where revocations may have been missed. */
  degraded: Degraded | undefined;
  /** What the client asked for, when it would switch to WebSocket. */
  handshake: Handshake | undefined;
  /** The WebSocket that this request has become. */
  tunnel: Tunnel | undefined;
  /** Seen by {@link LiveWatch} before. */
  seen = false;
  /** How far the list had changed when {@link LiveWatch} asked about it last. */
  askedAt: number | undefined;
  /** When {@link LiveWatch} found its token revoked, milliseconds of the monotonic clock. */
  revokedAt: number | undefined;
  /** The exchanges of its connection that began before and after it. */
  older: Exchange | undefined;
  newer: Exchange | undefined;
  #answered = false;
  #ended = false;
  #closed = false;

  constructor(plane: DataPlane, site: Site, connection: Connection, client: ClientSide) {
    this.plane = plane;
    this.site = site;
    this.connection = connection;
    this.client = client;
    this.method = client.method;
    this.target = client.target;
    this.version = client.version;
    client.listener = this;
    connection.join(this);
    plane.observer.begin();
  }

  get log(): Log {
    return this.plane.log;
  }

  /** Who calls, as far as trusted proxies tell. */
  get clientAddress(): string {
    const { connection, head, plane } = this;
    return plane.trustedProxies.clientAddress(connection.peer, head?.forwardedFor);
  }

  get http2(): boolean {
    return this.version === '2.0';
  }

  /** Someone has answered, or nobody is left to answer to. */
  get answered(): boolean {
    return this.#answered || this.#closed;
  }

  /** The whole answer is written. */
  get ended(): boolean {
    return this.#ended || this.#closed;
  }

  /** HTTP/2 only: a body may follow. */
  get openStream(): boolean {
    return this.http2 && this.client.body !== undefined;
  }

  /** For the log: method and path as the access log has them, so that no query, password or token is in it. */
  describe(): string {
    return `${methodOf(this.method)} ${pathOf(this.target)}`;
  }

  /**
   * Sends the head of the answer, through the extension's `filterResponse` where there is one. The promise that is returned then never
   * rejects. Throws on fields that HTTP does not allow; then nothing was sent, and there may be another answer.
   * @param fields name and value, alternating; without framing
   * @param length bytes of the body; -1: not known
   * @param clean the fields come from an upstream's answer as a parser of ours gave them
   */
  begin(
    status: number,
    fields: readonly string[],
    length: number,
    clean: boolean,
  ): void | Promise<void> {
    if (this.answered) return;
    this.#answered = true;
    if (this.plane.filter?.filterResponse === undefined || this.unfiltered) {
      try {
        this.#writeHead(status, fields, length, clean);
      } catch (error) {
        this.#answered = false;
        throw error;
      }
      return;
    }
    return filterHead(this.plane.filter, status, fields, this.id)
      .then((head) => {
        if (!this.#closed) this.#writeHead(head.status, head.fields, length, false);
      })
      .catch((error: unknown) => {
        this.#answered = false;
        this.unfiltered = true;
        reject(this, error);
      });
  }

  /** A whole answer of the gateway's own. */
  answer(status: number, fields: string[], body: string, outcome: Outcome): void {
    if (this.answered) return;
    this.#letGo();
    this.outcome = outcome;
    const { serverHeader } = this.plane.policy;
    if (serverHeader !== undefined) fields.push('Server', serverHeader);
    const length = status === 204 || status === 304 ? -1 : Buffer.byteLength(body);
    const sent = this.begin(status, fields, length, false);
    if (sent === undefined) this.end(body);
    else void sent.then(() => this.end(body));
  }

  /** The client is answered 101; from now on this is `tunnel`, until {@link over}. */
  become(tunnel: Tunnel): void {
    this.#answered = true;
    this.status = 101;
    this.tunnel = tunnel;
    this.work = undefined;
  }

  /** The tunnel is over. */
  over(): void {
    if (!this.#closed) this.#close();
  }

  /** False: hold until {@link Work.onDrained}. */
  write(chunk: Uint8Array): boolean {
    this.bytesOut += chunk.length;
    return this.client.write(chunk);
  }

  /** Sends what the engine keeps in order to send it with what follows. */
  flush(): void {
    this.client.flush();
  }

  /** @param trailers names and values, alternating; only over HTTP/2, and where the client takes them */
  end(body?: Uint8Array | string, trailers?: readonly string[]): void {
    if (this.#ended || this.#closed) return;
    this.#ended = true;
    if (body === undefined || body.length === 0 || this.#bodiless) {
      this.client.end(undefined, trailers);
    } else {
      this.bytesOut += typeof body === 'string' ? Buffer.byteLength(body) : body.length;
      this.client.end(body, trailers);
    }
  }

  /** Ends the response so that no client can take it for a whole one: a reset, never a clean end. */
  breakOff(outcome: Outcome): void {
    if (this.#closed) return;
    this.outcome = outcome;
    this.client.breakOff();
  }

  /** Tells a client that expects it to send its body. */
  continue(): void {
    if (this.client.expectsContinue && !this.answered) this.client.writeContinue();
  }

  onDrain(): void {
    this.work?.onDrained();
  }

  onClose(): void {
    if (this.#closed || this.tunnel !== undefined) return;
    this.#closed = true;
    if (!this.#ended) this.#letGo();
    this.#close();
  }

  onBadBody(error: Error): void {
    this.closeAfter = true;
    if (!this.answered) reject(this, bodyFault(error));
  }

  #close(): void {
    this.#closed = true;
    this.plane.observer.end(this);
    this.connection.leave(this);
  }

  /** RFC 9110 section 6.4.1. */
  get #bodiless(): boolean {
    return this.method === 'HEAD' || this.status === 204 || this.status === 304;
  }

  #letGo(): void {
    const { work } = this;
    this.work = undefined;
    work?.onGone();
  }

  #writeHead(status: number, fields: readonly string[], length: number, clean: boolean): void {
    const close = this.closeAfter || !this.plane.keepAlive || this.connection.isLast;
    this.client.writeHead(status, fields, length, close, clean);
    this.status = status;
  }
}

/** What a body that broke is answered with. */
function bodyFault(error: Error): GatewayFault {
  if (error instanceof GatewayFault) return error;
  if (error instanceof GrammarError) return grammarFault(error);
  return new GatewayFault('badRequest', error.message, { cause: error });
}
