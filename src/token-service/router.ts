import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Log } from '../log.ts';
import { OAuthError, unavailable } from './oauth-error.ts';

/** RFC 6749 section 5.1: answers with tokens, or about them, are kept nowhere. */
export const NO_STORE: Readonly<Record<string, string>> = {
  'Cache-Control': 'no-store',
  Pragma: 'no-cache',
};

/** What an endpoint answers; a body becomes JSON. */
export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/** Answers, or writes the response itself and resolves to undefined. Refuses by rejecting with an {@link OAuthError}. */
export type Endpoint = (
  request: IncomingMessage,
  response: ServerResponse,
) => Promise<Answer | undefined> | Answer;

/** Path to method to endpoint. Paths match exactly; a GET serves HEAD too. */
export type Routes = Readonly<Record<string, Readonly<Partial<Record<'GET' | 'POST', Endpoint>>>>>;

/** The request handler of a listener with these routes. It never rejects, whatever comes in. */
export function route(
  routes: Routes,
  log: Log,
): (request: IncomingMessage, response: ServerResponse) => void {
  const table = new Map(Object.entries(routes));
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = request.url?.split('?', 1)[0] ?? '';
    const methods = table.get(path);
    if (methods === undefined) {
      send(response, { status: 404, body: { error: 'not_found' } });
      return;
    }
    const method = request.method === 'HEAD' ? 'GET' : request.method;
    const endpoint = method === 'GET' || method === 'POST' ? methods[method] : undefined;
    if (endpoint === undefined) {
      const allow = Object.keys(methods).join(', ');
      send(response, {
        status: 405,
        headers: { Allow: allow },
        body: { error: 'method_not_allowed' },
      });
      return;
    }
    const result = await endpoint(request, response);
    if (result !== undefined) send(response, result);
  };
  return (request, response) => {
    answer(request, response).catch((error: unknown) => {
      if (leftBy(error)) {
        log.debug('TokenService', 'a client left in the middle of its request');
        response.destroy();
        return;
      }
      const refusal = refusalOf(error, log);
      if (response.headersSent) {
        // Part of an answer is out: cut off, it looks broken; ended, it would look whole.
        response.destroy();
        return;
      }
      send(response, {
        status: refusal.status,
        headers: { ...NO_STORE, ...refusal.headers },
        body: { error: refusal.error, error_description: refusal.description },
      });
    });
  };
}

/** What a stream to or from a client fails with when that client is gone. */
const GONE = new Set(['ECONNRESET', 'EPIPE', 'ERR_STREAM_PREMATURE_CLOSE']);

function leftBy(error: unknown): boolean {
  return error instanceof Error && 'code' in error && GONE.has(String(error.code));
}

function refusalOf(error: unknown, log: Log): OAuthError {
  if (error instanceof OAuthError) return error;
  log.error(
    'TokenService',
    `a request failed: ${error instanceof Error ? error.message : String(error)}`,
  );
  return unavailable('The request could not be answered now', error);
}

function send(response: ServerResponse, { status, headers, body }: Answer): void {
  const text = body === undefined ? '' : JSON.stringify(body);
  response.writeHead(status, {
    'Content-Length': Buffer.byteLength(text),
    ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
    ...headers,
  });
  response.end(text);
}
