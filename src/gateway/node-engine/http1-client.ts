import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { ClientListener, ClientSide } from '../client-side.ts';
import { AnswerFlow } from './answer-flow.ts';
import { expectation, type Expects } from './expectation.ts';
import type { NodeConnection } from './node-connection.ts';
import { StreamBody } from './stream-body.ts';
import type { Switchable } from './switchable.ts';

/** Unread request bodies are read on, so that the client sees the answer, up to this many bytes and milliseconds. */
const DISCARD_BYTES = 256 * 1024;
const DISCARD_MS = 5_000;

/** Bodies up to this size are worth a copy to save a system call's worth of work. */
const ONE_WRITE_BYTES = 8_192;

/** A request of node:http. */
export class Http1Client implements ClientSide {
  readonly method: string;
  readonly target: string;
  readonly version: '1.0' | '1.1';
  readonly fields: readonly string[];
  readonly body: StreamBody | undefined;
  readonly expects: Expects;
  declare listener: ClientListener;
  readonly #connection: NodeConnection;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #switchable: Switchable | undefined;
  readonly #flow: AnswerFlow;

  /** @param stallMs milliseconds that the client may take nothing of its answer */
  constructor(
    connection: NodeConnection,
    request: IncomingMessage,
    response: ServerResponse,
    switchable: Switchable | undefined,
    stallMs: number,
  ) {
    this.method = request.method ?? '';
    this.target = request.url ?? '';
    this.version = request.httpVersion === '1.0' ? '1.0' : '1.1';
    const { rawHeaders } = request;
    let length = 0;
    for (let at = 0; at < rawHeaders.length; at += 2) {
      const name = (rawHeaders[at] ?? '').toLowerCase();
      rawHeaders[at] = name;
      if (name === 'transfer-encoding') length = -1;
      else if (name === 'content-length' && length === 0) length = Number(rawHeaders[at + 1]);
    }
    this.fields = rawHeaders;
    this.body = length === 0 ? undefined : new StreamBody(request, length);
    const asked = this.version === '1.1' && request.headers.expect !== undefined;
    this.expects = asked ? expectation(rawHeaders) : 'nothing';
    this.#connection = connection;
    this.#request = request;
    this.#response = response;
    this.#switchable = switchable;
    this.#flow = new AnswerFlow(this, response, stallMs);
    response.on('close', () => {
      if (!request.complete) connection.unread = request;
      this.#flow.closed();
      connection.next();
    });
  }

  get expectsContinue(): boolean {
    return this.expects === 'continue';
  }

  get bodyRead(): boolean {
    return this.#request.complete;
  }

  get canSwitch(): boolean {
    return this.#switchable !== undefined;
  }

  writeContinue(): void {
    this.#response.writeContinue();
  }

  writeHead(status: number, fields: readonly string[], length: number, close: boolean): void {
    const raw = [...fields];
    if (length >= 0 && status !== 204) raw.push('Content-Length', String(length));
    if (status === 426) raw.push('Connection', 'Upgrade'); // RFC 9110 section 7.8
    // Behind a head that asks for another protocol node:http leaves out what it has read.
    const last = close || asksForUpgrade(this.#request);
    if (last) raw.push('Connection', 'close');
    this.#response.writeHead(status, raw);
    if (last) this.#connection.sayClose();
  }

  write(chunk: Uint8Array): boolean {
    return this.#flow.write(chunk);
  }

  flush(): void {
    // node:http keeps nothing back but the head, which leaves with the first bytes of the body.
  }

  end(chunk?: Uint8Array | string): void {
    const request = this.#request;
    if (chunk === undefined) {
      this.#response.end();
    } else if (chunk instanceof Buffer && chunk.length <= ONE_WRITE_BYTES) {
      // As text of the same bytes it leaves in one write with the head: node:http joins only strings.
      this.#response.end(chunk.toString('latin1'), 'latin1');
    } else {
      this.#response.end(chunk);
    }
    if (request.socket.writableLength > 0) this.#flow.watch();
    if (this.body !== undefined && !request.readableEnded) this.#discardRest();
  }

  breakOff(): void {
    this.#connection.reset();
  }

  switchProtocols(fields: readonly string[]): {
    readonly socket: Socket;
    readonly early: readonly Buffer[];
  } {
    if (this.#switchable === undefined) throw new Error('the client cannot switch any more');
    const taken = this.#switchable.take();
    let head = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n';
    for (let at = 0; at < fields.length; at += 2) head += `${fields[at]}: ${fields[at + 1]}\r\n`;
    taken.socket.write(`${head}\r\n`, 'latin1');
    return taken;
  }

  /** Closing at once would reset the connection under an answer that is still on its way (RFC 9112 section 9.6). */
  #discardRest(): void {
    const request = this.#request;
    const { socket } = request;
    let left = DISCARD_BYTES;
    const timer = setTimeout(() => socket.destroy(), DISCARD_MS);
    request.on('data', (chunk: Buffer) => {
      left -= chunk.length;
      if (left < 0) socket.destroy();
    });
    request.on('close', () => clearTimeout(timer));
    request.on('end', () => clearTimeout(timer));
    request.resume();
  }
}

/** Whether node:http takes what follows for another protocol's (RFC 9110 section 7.8), or did so for a while. */
function asksForUpgrade({ headers: { connection = '', upgrade } }: IncomingMessage): boolean {
  return upgrade !== undefined && /upgrade/i.test(connection);
}
