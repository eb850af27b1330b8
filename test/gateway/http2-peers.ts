import { once } from 'node:events';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  createSecureServer,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type SecureServerOptions,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import type { GatewayOptions } from '../../src/gateway/options.ts';
import type { Owner } from '../support/product.ts';
import { localCertificate, stage, type Stage } from './stage.ts';

export interface Http2Upstream {
  readonly url: string;
  readonly port: number;
  readonly sessions: Set<ServerHttp2Session>;
  /** Sessions that there have been. */
  readonly count: () => number;
}

/** An upstream that speaks HTTP/2: without TLS (prior knowledge), or with it. */
export async function http2Upstream(
  t: Owner,
  serve: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, raw: string[]) => void,
  options: SecureServerOptions = {},
): Promise<Http2Upstream> {
  const secure = options.cert !== undefined;
  const server: Http2Server = secure ? createSecureServer(options) : createServer(options);
  const sessions = new Set<ServerHttp2Session>();
  let count = 0;
  server.on('session', (session) => {
    count++;
    sessions.add(session);
    session.on('error', () => undefined).on('close', () => sessions.delete(session));
  });
  server.on('stream', (stream, headers, _flags, raw: string[]) => {
    stream.on('error', () => undefined);
    serve(stream, headers, raw);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(async () => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const url = `${secure ? 'https://localhost' : 'http://127.0.0.1'}:${port}`;
  return { url, port, sessions, count: () => count };
}

/** A gateway with a TLS listener, and a client that speaks HTTP/2 to it. */
export async function http2Stage(
  t: TestContext,
  options: Partial<GatewayOptions>,
): Promise<Stage & { readonly session: ClientHttp2Session }> {
  const tls = await localCertificate();
  const staged = await stage(t, {
    listeners: [{ kind: 'https', host: '127.0.0.1', port: 0, tls }],
    ...options,
  });
  const session = connect(`https://localhost:${staged.port}`, { ca: tls.cert });
  session.on('error', () => undefined);
  t.after(() => session.destroy());
  await once(session, 'connect');
  return { ...staged, session };
}

/** What came on a client's stream so far. */
export class Received {
  readonly stream: ClientHttp2Stream;
  headers: IncomingHttpHeaders | undefined;
  /** The head ended the stream. */
  headOnly = false;
  trailers: IncomingHttpHeaders | undefined;
  body = Buffer.alloc(0);
  /** The answer was ended by END_STREAM. */
  whole = false;

  constructor(stream: ClientHttp2Stream) {
    this.stream = stream;
    const push = stream.push.bind(stream);
    stream.push = (chunk: unknown, encoding?: BufferEncoding) => {
      if (chunk === null && !stream.closed) this.whole = true;
      return push(chunk, encoding);
    };
    stream
      .on('response', (headers, flags) => {
        this.headers = headers;
        this.headOnly = (flags & 1) !== 0;
      })
      .on('trailers', (headers: IncomingHttpHeaders) => {
        this.trailers = headers;
      })
      .on('data', (chunk: Buffer) => (this.body = Buffer.concat([this.body, chunk])))
      .on('error', () => undefined);
  }

  async closed(): Promise<this> {
    if (!this.stream.destroyed) {
      await new Promise((resolve) => this.stream.once('close', resolve));
    }
    return this;
  }

  /** Messages with gRPC's five bytes before each: compressed or not, and the length. */
  get messages(): string[] {
    const messages: string[] = [];
    for (let at = 0; at + 5 <= this.body.length;) {
      const end = at + 5 + this.body.readUInt32BE(at + 1);
      if (end > this.body.length) break;
      messages.push(this.body.toString('utf8', at + 5, end));
      at = end;
    }
    return messages;
  }
}

export function message(text: string): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(Buffer.byteLength(text), 1);
  return Buffer.concat([prefix, Buffer.from(text)]);
}

/** A call as gRPC's clients make it; the request is left open. */
export function grpcCall(
  session: ClientHttp2Session,
  path: string,
  more: OutgoingHttpHeaders = {},
): Received {
  return new Received(
    session.request(
      {
        ':method': 'POST',
        ':path': path,
        te: 'trailers',
        'content-type': 'application/grpc',
        'grpc-timeout': '30S',
        'x-data-bin': 'AAEC',
        ...more,
      },
      { endStream: false },
    ),
  );
}
