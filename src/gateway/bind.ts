import type { AddressInfo, Server } from 'node:net';
import type { Log } from '../log.ts';
import { type Bound, ListenError, type Listening, type ListenerOptions } from './options.ts';
import { Seldom } from './seldom.ts';

/** Milliseconds between two lines of the log about a listener. */
const SAY_MS = 1_000;

/**
 * Has a server listen. What goes wrong with it later is logged and survived: it accepts again as soon as it can.
 * @throws ListenError
 */
export function bind(
  server: Server,
  { kind, host, port: configured }: ListenerOptions,
  { ports = {}, shared = false }: Listening,
  log: Log,
): Promise<Bound> {
  const port = ports[kind] ?? configured;
  const seldom = new Seldom(SAY_MS);
  return new Promise((resolve, fail) => {
    const onError = (error: Error): void => fail(new ListenError({ kind, host, port }, error));
    server.once('error', onError);
    server.listen({ host, port, reusePort: shared }, () => {
      server.off('error', onError);
      const bound = server.address() as AddressInfo;
      server.on('error', (error) => {
        const count = seldom.happened();
        if (count === undefined) return;
        const times = count === 1 ? '' : ` (${count} times)`;
        log.error('Gateway', `${kind} listener on port ${bound.port}: ${error.message}${times}`);
      });
      resolve({ kind, host: bound.address, port: bound.port });
    });
  });
}
