import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

/** Before the next attempt at a lock whose holder has just ended, or does not let anybody wait: somebody else may have been quicker. */
const RETRY_MS = 1_000;
/** Waiting processes that a holder keeps connections for. */
const MAX_WAITING = 16;

/**
 * That one gateway only serves an address. With `SO_REUSEPORT` the kernel lets any process of the same user listen beside another, so the
 * port itself does not tell any more. The lock is a listening socket in Linux's abstract namespace: whoever has it holds the name, the
 * kernel frees it with the process however that ends (`kill -9` leaves no stale lock, unlike a file), and it lies in the same network
 * namespace as the port. It needs no privileges, and so any user of the machine could take the name first, as they could take the port.
 * For the same reason nothing that is sent to it is read: who connects only learns when the holder is gone.
 */
export class AddressLock {
  readonly #path: string;
  readonly #stop = new AbortController();
  #server: Server | undefined;

  /** @param host IP address */
  constructor(host: string, port: number) {
    this.#path = `\0portcullis:${host}:${port}`;
  }

  /** @returns false when another process has it */
  async take(): Promise<boolean> {
    const waiting = new Set<Socket>();
    const server = createServer((socket) => {
      waiting.add(socket);
      socket.unref();
      socket.on('error', () => undefined);
      socket.on('close', () => waiting.delete(socket));
      socket.resume();
    });
    server.maxConnections = MAX_WAITING;
    const isTaken = await new Promise<boolean>((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'EADDRINUSE') resolve(true);
        else reject(error);
      });
      server.listen({ path: this.#path }, () => resolve(false));
    });
    if (isTaken) return false;
    server.unref();
    if (this.#stop.signal.aborted) server.close();
    else this.#server = server;
    this.#stop.signal.addEventListener('abort', () => {
      for (const socket of waiting) socket.destroy();
    });
    return true;
  }

  /** Takes it as soon as its holder lets go. Resolves when it is taken, or this lock released. */
  async takeOver(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted && !(await this.take())) {
      await this.#holderGone();
      await pause(RETRY_MS, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  release(): void {
    this.#stop.abort();
    this.#server?.close();
  }

  #holderGone(): Promise<void> {
    return new Promise((resolve) => {
      const socket = connect({ path: this.#path });
      const { signal } = this.#stop;
      const done = (): void => {
        signal.removeEventListener('abort', done);
        socket.destroy();
        resolve();
      };
      socket.unref();
      socket.on('error', done);
      socket.on('close', done);
      socket.resume();
      signal.addEventListener('abort', done);
    });
  }
}
