import { isIP, type TcpNetConnectOpts } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import { secureContext } from '../net/secure-context.ts';
import type { UpstreamOptions } from './options.ts';

/** Milliseconds of silence after which the kernel asks whether the other side is still there. */
const PROBE_MS = 60_000;

/** Where an origin is, and how a connection to it is begun. */
export interface UpstreamAddress {
  readonly secure: boolean;
  readonly tcp: TcpNetConnectOpts;
  readonly tls: ConnectionOptions;
}

/**
 * @param protocol what is offered by ALPN (RFC 7301), and has to be taken
 * @throws Error when a certificate or key of the options cannot be used
 */
export function upstreamAddress(
  origin: string,
  options: UpstreamOptions,
  protocol: 'http/1.1' | 'h2',
): UpstreamAddress {
  const url = new URL(origin);
  const secure = url.protocol === 'https:';
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return {
    secure,
    tcp: {
      host,
      port: url.port === '' ? (secure ? 443 : 80) : Number(url.port),
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: PROBE_MS,
    },
    tls: {
      ...secureContext(options),
      ...(isIP(host) === 0 && { servername: host }),
      ALPNProtocols: [protocol],
      rejectUnauthorized: options.disableSslVerification !== true,
      ...(options.verifyHostname === false && { checkServerIdentity: () => undefined }),
    },
  };
}
