import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { UpstreamOptions } from '../options.ts';
import { upstreamAddress } from '../upstream-address.ts';
import { OwnSocket } from './own-socket.ts';
import { upstreamReads } from './upstream-reads.ts';

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
  const { secure, tcp, tls } = upstreamAddress(origin, options, 'http/1.1');
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
