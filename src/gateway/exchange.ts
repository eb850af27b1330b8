import { randomUUID } from 'node:crypto';
import { IncomingMessage, type ServerResponse } from 'node:http';
import {
  constants,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type OutgoingHttpHeaders,
} from 'node:http2';
import type { Socket } from 'node:net';
import type { Writable } from 'node:stream';
import type { Caller } from '../auth/caller.ts';
import type { Log } from '../log.ts';
import type { Connection } from './connection.ts';
import type { DataPlane } from './data-plane.ts';
import { filterHead } from './filter.ts';
import type { Handshake } from './handshake.ts';
import type { RequestHead } from './headers.ts';
import type { Outcome } from './observe.ts';
import type { ListenerOptions } from './options.ts';
import { reject } from './reject.ts';
import type { Switchable } from './switchable.ts';
import type { Tunnel } from './tunnel.ts';

/** Where a request came in. */
export interface Site {
  readonly kind: ListenerOptions['kind'];
  readonly scheme: 'http' | 'https';
}

/** Unread request bodies are read on, so that the client sees the answer, up to this many bytes and milliseconds. */
const DISCARD_BYTES = 256 * 1024;
const DISCARD_MS = 5_000;

/** Bodies up to this size are worth a copy to save a system call's worth of work. */
const ONE_WRITE_BYTES = 8_192;

/** One request and its response, over HTTP/1.1 or HTTP/2. Whoever answers first has answered; later answers are ignored. */
export class Exchange {
  readonly id = randomUUID();
  readonly plane: DataPlane;
  readonly site: Site;
  readonly connection: Connection;
  readonly request: IncomingMessage | Http2ServerRequest;
  readonly method: string;
  /** Path and query. */
  target: string;
  /** The header fields, once read. */
  head: RequestHead | undefined;
  /** Status of the answer; 0 until there is one. */
  status = 0;
  /** Until there is an end, the client might still leave. */
  outcome: Outcome = 'aborted';
  /** Milliseconds; only kept for the DEBUG line. */
  readonly startedAt: number;
  /** True when the client waits for `100 Continue` before it sends its body. */
  readonly expectsContinue: boolean;
  /** Called when nobody waits for the upstream any more: the client left, a deadline passed, or another answer was given. */
  onGone: (() => void) | undefined;
  /** The connection is to be closed with this response. */
  closeAfter = false;
  /** The gateway's own endpoints pass no filter. */
  unfiltered = false;
  /** Who was let in; their open streams end when their token is revoked. */
  caller: Caller | undefined;
  /** The client's socket, where its connection could still become a WebSocket. */
  switchable: Switchable | undefined;
  /** What the client asked for with it. */
  handshake: Handshake | undefined;
  /** The WebSocket that this request has become. */
  tunnel: Tunnel | undefined;
  /** Seen by {@link LiveWatch} before. */
  seen = false;
  /** How far the list had changed when {@link LiveWatch} asked about it last. */
  askedAt: number | undefined;
  /** When {@link LiveWatch} found its token revoked, milliseconds of the monotonic clock. */
  revokedAt: number | undefined;
  /** HTTP/2: the streams of its connection that began before and after it. */
  older: Exchange | undefined;
  newer: Exchange | undefined;
  readonly #response: ServerResponse | Http2ServerResponse;
  #answered = false;
  #ended = false;
  #closed = false;
  #stall: NodeJS.Timeout | undefined;

