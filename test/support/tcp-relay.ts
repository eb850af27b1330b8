import { connect, createServer, type Server, type Socket } from 'node:net';

/** A TCP forwarder in front of a real server, so that a test can break the link without stopping the server. */
export interface TcpRelay {
  /** Port on 127.0.0.1; stays the same across `cut` and `mend`. */
  readonly port: number;
  /** Connections made so far. */
  readonly accepted: number;
  /** Connections open now. */
  readonly open: number;
  /** Ends every connection and refuses new ones. */
  cut(): Promise<void>;
  /** Takes connections again. */
  mend(): Promise<void>;
  /** From now on the present connections carry nothing and stay open, as after a lost route. */
  freeze(): void;
  close(): Promise<void>;
}

export async function startTcpRelay(targetPort: number): Promise<TcpRelay> {
  const pairs = new Set<readonly [Socket, Socket]>();
  let accepted = 0;
  let server = await listen(0);
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the relay has no port');
  const { port } = address;

  function listen(at: number): Promise<Server> {
    return new Promise((resolve, reject) => {
      const listening = createServer((near) => {
        accepted++;
        const far = connect(targetPort, '127.0.0.1');
        const pair = [near, far] as const;
        pairs.add(pair);
        const end = (): void => {
          pairs.delete(pair);
          near.destroy();
          far.destroy();
        };
        for (const socket of pair) {
          socket.on('error', end);
          socket.on('close', end);
        }
        near.pipe(far);
        far.pipe(near);
      });
      listening.once('error', reject);
      listening.listen(at, '127.0.0.1', () => resolve(listening));
    });
  }

  function stop(): Promise<void> {
    return new Promise((resolve) => {
      server.close(() => resolve());
      for (const [near, far] of pairs) {
        near.destroy();
        far.destroy();
      }
    });
  }

  return {
    port,
    get accepted() {
      return accepted;
    },
    get open() {
      return pairs.size;
    },
    cut: stop,
    async mend() {
      server = await listen(port);
    },
    freeze() {
      for (const [near, far] of pairs) {
        near.unpipe(far);
        far.unpipe(near);
        near.pause();
        far.pause();
        // Neither side hears of it when the other gives up.
        for (const socket of [near, far])
          socket
            .removeAllListeners('close')
            .removeAllListeners('error')
            .on('error', () => undefined);
      }
    },
    close: stop,
  };
}
