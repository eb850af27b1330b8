/**
 * Why an outgoing call failed, in words fit for a log: place and reason, never userinfo, path, query, a header or bytes of the answer.
 */

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
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet',
  CERT_REVOKED: 'its certificate is revoked',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another host name',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed and not in the trust store',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate authority is not in the trust store',
  UNABLE_TO_GET_ISSUER_CERT: 'its certificate authority is not in the trust store',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its certificate authority is not in the trust store',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate authority is not in the trust store',
  CERT_UNTRUSTED: 'its certificate is not trusted',
  INVALID_PURPOSE: 'its certificate is not made for this purpose',
  INVALID_CA: 'its certificate authority is not one that may sign',
  CERT_SIGNATURE_FAILURE: 'the signature of its certificate is wrong',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'it does not speak TLS',
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: 'it asks for a client certificate',
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE: 'it refused the TLS handshake',
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: 'it does not trust our client certificate',
};

/** The Error to hand to the caller. It has no `cause`: undici's carry bytes of the answer. */
export function explainFailure(url: URL, error: unknown): Error {
  const place = hostAndPort(url);
  if (error instanceof HttpFailure) return new Error(`${place}: ${error.message}`);
  const code = codeOf(error);
  const reason =
    REASONS[code] ?? (/^HPE_|^HTTPParserError$/.test(code) ? 'the answer is not HTTP' : undefined);
  return new Error(`${place}: ${reason ?? 'the call failed'} (${code})`);
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  if ('code' in error && typeof error.code === 'string') return error.code;
  // Several addresses of one name were tried: the first one's reason stands for all.
  if (error instanceof AggregateError) return codeOf(error.errors[0]);
  return error.name;
}
