import {
  constants,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type OutgoingHttpHeaders,
} from 'node:http2';
import type { Socket } from 'node:net';
import { GIVEN_AWAY_BYTES } from '../../http1/wire.ts';
import type { ClientListener, ClientSide } from '../client-side.ts';
import { StreamBody } from './stream-body.ts';

/** A request of node:http2. */
export class Http2Client implements ClientSide {
  readonly method: string;
  readonly target: string;
  readonly version = '2.0';
  readonly fields: readonly string[];
  readonly body: StreamBody | undefined;
  readonly expectsContinue: boolean;
  readonly canSwitch = false;
  declare listener: ClientListener;
  readonly #request: Http2ServerRequest;
  readonly #response: Http2ServerResponse;
  /** Milliseconds that the client may take nothing of its answer. */
  readonly #stallMs: number;
  #stall: NodeJS.Timeout | undefined;
  #waiting = false;

  constructor(
    request: Http2ServerRequest,
    response: Http2ServerResponse,
    expectsContinue: boolean,
    stallMs: number,
  ) {
    this.method = request.method;
    this.target = request.url ?? ''; // CONNECT has none
    this.fields = request.rawHeaders;
    this.body = request.stream.endAfterHeaders ? undefined : new StreamBody(request, -1);
    this.expectsContinue = expectsContinue;
    this.#request = request;
    this.#response = response;
    this.#stallMs = stallMs;
    response.on('close', () => this.#closed());
  }

  get bodyRead(): boolean {
    return this.#request.complete;
  }

  writeContinue(): void {
    this.#response.writeContinue();
  }

  writeHead(status: number, fields: readonly string[], length: number): void {
    const headers = http2Fields(fields);
    if (length >= 0 && status !== 204) headers['content-length'] = String(length);
    try {
      this.#response.writeHead(status, headers);
    } catch (error) {
      this.#forgetHead();
      throw error;
    }
  }

  write(chunk: Uint8Array): boolean {
    if (this.#response.write(owned(chunk))) return true;
    this.#watchReader();
    if (!this.#waiting) {
      this.#waiting = true;
      this.#response.once('drain', () => this.#drained());
    }
    return false;
  }

  flush(): void {
    // node:http2 keeps nothing back.
  }

  end(chunk?: Uint8Array | string): void {
    const { stream } = this.#response;
    if (chunk === undefined) this.#response.end();
    else this.#response.end(typeof chunk === 'string' ? chunk : owned(chunk));
    if (stream.writableLength > 0) this.#watchReader();
    if (this.body !== undefined && !this.#request.readableEnded) {
      // The client need not send what nobody reads (RFC 9113 section 8.1).
      stream.once('finish', () => stream.close(constants.NGHTTP2_NO_ERROR));
    }
  }

  breakOff(): void {
    this.#request.stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }

  switchProtocols(): { readonly socket: Socket; readonly early: readonly Buffer[] } {
    throw new Error('HTTP/2 switches to nothing');
  }

  /** A head that node:http2 refuses stays in its response, field by field, and would be refused again with the next. */
  #forgetHead(): void {
    const response = this.#response;
    if (response.headersSent || response.stream.destroyed) return;
    for (const name of response.getHeaderNames()) response.removeHeader(name);
  }

  #watchReader(): void {
    clearTimeout(this.#stall);
    this.#stall = setTimeout(() => this.breakOff(), this.#stallMs);
  }

  #drained(): void {
    this.#waiting = false;
    clearTimeout(this.#stall);
    this.listener.onDrain();
  }

  #closed(): void {
    clearTimeout(this.#stall);
    this.listener.onClose();
  }
}

/** node:http2 keeps what it is given until it is sent, and small chunks are only lent. */
function owned(chunk: Uint8Array): Uint8Array {
  return chunk.length < GIVEN_AWAY_BYTES ? Buffer.from(chunk) : chunk;
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
