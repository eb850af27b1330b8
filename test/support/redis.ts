import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './free-port.ts';
import type { Program } from './program.ts';
import { startServer } from './server.ts';

/** A real redis-server on 127.0.0.1 that keeps an append-only file. */
export interface Redis {
  readonly port: number;
  /** `redis://127.0.0.1:port`, without the password. */
  readonly url: string;
  stop(signal?: 'SIGTERM' | 'SIGKILL'): Promise<void>;
  /** Starts it again with its data, on the same port. */
  start(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Starts redis-server with data of its own; `close` it in every case.
 * @throws Error naming the Debian package when redis-server is not installed
 */
export async function startRedis(options: { readonly password?: string } = {}): Promise<Redis> {
  const folder = await mkdtemp(join(tmpdir(), 'portcullis-redis-'));
  const port = await freePort();
  let server: Program | undefined;

  async function start(): Promise<void> {
    server = await startServer(
      'redis-server',
      [
        '--bind',
        '127.0.0.1',
        '--port',
        String(port),
        '--dir',
        folder,
        '--save',
        '',
        '--appendonly',
        'yes',
        '--appendfsync',
        'always',
        ...(options.password === undefined ? [] : ['--requirepass', options.password]),
      ],
      { debianPackage: 'redis-server', ready: /Ready to accept connections/ },
    );
  }

  async function stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    server?.signal(signal);
    await server?.stop();
    server = undefined;
  }

  try {
    await start();
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    stop,
    start,
    async close() {
      await stop('SIGKILL');
      await rm(folder, { recursive: true, force: true });
    },
  };
}
