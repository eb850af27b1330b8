import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parentPort, threadId, workerData } from 'node:worker_threads';
import { OperatorError } from '../../src/errors.ts';
import { ListenError } from '../../src/gateway/options.ts';
import { ControlLink } from '../../src/threads/control-link.ts';
import { newFlight } from '../../src/threads/log-relay.ts';

/** What a thread of the supervisor's tests does, instead of a whole data plane. */
export interface SmallWorkerData {
  readonly place: number;
  /** `throw`: ends by an error before it is ready. `refuse`: says that it cannot start. `hang`: never becomes ready. */
  readonly start?: 'throw' | 'refuse' | 'hang' | undefined;
  /** `busy`: somebody else has the address. `throw`: ends by an error as soon as it listens. */
  readonly listening?: 'busy' | 'throw' | undefined;
  /** It takes a question about tables and never answers. */
  readonly deaf?: boolean;
  readonly generation?: number;
  /** It ends when it is to prepare this. */
  readonly diesOf?: number;
  /** It takes so many milliseconds to prepare. */
  readonly preparesMs?: number;
}

const data = workerData as SmallWorkerData;
const port = parentPort;
if (port === null) throw new Error('this is a thread');
const link = new ControlLink(port, newFlight());
let generation = data.generation ?? 0;
let prepared: number | undefined;

/** Answers with its thread and the generation of its tables; `/throw` ends the thread, `/exit` too. */
const server = createServer((request, response) => {
  if (request.url === '/throw')
    setImmediate(() => {
      throw new TypeError('thrown on purpose');
    });
  else if (request.url === '/exit') process.exit(7);
  else if (request.url === '/say-and-exit') {
    link.writeLine(`${request.url}\n`);
    process.exit(7);
  } else if (request.url === '/say-and-throw') {
    link.writeLine(`${request.url}\n`);
    throw new TypeError('thrown on purpose');
  } else if (request.url === '/busy') for (;;);
  else response.setHeader('connection', 'close').end(`${threadId} ${data.place} ${generation}`);
});

await link.serve(async () => {
  if (data.start === 'throw') throw new RangeError('it cannot live');
  if (data.start === 'refuse') throw new OperatorError('ERR_ENDPOINT_URL', 'no such endpoint');
  if (data.start === 'hang') await new Promise((resolve) => setTimeout(resolve, 3_600_000));
  return {
    listen: ({ ports = {}, shared = false }) =>
      new Promise((resolve, reject) => {
        const address = { kind: 'http', host: '127.0.0.1', port: ports.http ?? 0 } as const;
        if (data.listening === 'busy')
          reject(new ListenError(address, { code: 'EADDRINUSE', message: 'busy' }));
        server.listen({ ...address, reusePort: shared }, () => {
          resolve([{ ...address, port: (server.address() as AddressInfo).port }]);
          if (data.listening === 'throw')
            setImmediate(() => {
              throw new TypeError('it dies young');
            });
        });
      }),
    drain: () =>
      new Promise((resolve) => {
        link.writeLine(`last words of place ${data.place}\n`);
        server.close(() => resolve());
      }),
    replaceTables() {
      generation += 1;
      if (data.deaf === true) for (;;);
    },
    prepare(settings) {
      if (settings === 'bad') return Promise.reject(new OperatorError('ERR_ENDPOINT_URL', 'bad'));
      if (settings === data.diesOf) process.exit(7);
      prepared = settings as number;
      return new Promise((resolve) => setTimeout(resolve, data.preparesMs ?? 0));
    },
    commit() {
      generation = prepared ?? generation;
      prepared = undefined;
    },
    discard() {
      prepared = undefined;
      return Promise.resolve();
    },
    holds: ({ prints }) => prints[0] === data.place || prints[0] === 99,
    takeKeySet: () => undefined,
  };
});
