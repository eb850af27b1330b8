import { Agent, request as send } from 'undici';
import type { Dispatcher } from 'undici';
import { HttpFailure, explainFailure, hostAndPort } from './http-failure.ts';
import { secureContext } from './secure-context.ts';

/**
 * The gateway's own outgoing calls (key sets, introspection, stores, event stream): TLS checked, time and size bounded, redirects never
 * followed. Not for the data plane, which streams (gateway/forward.ts).
 */
export interface HttpClientOptions {
  /**
   * PEM certificates to trust instead of Node's own roots. Each one is an anchor, as in a Java trust store: an intermediate or a server's own
   * certificate serves too. An empty list trusts nobody.
   */
  readonly ca?: readonly string[];
  /** PEM client certificate chain and key, for mutual TLS. */
  readonly cert?: string;
  readonly key?: string;
  /** False: any host name in a certificate is accepted (`httpClients.verifyHostname`). Default true. */
  readonly verifyHostname?: boolean;
  /** True only for `httpClients.disableSslVerification`, which the caller must have warned about. Default false. */
  readonly disableSslVerification?: boolean;
  /** Milliseconds to connect, TLS included. Default 5,000. */
  readonly connectTimeoutMs?: number;
}

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** A POST that only asks (RFC 9110 section 9.2.1), so that it may be sent twice. Default false. */
  readonly safe?: boolean;
  /** Milliseconds for the whole exchange. Default 10,000. */
  readonly timeoutMs?: number;
  /** Bytes of answer body accepted. Default 1 MiB. */
  readonly maxBytes?: number;
  readonly signal?: AbortSignal;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

export interface HttpClient {
  /**
   * One bounded exchange. Rejects with an Error without secrets (`host:port: reason`): unreachable, certificate, timed out, too large, aborted.
   * Where the connection broke before the head of the answer came, an idempotent request, or one that is said to be safe, is sent once more
   * (RFC 9110 section 9.2.2).
   */
  request(request: HttpRequest): Promise<HttpAnswer>;
  /**
   * An answer that goes on (watch, server-sent events): resolves when its head arrived, then yields body chunks until the other side
   * ends, `signal` aborts, or nothing came for `idleTimeoutMs`. `timeoutMs` bounds only the wait for the head; `maxBytes` does not apply.
   * Only a body that the other side completed ends without an Error. A body that nobody reads is closed after `idleTimeoutMs`.
   */
  stream(request: HttpRequest & { readonly idleTimeoutMs: number }): Promise<{
    readonly status: number;
    readonly headers: HttpAnswer['headers'];
    readonly body: AsyncIterable<Uint8Array>;
  }>;
  /** Closes every connection; what is under way rejects. */
  close(): Promise<void>;
}

const CONNECT_TIMEOUT_MS = 5_000;
const TIMEOUT_MS = 10_000;
const MAX_BYTES = 1024 * 1024;
/** Milliseconds of silence after which a connection goes; below the 5 s at which many servers close theirs. */
const KEEP_ALIVE_MS = 4_000;

/**
 * A client with its own connections and its own trust.
 * @throws Error when a certificate or key of the options cannot be used; it says why and shows none of them.
 *
 * **Security**: verification is explicit, so `NODE_TLS_REJECT_UNAUTHORIZED` has no say. TLS sessions are not resumed: a resumed one skips
 * the check of the host name, and the cache of them would not tell ports apart.
 */
