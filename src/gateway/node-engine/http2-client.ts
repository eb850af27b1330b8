import {
  constants,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import { GatewayFault } from '../../errors.ts';
import { GIVEN_AWAY_BYTES } from '../../http1/wire.ts';
import type { ClientListener, ClientSide } from '../client-side.ts';
import type { Connection } from '../connection.ts';
import type { DataPlane } from '../data-plane.ts';
import { Exchange, type Site } from '../exchange.ts';
import { handle } from '../handle.ts';
import { CONNECTION_SPECIFIC } from '../http2-fields.ts';
import type { Http2Guard } from '../http2-guard.ts';
import { joinReads } from '../joined-reads.ts';
import { reject } from '../reject.ts';
import { AnswerFlow } from './answer-flow.ts';
import { expectation, type Expects } from './expectation.ts';
import { StreamBody } from './stream-body.ts';

/** Fields of an answer that HTTP/2's readers take one of; two of them are two meanings. */
const SINGLE: ReadonlySet<string> = new Set([
  'access-control-allow-credentials',
  'access-control-max-age',
  'age',
  'content-encoding',
  'content-language',
  'content-length',
  'content-location',
  'content-range',
  'content-type',
  'date',
  'etag',
  'expires',
  'last-modified',
  'location',
  'retry-after',
  'x-content-type-options',
]);

/** Milliseconds between two looks for whether trailers have left, where the client is slow to take them. */
const SENT_MS = 50;

/** They have no place in an answer of HTTP/2 (RFC 9113 section 8.2.2). */
const CONNECTION: ReadonlySet<string> = new Set([...CONNECTION_SPECIFIC, 'te']);

/** A request of node:http2: a stream that a client has opened. */
class Http2Client implements ClientSide {
  readonly method: string;
  readonly target: string;
  readonly version = '2.0';
  readonly fields: readonly string[];
  readonly body: StreamBody | undefined;
  /** RFC 9110 section 10.1.1. */
  readonly expects: Expects;
  readonly canSwitch = false;
  declare listener: ClientListener;
  readonly #stream: ServerHttp2Stream;
  readonly #flow: AnswerFlow;
  /** The client takes trailers (RFC 9110 section 10.1.4). */
  readonly #takesTrailers: boolean;
  /** The head, until something makes it leave: where nothing follows, it ends the stream itself, as gRPC's Trailers-Only has to. */
  #head: readonly string[] | undefined;
  #trailers: readonly string[] = [];
  #broken = false;

  /**
   * @param raw name and value, alternating
   * @param flags of the frame that ended the request's head
   * @param stallMs milliseconds that the client may take nothing of its answer
   */
  constructor(stream: ServerHttp2Stream, raw: readonly string[], flags: number, stallMs: number) {
    this.fields = raw;
    this.method = field(raw, ':method') ?? '';
    this.target = field(raw, ':path') ?? ''; // CONNECT has none
    this.expects = expectation(raw);
    this.#takesTrailers = field(raw, 'te')?.toLowerCase() === 'trailers';
    this.body =
      (flags & constants.NGHTTP2_FLAG_END_STREAM) === 0 ? new StreamBody(stream, -1) : undefined;
    if (this.body !== undefined) joinReads(stream);
    this.#stream = stream;
    this.#flow = new AnswerFlow(this, stream, stallMs);
    // Whoever waits for the end of the stream learns of errors by it.
    stream.on('error', ignore).on('wantTrailers', () => this.#sendTrailers());
    stream.on('close', () => this.#flow.closed());
  }

  get expectsContinue(): boolean {
    return this.expects === 'continue';
  }

  get bodyRead(): boolean {
    return this.body === undefined || this.#stream.readableEnded;
  }

  writeContinue(): void {
    if (this.#stream.headersSent || this.#stream.destroyed) return;
    this.#stream.additionalHeaders({ ':status': 100 });
  }

  writeHead(status: number, fields: readonly string[], length: number): void {
    const head = [':status', String(status)];
    for (let at = 0; at < fields.length; at += 2) {
      head.push((fields[at] ?? '').toLowerCase(), fields[at + 1] ?? '');
    }
    if (length >= 0 && status !== 204) head.push('content-length', String(length));
    checkHead(head);
    this.#head = head;
    process.nextTick(() => this.flush());
  }

  write(chunk: Uint8Array): boolean {
    this.flush();
    if (this.#stream.writableEnded || this.#stream.destroyed) return true;
    return this.#flow.write(owned(chunk));
  }

  flush(): void {
    this.#respond(false);
  }

  end(chunk?: Uint8Array | string, trailers: readonly string[] = []): void {
    const stream = this.#stream;
    if (this.#takesTrailers) this.#trailers = trailers;
    this.#respond(chunk === undefined && this.#trailers.length === 0);
    if (stream.destroyed) return;
    if (stream.writableEnded) {
      this.#stopBody(); // the head was all of it
      return;
    }
    if (chunk === undefined) stream.end();
    else stream.end(typeof chunk === 'string' ? chunk : owned(chunk));
    if (stream.writableLength > 0) this.#flow.watch();
  }

  breakOff(): void {
    this.#head = undefined;
    this.#broken = true;
    this.body?.abandon(); // it is not the client who ends it
    this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }

  switchProtocols(): { readonly socket: Socket; readonly early: readonly Buffer[] } {
    throw new Error('HTTP/2 switches to nothing');
  }

  #respond(endStream: boolean): void {
    const head = this.#head;
    if (head === undefined) return;
    this.#head = undefined;
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    try {
      // Also where none will come: node:http2 ends the stream before it resets it, unless there may be trailers, and then a client takes what
      // it has for a whole answer.
      stream.respond(head, { endStream, waitForTrailers: !endStream });
    } catch {
      this.breakOff(); // what HTTP/2 does not allow was looked for before
    }
  }

  #sendTrailers(): void {
    const stream = this.#stream;
    if (this.#broken || stream.destroyed) return;
    try {
      stream.sendTrailers(asObject(this.#trailers));
      if (this.body !== undefined && !stream.readableEnded) this.#stopBodyWhenSent();
    } catch {
      this.breakOff();
    }
  }

  /** A reset overtakes trailers that have not left, and nothing is told when they have. */
  #stopBodyWhenSent(): void {
    setImmediate(() => {
      const stream = this.#stream;
      if (stream.destroyed) return;
      if (stream.state.localClose === 1) this.#stopBody();
      else setTimeout(() => this.#stopBodyWhenSent(), SENT_MS);
    });
  }

  /** The answer is whole: the client need not send what nobody reads (RFC 9113 section 8.1). */
  #stopBody(): void {
    const stream = this.#stream;
    if (this.body !== undefined && !stream.readableEnded) stream.close(constants.NGHTTP2_NO_ERROR);
  }
}

/** What a stream that a client opens comes to. */
interface StreamHost {
  readonly plane: DataPlane;
  readonly site: Site;
  readonly guard: Http2Guard;
  readonly connection: (session: ServerHttp2Session) => Connection;
}

/**
 * Serves a stream that a client has opened, if it can be served.
 * @param flags of the frame that ended the request's head
 * @param raw name and value, alternating
 */
export function serveStream(
  { plane, site, guard, connection }: StreamHost,
  stream: ServerHttp2Stream,
  flags: number,
  raw: readonly string[],
): void {
  const session = sessionToServe(stream, guard);
  if (session === undefined) return;
  const client = new Http2Client(stream, raw, flags, plane.idleBodyTimeoutMs);
  serve(new Exchange(plane, site, connection(session), client), client);
}

/** Its session, unless it is closed instead; its error, of which nobody else would hear, ends nothing else. */
function sessionToServe(
  stream: ServerHttp2Stream,
  guard: Http2Guard,
): ServerHttp2Session | undefined {
  stream.on('error', ignore);
  const session = stream.session as ServerHttp2Session | undefined;
  if (session === undefined || stream.destroyed) return undefined; // it ended under its first request
  if (!guard.isEnding(session)) return session;
  stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  return undefined;
}

/** The way of a request, but for what is no request here. */
function serve(exchange: Exchange, { method, expects }: Http2Client): void {
  if (method === 'CONNECT') {
    reject(exchange, new GatewayFault('methodNotAllowed', 'CONNECT is not served', { allow: '' }));
  } else if (expects === 'unknown') {
    reject(exchange, new GatewayFault('expectationFailed', 'unknown expectation'));
  } else {
    handle(exchange);
  }
}

/** @throws TypeError fields that HTTP/2 does not allow */
function checkHead(head: readonly string[]): void {
  const seen = new Set<string>();
  for (let at = 2; at < head.length; at += 2) {
    const name = head[at] ?? '';
    if (name.startsWith(':') || CONNECTION.has(name)) {
      throw new TypeError('a field that has no place in HTTP/2');
    }
    if (!SINGLE.has(name)) continue;
    if (seen.has(name)) throw new TypeError(`more than one ${name}`);
    seen.add(name);
  }
}

function field(raw: readonly string[], name: string): string | undefined {
  for (let at = 0; at < raw.length; at += 2) if (raw[at] === name) return raw[at + 1];
  return undefined;
}

function asObject(fields: readonly string[]): OutgoingHttpHeaders {
  const object = Object.create(null) as Record<string, string[]>;
  for (let at = 0; at < fields.length; at += 2) {
    (object[fields[at] ?? ''] ??= []).push(fields[at + 1] ?? '');
  }
  return object;
}

/** node:http2 keeps what it is given until it is sent, and small chunks are only lent. */
function owned(chunk: Uint8Array): Uint8Array {
  return chunk.length < GIVEN_AWAY_BYTES ? Buffer.from(chunk) : chunk;
}

function ignore(): void {
  // An 'error' event without a listener would end the process.
}
