import { type ClientHttp2Stream, constants, type IncomingHttpHeaders } from 'node:http2';
import type { BodySink } from '../http1/body.ts';
import { FIELD_OVERHEAD, MAX_INTERIM } from '../http1/rules.ts';
import { type Clock, GIVEN_AWAY_BYTES } from '../http1/wire.ts';
import { BoundedWrites } from './bounded-writes.ts';
import { RAISE_HEAD_SIZE, reason } from './failure-reason.ts';
import { codeName, followEnding } from './http2-ending.ts';
import { MAX_FIELDS, type UpstreamSession } from './http2-session.ts';
import type { Http2Sessions } from './http2-sessions.ts';
import { joinReads } from './joined-reads.ts';
import { type CallOutlet, OriginCall, refused } from './origin-call.ts';
import type {
  OpenCall,
  UpstreamAnswer,
  UpstreamFailure,
  UpstreamRequest,
} from './upstream-side.ts';

/** What the calls of one origin share. Milliseconds. */
export interface Http2Outlet extends CallOutlet<Http2Call> {
  readonly scheme: 'http' | 'https';
  readonly authority: string;
  readonly sessions: Http2Sessions;
  readonly clock: Clock;
  /** Bytes of an answer's head, as they count in HTTP/1.1. */
  readonly maxHeaderSize: number;
}

/** One request to an upstream as a stream of HTTP/2 (RFC 9113 section 8.1), from the wish for a connection to the end of its answer. */
export class Http2Call extends OriginCall<Http2Outlet> implements OpenCall, BodySink {
  readonly #request: UpstreamRequest;
  /** Gives up the wait for a connection. */
  #cancel: (() => void) | undefined;
  #session: UpstreamSession | undefined;
  #stream: ClientHttp2Stream | undefined;
  #writes: BoundedWrites | undefined;
  /** The session had calls before this one. */
  #kept = false;
  #whole: () => boolean = never;
  #headed = false;
  #interim = 0;
  #trailers: readonly string[] = [];
  /** What was said when it broke. */
  #error: Error | undefined;
  /** When a byte of the body came or went last. Milliseconds. */
  #movedMs = 0;
  /** When the last of the request went out; 0: it has not. */
  #sentMs = 0;
  #flushing = false;
  /** The stream is reset from here. */
  #left = false;

  constructor(outlet: Http2Outlet, request: UpstreamRequest, answer: UpstreamAnswer) {
    super(outlet, answer);
    this.#request = request;
  }

  /** @param fresh on the youngest connection */
  start(fresh: boolean): void {
    const cancel = this.outlet.sessions.take(
      (session) => this.#send(session),
      (failure) => this.fail(failure),
      fresh,
    );
    this.#cancel = cancel;
  }

  resume(): void {
    if (this.over) return;
    this.#movedMs = this.#nowMs;
    this.#stream?.resume();
  }

  abort(): void {
    if (this.finish()) this.#leave(constants.NGHTTP2_CANCEL);
  }