  constructor(
    plane: DataPlane,
    site: Site,
    connection: Connection,
    request: IncomingMessage | Http2ServerRequest,
    response: ServerResponse | Http2ServerResponse,
    expectsContinue: boolean,
    onClosed: (exchange: Exchange) => void,
  ) {
    this.plane = plane;
    this.site = site;
    this.connection = connection;
    this.request = request;
    this.#response = response;
    this.method = request.method ?? '';
    this.target = request.url ?? '';
    this.expectsContinue = expectsContinue;
    this.startedAt = plane.log.debugEnabled ? performance.now() : 0;
    plane.observer.begin();
    response.on('close', () => {
      this.#closed = true;
      clearTimeout(this.#stall);
      if (!this.#ended) this.#letGo();
      plane.observer.end(this);
      onClosed(this);
    });
  }

  get log(): Log {
    return this.plane.log;
  }

  get http2(): boolean {
    return !(this.request instanceof IncomingMessage);
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
    return this.http2 && !(this.request as Http2ServerRequest).stream.endAfterHeaders;
  }

  /** For the log: method and path without the query, and without segments that are longer than a UUID and so may be a token. */
  describe(): string {
    const query = this.target.indexOf('?');
    const path = (query === -1 ? this.target : this.target.slice(0, query)).slice(0, 512);
    return `${this.method} ${path.replaceAll(/[^/]{37,}/g, '...')}`;
  }

  /**
   * Sends the head of the answer, through the extension's `filterResponse` where there is one. The promise that is returned then never
   * rejects. Throws on fields that HTTP does not allow; then nothing was sent, and there may be another answer.
   * @param fields name and value, alternating
   */
  begin(status: number, fields: string[]): void | Promise<void> {
    if (this.answered) return;
    this.#answered = true;
    if (this.plane.filter?.filterResponse === undefined || this.unfiltered) {
      try {
        this.#writeHead(status, fields);
      } catch (error) {
        this.#answered = false;
        this.#forgetHead();
        throw error;
      }
      return;
    }
    return filterHead(this.plane.filter, status, fields, this.id)
      .then((head) => {
        if (!this.#closed) this.#writeHead(head.status, head.fields);
      })
      .catch((error: unknown) => {
        this.#answered = false;
        this.unfiltered = true;
        this.#forgetHead();
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
    if (status !== 204 && status !== 304) {
      fields.push('Content-Length', String(Buffer.byteLength(body)));
    }
    const sent = this.begin(status, fields);
    if (sent === undefined) this.end(body);
    else void sent.then(() => this.end(body));
  }

  /** The client is answered 101; from now on this is `tunnel`. */
  become(tunnel: Tunnel): void {
    this.#answered = true;
    this.status = 101;
    this.tunnel = tunnel;
    this.onGone = () => tunnel.destroy();
  }

  /** False: wait for {@link onceDrained}. */
  write(chunk: Uint8Array): boolean {
    return (this.#response as Writable).write(chunk);
  }

  /** Calls back when the client has taken what was written; a client that takes nothing for the idle time is cut off. */
  onceDrained(callback: () => void): void {
    this.#watchReader();
    (this.#response as Writable).once('drain', () => {
      clearTimeout(this.#stall);
      callback();
    });
  }

  end(body?: Uint8Array | string): void {
    if (this.#ended || this.#closed) return;
    this.#ended = true;
    if (body === undefined || body.length === 0 || this.method === 'HEAD') {
      this.#response.end();
    } else if (!this.http2 && body instanceof Buffer && body.length <= ONE_WRITE_BYTES) {
      // As text of the same bytes it leaves in one write with the head: node:http joins only strings.
      (this.#response as ServerResponse).end(body.toString('latin1'), 'latin1');
    } else {
      this.#response.end(body);
    }
    const socket = this.http2
      ? (this.#response as Http2ServerResponse).stream
      : this.request.socket;
    if (socket.writableLength > 0) this.#watchReader();
    if (this.head?.hasBody !== false && !this.request.readableEnded) this.#discardRest();
  }

  /** Ends the response so that no client can take it for a whole one: a reset, never a clean end. */
  breakOff(outcome: Outcome): void {
    if (this.#closed) return;
    this.outcome = outcome;
    if (this.http2) {
      (this.request as Http2ServerRequest).stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    } else {
      this.connection.reset();
    }
  }

  /** Tells a client that expects it to send its body. */
  continue(): void {
    if (this.expectsContinue && !this.answered) this.#response.writeContinue();
  }

  /** A head that node:http2 refuses stays in its response, field by field, and would be refused again with the next. */
  #forgetHead(): void {
    if (!this.http2 || this.#closed) return;
    const response = this.#response as Http2ServerResponse;
    if (response.headersSent) return;
    for (const name of response.getHeaderNames()) response.removeHeader(name);
  }

  #letGo(): void {
    const { onGone } = this;
    this.onGone = undefined;
    onGone?.();
  }

  #writeHead(status: number, fields: string[]): void {
    if (this.http2) {
      (this.#response as Http2ServerResponse).writeHead(status, http2Fields(fields));
    } else {
      if (this.closeAfter || this.connection.isLast || !this.plane.keepAlive) {
        fields.push('Connection', 'close');
      }
      (this.#response as ServerResponse).writeHead(status, fields);
    }
    this.status = status;
  }

  #watchReader(): void {
    clearTimeout(this.#stall);
    this.#stall = setTimeout(() => this.breakOff('aborted'), this.plane.idleBodyTimeoutMs);
  }

  /** Closing at once would reset the connection under an answer that is still on its way (RFC 9112 section 9.6). */
  #discardRest(): void {
    if (this.http2) {
      const { stream } = this.request as Http2ServerRequest;
      stream.once('finish', () => stream.close(constants.NGHTTP2_NO_ERROR));
      return;
    }
    const socket: Socket = this.request.socket;
    const { request } = this;
    let left = DISCARD_BYTES;
    const timer = setTimeout(() => socket.destroy(), DISCARD_MS);
    request.on('data', (chunk: Buffer) => {
      left -= chunk.length;
      if (left < 0) socket.destroy();
    });
    request.on('close', () => clearTimeout(timer));
    request.on('end', () => clearTimeout(timer));
    request.resume();
  }
}

function http2Fields(fields: readonly string[]): OutgoingHttpHeaders {
  const headers: Record<string, string | string[]> = Object.create(null) as Record<string, string>;
  for (let index = 0; index < fields.length; index += 2) {
    const name = (fields[index] ?? '').toLowerCase();
    const value = fields[index + 1] ?? '';
    const earlier = headers[name];
    headers[name] =
      earlier === undefined
        ? value
        : Array.isArray(earlier)
          ? [...earlier, value]
          : [earlier, value];
  }
  return headers;
}
