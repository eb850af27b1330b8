import { connect, createServer, type Server, type Socket } from 'node:net';
import { Transform, type TransformCallback } from 'node:stream';

/** What passing through the relay costs. */
export interface Slowness {
  /** Milliseconds that every piece waits. */
  readonly latencyMs: number;
  /** Bytes per second, of each direction of each connection; absent: as many as come. */
  readonly bytesPerSecond?: number;
}

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
  /** Takes connections again, after `cut` or `blackhole`. */
  mend(): Promise<void>;
  /** From now on the present connections carry nothing and stay open, as after a lost route. */
  freeze(): void;
  /** The same for new connections too: they are accepted and hear nothing. What was frozen stays so after `mend`. */
  blackhole(): void;
  /** From now on everything passes slowly; undefined: as quickly as it can. */
  slow(slowness: Slowness | undefined): void;
  close(): Promise<void>;
}

export async function startTcpRelay(targetPort: number): Promise<TcpRelay> {
  const pairs = new Set<readonly [Socket, Socket]>();
  /** Connections that nobody forwards. */
  const silent = new Set<Socket>();
  let accepted = 0;
  let swallowing = false;
  let slowness: Slowness | undefined;
  let mending: Promise<void> | undefined;
  let server = await listen(0);
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the relay has no port');
  const { port } = address;

  function listen(at: number): Promise<Server> {
    return new Promise((resolve, reject) => {
      const listening = createServer((near) => {
        accepted++;
        if (swallowing) {
          near.on('error', () => near.destroy());
          near.on('close', () => silent.delete(near));
          silent.add(near);
          return;
        }
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
        near.pipe(passage()).pipe(far);
        far.pipe(passage()).pipe(near);
      });
      listening.once('error', reject);
      listening.listen(at, '127.0.0.1', () => resolve(listening));
    });
  }

  /** One direction of one connection. */
  function passage(): Transform {
    return new Transform({
      transform(piece: Buffer, _encoding, pass: TransformCallback) {
        if (slowness === undefined) {
          pass(null, piece);
          return;
        }
        const { latencyMs, bytesPerSecond = Infinity } = slowness;
        setTimeout(() => pass(null, piece), latencyMs + (piece.length / bytesPerSecond) * 1000);
      },
    });
  }

  function freeze(): void {
    for (const [near, far] of pairs) {
      near.unpipe();
      far.unpipe();
      near.pause();
      far.pause();
      // Neither side hears of it when the other gives up.
      for (const socket of [near, far])
        socket
          .removeAllListeners('close')
          .removeAllListeners('error')
          .on('error', () => undefined);
    }
  }

  async function listenAgain(): Promise<void> {
    if (!server.listening) server = await listen(port);
  }

  function stop(): Promise<void> {
    return new Promise((resolve) => {
      server.close(() => resolve());
      for (const socket of [...pairs].flat().concat(...silent)) socket.destroy();
      pairs.clear();
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
    mend() {
      swallowing = false;
      mending ??= listenAgain().finally(() => (mending = undefined));
      return mending;
    },
    freeze,
    blackhole() {
      swallowing = true;
      freeze();
    },
    slow(wanted) {
      slowness = wanted;
    },
    close: stop,
  };
}
