/**
 * Why an outgoing call failed, in words fit for a log: place and reason, never userinfo, path, query, a header or bytes of the answer.
 */

import { tlsFailure } from './tls-failure.ts';

/** A reason that this room found itself (a bound, a deadline, an abort). */
export class HttpFailure extends Error {}

/** `host:port` of a URL, the default port spelled out. */
export function hostAndPort(url: URL): string {
  const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port;
  return `${url.hostname}:${port}`;
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection was refused',
  ENOTFOUND: 'the host name is unknown',
  EAI_AGAIN: 'the host name cannot be looked up now',
  EHOSTUNREACH: 'the host cannot be reached',
  ENETUNREACH: 'the network cannot be reached',
  ETIMEDOUT: 'connecting timed out',
  UND_ERR_CONNECT_TIMEOUT: 'connecting timed out',
  ECONNRESET: 'the other side closed the connection',
  EPIPE: 'the other side closed the connection',
  UND_ERR_SOCKET: 'the other side closed the connection',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'the answer ended early',
  UND_ERR_HEADERS_OVERFLOW: 'the head of the answer is too large',
};

const NOT_HTTP = 'the answer is not HTTP';

/** The Error to hand to the caller. It has no `cause`: undici's carry bytes of the answer. */
export function explainFailure(url: URL, error: unknown): Error {
  const place = hostAndPort(url);
  if (error instanceof HttpFailure) return new Error(`${place}: ${error.message}`);
  const { code, words } = wordsFor(error);
  return new Error(`${place}: ${words ?? 'the call failed'} (${code})`);
}

function wordsFor(error: unknown): { readonly code: string; readonly words?: string | undefined } {
  if (!(error instanceof Error)) return { code: 'unknown' };
  const tls = tlsFailure(error);
  if (tls !== undefined) return tls;
  if ('code' in error && typeof error.code === 'string') {
    const { code } = error;
    return { code, words: REASONS[code] ?? (code.startsWith('HPE_') ? NOT_HTTP : undefined) };
  }
  // Several addresses of one name were tried: the first one's reason stands for all.
  if (error instanceof AggregateError) return wordsFor(error.errors[0]);
  const { name } = error;
  return { code: name, words: name === 'HTTPParserError' ? NOT_HTTP : undefined };
}
