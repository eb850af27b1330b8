/** Why a TLS connection to another server failed, in plain words instead of OpenSSL's. */

/** What of this side has to do with it, where something has. */
export type TlsMatter =
  | 'trust'
  | 'host name'
  | 'client certificate'
  | 'handshake'
  | 'version of HTTP'
  | 'no TLS';

export interface TlsFailure {
  /** `CERT_HAS_EXPIRED`, `ERR_SSL_TLSV1_ALERT_UNKNOWN_CA`. */
  readonly code: string;
  /** Of the other server: "its certificate has expired". */
  readonly words: string;
  readonly matter?: TlsMatter;
}

type Told = Omit<TlsFailure, 'code'>;

const UNTRUSTED: Told = {
  words: 'its certificate authority is not in the trust store',
  matter: 'trust',
};
const NOT_TAKEN: Told = {
  words: 'it does not take our client certificate',
  matter: 'client certificate',
};
const NO_TLS: Told = { words: 'it does not speak TLS', matter: 'no TLS' };
const OTHER_VERSION: Told = { words: 'it speaks no version of TLS that is spoken here' };

const FAILURES: Readonly<Record<string, Told>> = {
  CERT_HAS_EXPIRED: { words: 'its certificate has expired' },
  CERT_NOT_YET_VALID: { words: 'its certificate is not valid yet' },
  CERT_REVOKED: { words: 'its certificate is revoked' },
  ERR_TLS_CERT_ALTNAME_INVALID: {
    words: 'its certificate is for another host name',
    matter: 'host name',
  },
  DEPTH_ZERO_SELF_SIGNED_CERT: {
    words: 'its certificate is self-signed and not in the trust store',
    matter: 'trust',
  },
  SELF_SIGNED_CERT_IN_CHAIN: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNTRUSTED,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNTRUSTED,
  CERT_UNTRUSTED: { words: 'its certificate is not trusted' },
  INVALID_PURPOSE: { words: 'its certificate is not made for this purpose' },
  INVALID_CA: { words: 'its certificate authority is not one that may sign' },
  CERT_SIGNATURE_FAILURE: { words: 'the signature of its certificate is wrong' },
  ERR_SSL_WRONG_VERSION_NUMBER: NO_TLS,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: NO_TLS,
  ERR_SSL_UNSUPPORTED_PROTOCOL: OTHER_VERSION,
};

/** What the other server said before it ended the connection (RFC 8446 section 6.2). */
const ALERTS: Readonly<Record<string, Told>> = {
  ACCESS_DENIED: NOT_TAKEN,
  BAD_CERTIFICATE: NOT_TAKEN,
  CERTIFICATE_EXPIRED: NOT_TAKEN,
  CERTIFICATE_REVOKED: NOT_TAKEN,
  CERTIFICATE_UNKNOWN: NOT_TAKEN,
  UNKNOWN_CA: { words: 'it does not trust our client certificate', matter: 'client certificate' },
  UNSUPPORTED_CERTIFICATE: NOT_TAKEN,
  CERTIFICATE_REQUIRED: {
    words: 'it asks for a client certificate',
    matter: 'client certificate',
  },
  HANDSHAKE_FAILURE: { words: 'it refused the TLS handshake', matter: 'handshake' },
  NO_APPLICATION_PROTOCOL: {
    words: 'it does not speak the version of HTTP that it is offered',
    matter: 'version of HTTP',
  },
  PROTOCOL_VERSION: OTHER_VERSION,
  UNRECOGNIZED_NAME: { words: 'it does not know its host name', matter: 'host name' },
};

const FROM_OPENSSL = 'ERR_SSL_';
/** OpenSSL names the version of TLS that an alert was new in. */
const ALERT = /^ERR_SSL_(?:SSLV3|SSL\/TLS|TLSV1|TLSV13)_(?:ALERT_)?(\w+)$/;
/** A failed write has OpenSSL's reason in its text alone. */
const WRITTEN = /:error:[0-9A-F]{8}:SSL routines:[^:]*:([\w/ ]+):/;

/** Undefined: TLS has nothing to do with it. */
export function tlsFailure(error: Error): TlsFailure | undefined {
  const code = codeOf(error);
  const [, alert = ''] = ALERT.exec(code) ?? [];
  const told = FAILURES[code] ?? ALERTS[alert];
  if (told !== undefined) return { code, ...told };
  return code.startsWith(FROM_OPENSSL) ? { code, words: 'TLS failed' } : undefined;
}

function codeOf(error: Error): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code !== 'EPROTO') return code ?? '';
  const [, reason] = WRITTEN.exec(message) ?? [];
  // As Node makes its own codes.
  return reason === undefined ? code : FROM_OPENSSL + reason.toUpperCase().replaceAll(' ', '_');
}
