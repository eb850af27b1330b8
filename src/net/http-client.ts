/**
 * The gateway's own outgoing calls (key sets, introspection, stores, event stream): TLS checked, time and size bounded, redirects never
 * followed. Not for the data plane, which streams (gateway/forward.ts).
 */
export interface HttpClientOptions {
  /** PEM certificates to trust instead of Node's own roots. */
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
  /** One bounded exchange. Rejects with an Error without secrets: unreachable, certificate, timed out, too large. */
  request(request: HttpRequest): Promise<HttpAnswer>;
  /**
   * An answer that goes on (watch, server-sent events): resolves when its head arrived, then yields body chunks until the other side
   * ends, `signal` aborts, or nothing came for `idleTimeoutMs`. `timeoutMs` bounds only the wait for the head; `maxBytes` does not apply.
   */
  stream(request: HttpRequest & { readonly idleTimeoutMs: number }): Promise<{
    readonly status: number;
    readonly headers: HttpAnswer['headers'];
    readonly body: AsyncIterable<Uint8Array>;
  }>;
  close(): Promise<void>;
}
