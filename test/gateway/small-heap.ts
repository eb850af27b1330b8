import { parentPort } from 'node:worker_threads';
import { createGateway } from '../../src/gateway/gateway.ts';
import { authenticator, ENGINE } from './stage.ts';
import { recordedLog } from '../support/recorded-log.ts';

/** The worker of a test: a gateway on a small heap, which is filled and emptied on demand. */

const log = recordedLog(false);
const gateway = createGateway({
  engine: ENGINE,
  listeners: [{ kind: 'http', host: '127.0.0.1', port: 0 }],
  apis: [],
  authenticator,
  ready: () => true,
  log,
  loadShedding: { heapPercent: 50 },
  timeouts: { headersMs: 100 }, // the sweep comes every 25 ms
});
let held: unknown[] = [];
parentPort?.on('message', (command: 'fill' | 'drop' | 'end') => {
  if (command === 'fill') {
    // Objects and not bytes, which are not of the heap.
    for (let index = 0; index < 20_000; index++) held.push({ index, text: `${index}` });
  } else if (command === 'drop') held = [];
  else void gateway.close(0).then(() => parentPort?.close());
  parentPort?.postMessage({ lines: log.lines });
});
const [bound] = await gateway.listen();
parentPort?.postMessage({ port: bound?.port });
