import { constants } from 'node:crypto';
import type { TlsOptions } from 'node:tls';
import type { ListenerTls } from './options.ts';

/** AEAD with forward secrecy only: Node's own list still has CBC and ARIA. */
const CIPHERS = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_128_GCM_SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
].join(':');

/** What every TLS listener is made with, and again when its certificate changes. */
export function tlsContext(tls: ListenerTls) {
  const older = tls.versions?.includes('1.2') ?? true;
  const newer = !older || (tls.versions?.includes('1.3') ?? true);
  return {
    cert: tls.cert,
    key: tls.key,
    ...(tls.ticketKeys === undefined ? {} : { ticketKeys: Buffer.from(tls.ticketKeys) }),
    minVersion: older ? 'TLSv1.2' : 'TLSv1.3',
    maxVersion: newer ? 'TLSv1.3' : 'TLSv1.2',
    ciphers: CIPHERS,
    honorCipherOrder: true,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION, // each costs a signature, and nobody needs one
  } as const satisfies TlsOptions;
}
