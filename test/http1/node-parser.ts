import {
  createServer,
  request,
  type ClientRequest,
  type IncomingMessage,
  type ServerOptions,
} from 'node:http';
import { Duplex } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import type { Reading, Read } from './reading.ts';

/** More than any input of these tests has: bounds are ours to test, the oracle has none. */
const MAX_HEADER_SIZE = 4 * 1024 * 1024;

/** One end of a connection in this process: what is pushed is what the peer sent; what is written to it goes nowhere. */
class Line extends Duplex {
  override _read(): void {}
  override _write(_chunk: unknown, _encoding: BufferEncoding, done: () => void): void {
    done();
  }
}

interface Marks {
  upgrade: boolean;
  waits: boolean;
}

/** Follows one message of node's parser until its end or the end of the connection. */
function follow(message: IncomingMessage, first: string, marks: Marks): () => Read {
  const body: Buffer[] = [];
  message.on('data', (chunk: Buffer) => body.push(chunk));
  message.on('error', () => {}); // cut short: it is not complete then
  return () => ({
    first,
    fields: named(message.rawHeaders),
    body: Buffer.concat(body).toString('latin1'),
    trailers: message.complete ? named(message.rawTrailers) : [],
    whole: message.complete,
    ...marks,
  });
}

/** Node trims the values and keeps the spelling of names. */
function named(raw: readonly string[]): string[] {
  return raw.map((text, index) => (index % 2 === 0 ? text.toLowerCase() : text));
}

/** node:http's server as an oracle for requests, in this process and without a socket. Close it. */
export class NodeRequests {
  readonly #readings = new WeakMap<object, (() => Read)[]>();
  readonly #upgrades = new WeakSet<IncomingMessage>();
  readonly #server;
  readonly #errors = new WeakMap<object, string>();

  constructor() {
    const options: ServerOptions & { shouldUpgradeCallback(request: IncomingMessage): boolean } = {
      requireHostHeader: false,
      insecureHTTPParser: false,
      maxHeaderSize: MAX_HEADER_SIZE,
      connectionsCheckingInterval: 0x7fffffff,
      // Asked when the parser takes the message for an upgrade: noted, and read on as the gateway does where it serves none.
      shouldUpgradeCallback: (request) => {
        this.#upgrades.add(request);
        return false;
      },
    };
    this.#server = createServer(options);
    this.#server.maxHeadersCount = 0;
    this.#server.timeout = 0;
    const take = (message: IncomingMessage, waits: boolean): void => {
      const { method, url, httpVersionMajor, httpVersionMinor } = message;
      const first = `${method} ${url} ${httpVersionMajor}.${httpVersionMinor}`;
      const marks = { upgrade: this.#upgrades.has(message), waits };
      this.#readings.get(message.socket)?.push(follow(message, first, marks));
    };
    this.#server.on('request', (message: IncomingMessage) => take(message, false));
    this.#server.on('checkExpectation', (message: IncomingMessage) => take(message, false));
    this.#server.on('checkContinue', (message: IncomingMessage) => take(message, true));
    this.#server.on('connect', (message: IncomingMessage) => take(message, false));
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
      this.#errors.set(socket, error.code ?? error.message);
    });
  }

  /** What node:http makes of each of these connections: the bytes, then FIN. */
  async read(inputs: readonly Buffer[]): Promise<Reading[]> {
    const readings = await this.#read(inputs.map((bytes) => [bytes]));
    // Behind a request that may switch protocols node drops the rest of a read: each byte comes in a read of its own then.
    const cut = readings.flatMap(({ messages }, index) =>
      messages.at(-1)?.upgrade ? [index] : [],
    );
    const again = await this.#read(
      cut.map((index) => Array.from(inputs[index] ?? [], (byte) => Buffer.of(byte))),
    );
    for (const [at, index] of cut.entries()) readings[index] = again[at] as Reading;
    return readings;
  }

  async #read(inputs: readonly (readonly Buffer[])[]): Promise<Reading[]> {
    const lines = inputs.map((reads) => {
      const line = new Line();
      line.on('error', () => {});
      this.#readings.set(line, []);
      this.#server.emit('connection', line);
      for (const bytes of reads) line.push(bytes);
      return line;
    });
    // All of it happens in ticks. FIN comes when the data is through, as it breaks off a body that nobody has read yet.
    await turn();
    for (const line of lines) line.push(null);
    await turn();
    return lines.map((line) => {
      const messages = (this.#readings.get(line) ?? []).map((read) => read());
      line.destroy();
      return { messages, refused: this.#errors.get(line) };
    });
  }

  close(): void {
    this.#server.close();
  }
}

/** node:http's client as an oracle for responses: what it makes of each of these connections as the answer to a request of this method. */
export async function readResponses(
  inputs: readonly { readonly bytes: Buffer; readonly method: string }[],
): Promise<Reading[]> {
  const calls = inputs.map(({ bytes, method }) => new ResponseCall(bytes, method));
  await turn();
  await turn();
  await turn();
  return calls.map((call) => call.reading());
}

class ResponseCall {
  readonly #line = new Line();
  readonly #messages: (() => Read)[] = [];
  readonly #request: ClientRequest;
  #refused: string | undefined;

  constructor(bytes: Buffer, method: string) {
    this.#line.on('error', () => {});
    this.#request = request({
      createConnection: () => this.#line,
      host: 'upstream.example',
      method,
      path: '/',
      headers: { connection: 'keep-alive' },
      maxHeaderSize: MAX_HEADER_SIZE,
      insecureHTTPParser: false,
    });
    this.#request.maxHeadersCount = 0;
    const first = (message: IncomingMessage): string =>
      `${message.statusCode} ${message.httpVersionMajor}.${message.httpVersionMinor}`;
    this.#request.on('response', (message) =>
      this.#messages.push(follow(message, first(message), { upgrade: false, waits: false })),
    );
    this.#request.on('information', (info) =>
      this.#messages.push(() => ({
        first: `${info.statusCode} ${info.httpVersionMajor}.${info.httpVersionMinor}`,
        fields: named(info.rawHeaders),
        body: '',
        trailers: [],
        whole: true,
        upgrade: false,
        waits: false,
      })),
    );
    this.#request.on('upgrade', (message, socket) => {
      this.#messages.push(follow(message, first(message), { upgrade: true, waits: false }));
      socket.destroy();
    });
    this.#request.on('error', (error: NodeJS.ErrnoException) => {
      this.#refused = error.code ?? error.message;
    });
    this.#request.end();
    // The answer must not come before the parser is there, which is when the socket is given.
    this.#request.on('socket', () =>
      process.nextTick(() => {
        if (bytes.length > 0) this.#line.push(bytes);
        this.#line.push(null);
      }),
    );
  }

  reading(): Reading {
    const messages = this.#messages.map((read) => read());
    const keeps = this.#request.shouldKeepAlive;
    this.#request.destroy();
    this.#line.destroy();
    return { messages, refused: this.#refused, keeps };
  }
}
