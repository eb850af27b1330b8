import type { IncomingMessage } from 'node:http';
import { activeToken } from './introspect-token.ts';
import { OAuthError } from './oauth-error.ts';
import { type Answer, NO_STORE } from './router.ts';
import type { ServiceState } from './service-state.ts';

/** `GET|POST /oauth2/userinfo`: whose bearer token this is (RFC 6750 section 2.1). */
export function userInfo(state: ServiceState, request: IncomingMessage): Promise<Answer> {
  const header = request.headersDistinct['authorization'] ?? [];
  if (header.length === 0) throw bearerRefused(undefined);
  const text = /^bearer +([A-Za-z0-9._~+/-]+=*)$/i.exec(header[0] ?? '')?.[1];
  if (header.length > 1 || text === undefined) throw bearerRefused('invalid_request');
  const token = activeToken(state, text);
  if (token === undefined) throw bearerRefused('invalid_token');
  return Promise.resolve({ status: 200, headers: NO_STORE, body: { sub: token.subject } });
}

/** Section 3: no error code where no credentials were offered. */
function bearerRefused(error: 'invalid_request' | 'invalid_token' | undefined): OAuthError {
  const challenge = 'Bearer realm="Portcullis token service"';
  return new OAuthError(
    error === 'invalid_request' ? 400 : 401,
    error ?? 'invalid_token',
    error === 'invalid_request'
      ? 'The Authorization header is malformed'
      : 'A live access token is needed',
    {
      headers: {
        'WWW-Authenticate': error === undefined ? challenge : `${challenge}, error="${error}"`,
      },
    },
  );
}

/**
 * `GET /oauth2/authorize`. There is no interactive grant and no registered redirection URI, so the refusal is shown here and never sent on
 * to the URI of the request (RFC 6749 section 4.1.2.1).
 */
export function authorize(request: IncomingMessage): Promise<Answer> {
  const query = new URLSearchParams(request.url?.split('?', 2)[1] ?? '');
  const missing = ['response_type', 'client_id'].find((name) => !query.get(name));
  throw missing === undefined
    ? new OAuthError(400, 'unsupported_response_type', 'This service has no interactive grant')
    : new OAuthError(400, 'invalid_request', `${missing} is missing`);
}
