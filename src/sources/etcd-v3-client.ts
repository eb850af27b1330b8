import type { HttpClient } from '../net/http-client.ts';
import { isJsonObject, parseJson, quoted, statusReason, type JsonObject } from './json-answer.ts';
import { type SourceCredentials } from './source-address.ts';

/** gRPC status codes that the JSON gateway hands on. */
const INVALID_ARGUMENT = 3;
const PERMISSION_DENIED = 7;
const FAILED_PRECONDITION = 9;
const UNAUTHENTICATED = 16;

/** etcd refused a call. `code` is the gRPC status code, where it said one. */
export class EtcdRefusal extends Error {
  readonly code: number | undefined;

  constructor(message: string, code: number | undefined) {
    super(message);
    this.name = 'EtcdRefusal';
    this.code = code;
  }

  /** The user may not read or write there. */
  get forbidden(): boolean {
    return this.code === PERMISSION_DENIED;
  }
}

export interface EtcdV3ClientOptions {
  readonly http: HttpClient;
  /** Where the JSON gateway is, as `https://localhost:2379/v3`. */
  readonly gateway: string;
  readonly credentials: SourceCredentials | undefined;
}

interface CallLimits {
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
  readonly maxBytes?: number;
}

/** One endpoint of etcd's API v3 through its JSON gateway. Logs in by itself, and again when its log-in has expired. */
export class EtcdV3Client {
  readonly #options: EtcdV3ClientOptions;
  #token: string | undefined;
  /** The server has no authentication, though there are credentials. */
  #open = false;

  constructor(options: EtcdV3ClientOptions) {
    this.#options = options;
  }

  /** One call. @throws EtcdRefusal, or the Error of the HTTP client */
  async call(path: string, body: JsonObject, limits: CallLimits = {}): Promise<JsonObject> {
    const token = await this.#logIn(limits.signal);
    try {
      return await this.#send(path, body, limits, token);
    } catch (error) {
      const expired = error instanceof EtcdRefusal && error.code === UNAUTHENTICATED;
      if (!expired || this.#options.credentials === undefined) throw error;
      this.forgetLogIn();
      return this.#send(path, body, limits, await this.#logIn(limits.signal));
    }
  }

  /** Opens an answer that goes on, as the one of `/watch`. The log-in is checked only here, so it is made anew. */
  async stream(
    path: string,
    body: JsonObject,
    limits: { readonly signal: AbortSignal; readonly idleTimeoutMs: number },
  ): Promise<AsyncIterable<Uint8Array>> {
    this.forgetLogIn();
    const token = await this.#logIn(limits.signal);
    const request = this.#request(path, body, token);
    const answer = await this.#options.http.stream({ ...request, ...limits });
    if (answer.status !== 200)
      throw new EtcdRefusal(`etcd: ${statusReason(answer.status)}`, undefined);
    return answer.body;
  }

  /** The next call logs in again. */
  forgetLogIn(): void {
    this.#token = undefined;
    this.#open = false;
  }

  /** The token to call with, which another call may forget meanwhile; undefined where none is needed. */
  async #logIn(signal: AbortSignal | undefined): Promise<string | undefined> {
    const { credentials } = this.#options;
    if (credentials === undefined || this.#token !== undefined || this.#open) return this.#token;
    try {
      const { username, password } = credentials;
      const answer = await this.#send(
        '/auth/authenticate',
        { name: username, password },
        { ...(signal && { signal }) },
        undefined,
      );
      const token = answer['token'];
      if (typeof token !== 'string' || token === '')
        throw new EtcdRefusal("etcd's log-in gave no token", undefined);
      this.#token = token;
      return token;
    } catch (error) {
      if (!(error instanceof EtcdRefusal)) throw error;
      if (error.code === INVALID_ARGUMENT)
        throw new EtcdRefusal('etcd refuses the user name or password', error.code);
      if (error.code !== FAILED_PRECONDITION) throw error;
      // "authentication is not enabled": the credentials of the default configuration do no harm then.
      this.#open = true;
      return undefined;
    }
  }

  #request(path: string, body: JsonObject, token: string | undefined) {
    return {
      method: 'POST',
      url: this.#options.gateway + path,
      headers: {
        'content-type': 'application/json',
        ...(token !== undefined && { authorization: token }),
      },
      body: JSON.stringify(body),
    } as const;
  }

  async #send(
    path: string,
    body: JsonObject,
    limits: CallLimits,
    token: string | undefined,
  ): Promise<JsonObject> {
    const request = this.#request(path, body, token);
    const answer = await this.#options.http.request({ ...request, ...limits });
    const value = parseJson(answer.body);
    if (answer.status === 200 && isJsonObject(value)) return value;
    if (answer.status === 200) throw new Error("etcd's answer is cut off or not etcd's");
    throw refusalOf(value, `etcd: ${statusReason(answer.status)}`);
  }
}

/** The refusal in a body of the gateway: `{"error": ..., "code": ...}`, or `{"error": {"grpc_code": ..., "message": ...}}` in a stream. */
export function refusalOf(value: unknown, fallback: string): EtcdRefusal {
  if (!isJsonObject(value)) return new EtcdRefusal(fallback, undefined);
  const nested = value['error'];
  const [text, code] = isJsonObject(nested)
    ? [nested['message'], nested['grpc_code']]
    : [nested ?? value['message'], value['code']];
  return new EtcdRefusal(
    typeof text === 'string' ? `etcd: ${quoted(text)}` : fallback,
    typeof code === 'number' ? code : undefined,
  );
}

export function toBase64(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64');
}

/** The 64-bit integers of the gateway are JSON strings, and absent when zero. Undefined for what is none, or too large for a Number. */
export function int64(value: unknown): number | undefined {
  if (value === undefined) return 0;
  if (typeof value !== 'string' && typeof value !== 'number') return undefined;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : undefined;
}
