import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { secureContext } from '../../net/http-client.ts';
import type { UpstreamOptions } from '../options.ts';
import { OwnSocket } from './own-socket.ts';
import { upstreamReads } from './upstream-reads.ts';

/** Milliseconds of silence after which the kernel asks whether the other side is still there. */
const PROBE_MS = 60_000;

/**
 * Begins a connection. One of `ready` and `failed` is called, unless it was cancelled.
 * @param lends reads into the common buffer; false: by 'data' events, as whoever takes the socket over needs
 * @returns cancels it
 */
export type Connect = (
  lends: boolean,
  ready: (socket: OwnSocket) => void,
  failed: (error: Error) => void,
) => () => void;

/**
 * Makes what opens connections to one origin.
 * @param sockets those that are open or about to be
 * @param report told what is thrown by whoever waited for one; the connection is gone then
 */
export function connector(
  origin: string,
  options: UpstreamOptions,
  sockets: Set<Socket>,
  report: (error: unknown) => void,
): Connect {
  const { protocol, hostname, port } = new URL(origin);
  const secure = protocol === 'https:';
  const host = hostname.replace(/^\[|\]$/g, '');
  const tcp = {
    host,
    port: port === '' ? (secure ? 443 : 80) : Number(port),
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: PROBE_MS,
  };
  const tls: ConnectionOptions = {
    ...secureContext(options),
    ...(isIP(host) === 0 && { servername: host }),
    ALPNProtocols: ['http/1.1'],
    rejectUnauthorized: options.disableSslVerification !== true,
    ...(options.verifyHostname === false && { checkServerIdentity: () => undefined }),
  };
  return (lends, ready, failed) => {
    let own: OwnSocket | undefined;
    const onread = upstreamReads((chunk) => own?.receive(chunk));
    const to = lends ? { ...tcp, onread } : tcp;
    const stream = secure ? connectTls({ ...to, ...tls }) : connectTcp(to);
    sockets.add(stream);
    stream.once('close', () => sockets.delete(stream));
    const settle = (tell: () => void): void => {
      try {
        tell();
      } catch (error) {
        stream.destroy();
        report(error);
      }
    };
    const onError = (error: Error): void => settle(() => failed(error));
    stream.once('error', onError).once(secure ? 'secureConnect' : 'connect', () => {
      stream.off('error', onError);
      const socket = new OwnSocket(stream, stream);
      own = socket;
      settle(() => ready(socket));
    });
    return () => {
      stream.off('error', onError).on('error', ignore).destroy();
    };
  };
}

function ignore(): void {
  // An 'error' event without a listener would end the process; nobody waits for this connection any more.
}
