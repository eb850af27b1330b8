/** The data-plane thread of `flood.ts`: answers each request after it asked the list about a token. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';
import { RevocationReader } from '../src/revocation/reader.ts';
import type { SharedList } from '../src/revocation/revocation-list.ts';
import { identityOf } from './enforcement.ts';

const TOKENS = 5_000;

const reader = new RevocationReader(workerData as SharedList, {
  maxStalenessMs: 86_400_000,
  clockSkewMs: 60_000,
  staleInGap: false,
  consumerKeyClaims: [],
  onOutlived: () => undefined,
});
const tokens = Array.from({ length: TOKENS }, (_, i) => identityOf(`mine-${i}`));
let requests = 0;

const server = createServer((_request, response) => {
  const token = tokens[requests++ % TOKENS];
  const clear = token !== undefined && reader.check(token) === 'clear';
  response.writeHead(clear ? 200 : 503, { 'content-length': 2 }).end('ok');
});
// The client may leave a connection alone for as long as a round takes.
server.keepAliveTimeout = 0;
server.listen(0, '127.0.0.1', () => {
  parentPort?.postMessage((server.address() as AddressInfo).port);
});
