/** One operation of an OpenAPI definition, as plain data: it is written into the artifact as JSON. */
export interface Route {
  /** Upper case. */
  readonly method: string;
  /** Path template below the API's base path, as in the definition: `/pet/{petId}`. */
  readonly template: string;
  /** False only for `x-wso2-disable-security: true`. */
  readonly secured: boolean;
  /** Any one of them is enough; empty: any valid token. */
  readonly scopes: readonly string[];
  /** Upstream base URLs for production callers; empty when the API has none. Round robin. */
  readonly production: readonly string[];
  /** The same for tokens with `keytype = "SANDBOX"`. */
  readonly sandbox: readonly string[];
  /** `x-portcullis-when-stale`; absent: as configured for the whole gateway. */
  readonly whenStale?: WhenStale;
  /** `x-portcullis-http2`: its endpoints are called over HTTP/2. Absent: over HTTP/1.1. */
  readonly http2?: boolean;
  /** `x-portcullis-websocket`: false, and a handshake there is a plain request. Absent: as the edge rules say. */
  readonly webSocket?: boolean;
}

/** What becomes of a good token while revocations may have been missed: 503, a question to the key manager, or passage that is counted. */
export type WhenStale = (typeof WHEN_STALE)[number];

export const WHEN_STALE = ['deny', 'introspect', 'allow'] as const;

/** One definition of a project. */
export interface Api {
  readonly title: string;
  readonly version: string;
  /** Starts with `/`, never ends with one (the root is the empty string). */
  readonly basePath: string;
  /** File name below `api_definitions/`, for messages. */
  readonly file: string;
  readonly routes: readonly Route[];
}
