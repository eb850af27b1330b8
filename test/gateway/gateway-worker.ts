import { parentPort, workerData } from 'node:worker_threads';
import { createGateway } from '../../src/gateway/gateway.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { api, authenticator, ENGINE } from './stage.ts';

/** The worker of a test: a gateway before an upstream over HTTP/2, which answers every message as long as its thread does anything. */

const { upstream } = workerData as { readonly upstream: string };
const gateway = createGateway({
  engine: ENGINE,
  listeners: [{ kind: 'http', host: '127.0.0.1', port: 0 }],
  apis: [api('', ['POST /{a}', { production: [upstream], http2: true }])],
  authenticator,
  ready: () => true,
  log: recordedLog(false),
});
parentPort?.on('message', (command: 'ping' | 'end') => {
  if (command === 'end') void gateway.close(0).then(() => parentPort?.close());
  else parentPort?.postMessage({ active: gateway.counters().active });
});
const [bound] = await gateway.listen();
parentPort?.postMessage({ port: bound?.port });
