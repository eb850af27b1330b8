/** `error` codes that the endpoints answer: RFC 6749 sections 4.1.2.1 and 5.2, RFC 6750 section 3.1, RFC 7009 section 2.2.1. */
export type OAuthErrorCode =
  | 'invalid_request'
  | 'invalid_client'
  | 'invalid_scope'
  | 'invalid_token'
  | 'unsupported_grant_type'
  | 'unsupported_response_type'
  | 'temporarily_unavailable';

/**
 * One refused request, as RFC 6749 section 5.2 words it. `description` is public and a fixed text: nothing of the request is repeated in
 * it. What only the log may know travels as `cause`.
 */
export class OAuthError extends Error {
  readonly status: number;
  readonly error: OAuthErrorCode;
  readonly description: string;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    error: OAuthErrorCode,
    description: string,
    extra: { headers?: Readonly<Record<string, string>>; cause?: unknown } = {},
  ) {
    super(description, extra.cause === undefined ? undefined : { cause: extra.cause });
    this.name = 'OAuthError';
    this.status = status;
    this.error = error;
    this.description = description;
    this.headers = extra.headers ?? {};
  }
}

/** 400 `invalid_request`. */
export function invalidRequest(description: string): OAuthError {
  return new OAuthError(400, 'invalid_request', description);
}

/** 401 with the challenge that RFC 6749 section 5.2 and RFC 7617 ask for; the same words whatever was wrong. */
export function invalidClient(): OAuthError {
  return new OAuthError(401, 'invalid_client', 'Client authentication failed', {
    headers: { 'WWW-Authenticate': 'Basic realm="Portcullis token service", charset="UTF-8"' },
  });
}

/** 503 with `Retry-After`: nothing was done, and trying again is right (RFC 7009 section 2.2.1). */
export function unavailable(description: string, cause?: unknown): OAuthError {
  return new OAuthError(503, 'temporarily_unavailable', description, {
    headers: { 'Retry-After': '5' },
    cause,
  });
}