  /** Looks for what is past its deadline. */
  sweep(nowMs: number): void {
    const stream = this.#stream;
    if (stream === undefined) return; // the sessions look after it
    const { headMs, idleBodyMs } = this.outlet;
    if (stream.writableLength > 0) {
      if (nowMs - this.#movedMs >= idleBodyMs) {
        this.#timeOut(`nothing of the request was taken for ${idleBodyMs} ms`);
      }
    } else if (this.#headed) {
      if (!stream.isPaused() && nowMs - this.#movedMs >= idleBodyMs) {
        this.#timeOut(`nothing of the body for ${idleBodyMs} ms`);
      }
    } else if (stream.writableFinished) {
      if (this.#sentMs === 0) this.#sentMs = nowMs;
      if (nowMs - this.#sentMs >= headMs) this.#timeOut(`no answer within ${headMs} ms`);
    }
  }

  // Of the request's body.

  onData(chunk: Uint8Array): boolean {
    const stream = this.#stream;
    const writes = this.#writes;
    if (this.over || stream === undefined || writes === undefined) return true;
    if (stream.destroyed || stream.closed) return true;
    this.#movedMs = this.#nowMs;
    // node:http2 keeps what it is given until it is sent, and small chunks are only lent.
    return writes.write(chunk.length < GIVEN_AWAY_BYTES ? Buffer.from(chunk) : chunk);
  }

  onEnd(): void {
    if (!this.over) this.#stream?.end();
  }

  onError(cause: Error): void {
    this.#refuse({ kind: 'broken', detail: cause.message, replayable: false, cause });
  }

  // Of the stream. Whatever the answer throws is the end of this call, and of nothing else.

  #onResponse(headers: IncomingHttpHeaders, flags: number, raw: readonly string[]): void {
    if (this.over || this.#stream === undefined) return;
    this.#heard();
    this.#headed = true;
    try {
      const fields = this.#readFields(raw);
      const length = headers['content-length'];
      const go = this.answer.onHead(
        Number(headers[':status']),
        fields,
        length === undefined ? -1 : Number(length),
      );
      if ((flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0) {
        // In the same turn, so that a head that is all of an answer can stay so: gRPC's Trailers-Only.
        this.#stream.resume();
        this.#complete();
        return;
      }
      this.#stream
        .on('data', (chunk: Buffer) => this.#onChunk(chunk))
        .on('trailers', (_headers, _flags, raw: string[]) => {
          this.#trailers = raw;
        })
        .on('end', () => {
          if (this.#whole()) this.#complete();
        });
      if (!go) this.#stream.pause();
      this.#flushSoon();
    } catch (error) {
      this.#refuse(refused(error));
    }
  }

  #onChunk(chunk: Buffer): void {
    if (this.over) return;
    this.#heard();
    try {
      if (!this.answer.onData(chunk)) this.#stream?.pause();
    } catch (error) {
      this.#refuse(refused(error));
      return;
    }
    this.#flushSoon();
  }

  #onInterim(): void {
    this.#heard();
    if (++this.#interim > MAX_INTERIM) this.#refuse(refused(new Error('too many interim answers')));
  }

  #onClose(session: UpstreamSession, stream: ClientHttp2Stream): void {
    this.outlet.sessions.release(session);
    if (this.over) return;
    const { rstCode } = stream;
    const { lastStream } = session;
    const unseen =
      rstCode === constants.NGHTTP2_REFUSED_STREAM ||
      (lastStream !== undefined && Number(stream.id) > lastStream);
    const { code } = (this.#error ?? {}) as NodeJS.ErrnoException;
    const lost =
      code?.startsWith('ERR_HTTP2_STREAM') === true
        ? undefined
        : this.#error && reason(this.#error);
    // Nothing was said before: an error of HTTP/2 was, and a GOAWAY that includes the stream says that it may have been looked at.
    const closed = session.session.destroyed && lastStream === undefined && !isOfHttp2(code);
    // So ends one whose head is far over its bounds: node:http2 does not hand it over.
    const calm = rstCode === constants.NGHTTP2_ENHANCE_YOUR_CALM && !this.#headed;
    const remedy = calm ? `; if the head of its answer is too large: ${RAISE_HEAD_SIZE}` : '';
    this.fail({
      kind: rstCode === constants.NGHTTP2_PROTOCOL_ERROR ? 'malformed' : 'broken',
      detail: lost ?? `the stream ended with ${codeName(rstCode)}${remedy}`,
      replayable: !this.#headed && this.#interim === 0 && (unseen || (this.#kept && closed)),
      ...(this.#error === undefined ? {} : { cause: this.#error }),
    });
  }

  // Own.

  get #nowMs(): number {
    return this.outlet.clock.nowMs;
  }

  #send(session: UpstreamSession): void {
    const { method, path, fields, body, trailers } = this.#request;
    const { scheme, authority } = this.outlet;
    const raw = [':method', method, ':path', path, ':scheme', scheme, ':authority', authority];
    raw.push(...fields);
    if (body !== undefined && body.length >= 0) raw.push('content-length', String(body.length));
    if (trailers) raw.push('te', 'trailers');
    let stream: ClientHttp2Stream;
    try {
      // Also where there are no trailers: node:http2 ends the stream before it resets it, unless there may be some, and then an upstream takes
      // what it has for a whole request.
      const endStream = body === undefined;
      stream = session.session.request(raw, { endStream, waitForTrailers: !endStream });
    } catch (error) {
      this.outlet.sessions.release(session);
      this.fail(refused(error));
      return;
    }
    this.#session = session;
    this.#stream = stream;
    this.#kept = session.served > 0;
    this.#whole = followEnding(stream);
    joinReads(stream);
    this.#movedMs = this.#nowMs;
    stream
      .on('response', (headers, flags, received) => this.#onResponse(headers, flags, received))
      .on('headers', () => this.#onInterim())
      .on('error', (error: Error) => (this.#error ??= error))
      .on('wantTrailers', () => {
        if (!this.#left && !stream.destroyed) stream.sendTrailers({});
      })
      .once('close', () => this.#onClose(session, stream));
    if (body === undefined) return;
    this.#writes = new BoundedWrites(
      stream,
      () => this.#onSent(),
      () => this.#onDrained(),
    );
    body.start(this);
  }

  #onSent(): void {
    this.#movedMs = this.#nowMs;
  }

  #onDrained(): void {
    if (!this.over) this.#request.body?.resume();
  }

  #heard(): void {
    this.#movedMs = this.#nowMs;
    if (this.#session !== undefined) this.#session.heardMs = this.#nowMs;
  }

  /** The fields of a head without its pseudo fields. @throws Error when they are over their bounds */
  #readFields(raw: readonly string[]): string[] {
    const fields: string[] = [];
    let size = 0;
    for (let at = 0; at < raw.length; at += 2) {
      const name = raw[at] ?? '';
      const value = raw[at + 1] ?? '';
      size += name.length + value.length + FIELD_OVERHEAD;
      if (!name.startsWith(':')) fields.push(name, value);
    }
    if (size > this.outlet.maxHeaderSize)
      throw new Error(`a head of ${size} bytes: ${RAISE_HEAD_SIZE}`);
    if (fields.length > 2 * MAX_FIELDS) throw new Error('too many header fields');
    return fields;
  }

  /** What one turn of the event loop brought leaves together. */
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    process.nextTick(() => {
      this.#flushing = false;
      if (!this.over) this.answer.onFlush();
    });
  }

  #complete(): void {
    if (!this.finish()) return;
    // An answer that came early ends the upload (RFC 9113 section 8.1).
    if (this.#stream?.writableEnded === false) this.#leave(constants.NGHTTP2_CANCEL);
    this.tellEnd(this.#trailers);
  }

  #timeOut(detail: string): void {
    this.#refuse({ kind: 'timeout', detail, replayable: false });
  }

  #refuse(failure: UpstreamFailure): void {
    if (!this.finish()) return;
    this.#leave(constants.NGHTTP2_CANCEL);
    this.tell(failure);
  }

  #leave(code: number): void {
    const stream = this.#stream;
    if (stream === undefined) {
      this.#cancel?.();
      return;
    }
    this.#left = true;
    // Not inside of what node:http2 calls: there it keeps RST_STREAM with CANCEL for later, and a stream that is over by then has none. Data that
    // it had left would be asked of nobody, again and again.
    setImmediate(() => {
      stream.close(code);
      stream.resume(); // what has come of it keeps the stream from closing
    });
  }

  protected override forget(): void {
    this.outlet.forget(this);
  }
}

/** Whether the other side has said something: a frame that ends the stream or the session, or what is no frame in its place. */
function isOfHttp2(code: string | undefined): boolean {
  return code?.startsWith('ERR_HTTP2_') === true && code !== 'ERR_HTTP2_STREAM_CANCEL'; // one that never left
}

function never(): boolean {
  return false;
}
