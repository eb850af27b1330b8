import { GrammarError, TOO_MANY_BYTES } from '../http1/refusal.ts';
import { tlsFailure, type TlsMatter } from '../net/tls-failure.ts';

/** What mends it, with the key of micro-gw.conf where there is one. */
const REMEDIES: Readonly<Record<TlsMatter, string>> = {
  trust: 'add it to listenerConfig.trustStorePath',
  'host name': 'write the endpoint with a name that is in its certificate',
  'client certificate':
    'set httpClients.sslConfig.keyStorePath to a key store with one that it takes',
  handshake: 'it may ask for a client certificate (httpClients.sslConfig.keyStorePath)',
  'version of HTTP': 'x-portcullis-http2: true in the API definition has it called over HTTP/2',
  'no TLS': 'write the endpoint with http://',
};

/** What lets a larger head of an answer through. */
export const RAISE_HEAD_SIZE = 'raise httpClients.responseLimits.maxHeaderSize';

/** Where several addresses were tried, what the first of them said. */
export function firstOf(error: Error): NodeJS.ErrnoException {
  const first = error instanceof AggregateError ? (error.errors[0] as unknown) : undefined;
  return first instanceof Error ? first : error;
}

/** Why a call to an upstream failed, for the log: what its error says, with the code, and what mends it. */
export function reason(error: Error): string {
  const first = firstOf(error);
  const tls = tlsFailure(first);
  if (tls !== undefined) {
    const remedy = tls.matter === undefined ? '' : `: ${REMEDIES[tls.matter]}`;
    return `${tls.words}${remedy} (${tls.code})`;
  }
  const { code, message } = first;
  if (code === 'UND_ERR_HEADERS_OVERFLOW') return `${TOO_MANY_BYTES}: ${RAISE_HEAD_SIZE}`;
  if (first instanceof GrammarError) {
    return message === TOO_MANY_BYTES ? `${message}: ${RAISE_HEAD_SIZE}` : message;
  }
  return code === undefined ? message : `${code} ${message}`;
}