export function createHttpClient(options: HttpClientOptions): HttpClient {
  const agent = new Agent({
    connect: {
      ...secureContext(options),
      rejectUnauthorized: options.disableSslVerification !== true,
      ...(options.verifyHostname === false && { checkServerIdentity: () => undefined }),
      timeout: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
      maxCachedSessions: 0,
    },
    keepAliveTimeout: KEEP_ALIVE_MS,
    // Deadlines are kept here, to the millisecond; undici's timers tick by the second.
    headersTimeout: 0,
    bodyTimeout: 0,
  });

  async function open(
    request: HttpRequest,
    url: URL,
    signal: AbortSignal,
  ): Promise<Dispatcher.ResponseData> {
    const attempt = () =>
      send(url, {
        dispatcher: agent,
        method: request.method,
        headers: { ...request.headers },
        body: request.body ?? null,
        signal,
      });
    try {
      return await attempt();
    } catch (error) {
      const once = request.method === 'POST' && request.safe !== true;
      if (once || signal.aborted || !isBrokenConnection(error)) throw error;
      return attempt();
    }
  }

  return {
    async request(request) {
      const url = parseTarget(request);
      const timeoutMs = request.timeoutMs ?? TIMEOUT_MS;
      const maxBytes = request.maxBytes ?? MAX_BYTES;
      const stop = stopper(request.signal);
      const timer = setTimeout(() => {
        stop.because(new HttpFailure(`no complete answer within ${timeoutMs} ms`));
      }, timeoutMs);
      try {
        stop.signal.throwIfAborted();
        const answer = await open(request, url, stop.signal);
        const body = await readBody(answer.body, maxBytes);
        return { status: answer.statusCode, headers: answer.headers, body };
      } catch (error) {
        throw explainFailure(url, error);
      } finally {
        clearTimeout(timer);
        stop.release();
      }
    },

    async stream(request) {
      const url = parseTarget(request);
      const timeoutMs = request.timeoutMs ?? TIMEOUT_MS;
      const stop = stopper(request.signal);
      const timer = setTimeout(() => {
        stop.because(new HttpFailure(`no answer within ${timeoutMs} ms`));
      }, timeoutMs);
      try {
        stop.signal.throwIfAborted();
        const answer = await open(request, url, stop.signal);
        return {
          status: answer.statusCode,
          headers: answer.headers,
          body: readChunks(answer.body, url, request.idleTimeoutMs, stop),
        };
      } catch (error) {
        stop.release();
        throw explainFailure(url, error);
      } finally {
        clearTimeout(timer);
      }
    },

    close: () => agent.destroy(new HttpFailure('the client was closed')),
  };
}

function parseTarget(request: HttpRequest): URL {
  if (!URL.canParse(request.url)) throw new Error('the URL to call is malformed');
  const url = new URL(request.url);
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw new Error(`${hostAndPort(url)}: only http and https URLs can be called`);
  }
  if (url.username !== '' || url.password !== '') {
    throw new Error(`${hostAndPort(url)}: credentials in the URL are not accepted`);
  }
  // undici takes the name for SNI and for the certificate check from this field.
  if (Object.keys(request.headers ?? {}).some((name) => name.toLowerCase() === 'host')) {
    throw new Error(`${hostAndPort(url)}: the Host field follows from the URL and cannot be set`);
  }
  return url;
}

interface Stopper {
  readonly signal: AbortSignal;
  because(failure: HttpFailure): void;
  /** Lets go of the caller's signal, which may outlive thousands of calls. */
  release(): void;
}

function stopper(outer: AbortSignal | undefined): Stopper {
  const controller = new AbortController();
  const onAbort = () => {
    controller.abort(new HttpFailure('the call was aborted'));
  };
  if (outer?.aborted === true) onAbort();
  outer?.addEventListener('abort', onAbort, { once: true });
  return {
    signal: controller.signal,
    because: (failure) => {
      controller.abort(failure);
    },
    release: () => outer?.removeEventListener('abort', onAbort),
  };
}

function isBrokenConnection(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error)) return false;
  return error.code === 'UND_ERR_SOCKET' || error.code === 'ECONNRESET' || error.code === 'EPIPE';
}

type Body = Dispatcher.ResponseData['body'];

async function readBody(body: Body, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length;
    // Leaving the loop by a throw destroys the body and its connection.
    if (size > maxBytes) throw new HttpFailure(`the answer is larger than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return new TextDecoder().decode(Buffer.concat(chunks));
}

function readChunks(
  body: Body,
  url: URL,
  idleTimeoutMs: number,
  stop: Stopper,
): AsyncIterable<Uint8Array> {
  const onIdle = () => {
    stop.because(new HttpFailure(`nothing came for ${idleTimeoutMs} ms`));
  };
  let timer = setTimeout(onIdle, idleTimeoutMs);
  // Without a listener, an abort before anybody reads would end the process.
  body.on('error', () => undefined);
  body.once('close', () => {
    clearTimeout(timer);
    stop.release();
  });

  return {
    async *[Symbol.asyncIterator]() {
      try {
        const chunks = (body as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
        for (;;) {
          clearTimeout(timer);
          timer = setTimeout(onIdle, idleTimeoutMs);
          const next = await chunks.next();
          clearTimeout(timer);
          if (next.done === true) return;
          yield next.value;
        }
      } catch (error) {
        throw explainFailure(url, error);
      } finally {
        clearTimeout(timer);
        body.destroy();
      }
    },
  };
}
