import { buildConnector } from 'undici';
import { secureContext } from '../../net/secure-context.ts';
import type { UpstreamOptions } from '../options.ts';

/** Errors of connections that had served before: nothing says that the upstream saw the last request on them. */
const staleErrors = new WeakSet<Error>();

/** Whether `error` ended a kept connection before it answered, so that the request may be sent once more. */
export function isStale(error: Error): boolean {
  const { socket } = error as Error & { readonly socket?: { readonly bytesRead?: number } };
  return staleErrors.has(error) || (socket?.bytesRead ?? 0) > 0;
}

/** How the pools of all origins connect. */
export function connector(options: UpstreamOptions): buildConnector.connector {
  const connect = buildConnector({
    ...secureContext(options),
    timeout: options.connectTimeoutMs ?? 5_000,
    rejectUnauthorized: options.disableSslVerification !== true,
    ...(options.verifyHostname === false && { checkServerIdentity: () => undefined }),
    maxCachedSessions: 0, // a resumed session is not checked again, and the cache does not tell ports apart
  });
  return (target, callback) => {
    connect(target, (...result) => {
      const [error, socket] = result;
      if (error === null) {
        socket.prependListener('error', (cause: NodeJS.ErrnoException) => {
          if (socket.bytesRead > 0) staleErrors.add(cause);
          // undici takes ECONNRESET for the end of a body that has no length: the client would see a whole one.
          if (cause.code === 'ECONNRESET') cause.code = 'ERR_UPSTREAM_RESET';
        });
      }
      callback(...result);
    });
  };
}
