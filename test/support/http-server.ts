import { createServer, type RequestListener } from 'node:http';

/** A real HTTP server on 127.0.0.1 that answers as a test wants. */
export interface TestHttpServer {
  readonly port: number;
  /** `http://127.0.0.1:port` */
  readonly url: string;
  /** Ends every connection. */
  disconnect(): void;
  close(): Promise<void>;
}

export async function startHttpServer(answer: RequestListener): Promise<TestHttpServer> {
  const server = createServer(answer);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    port: address.port,
    url: `http://127.0.0.1:${address.port}`,
    disconnect: () => server.closeAllConnections(),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
