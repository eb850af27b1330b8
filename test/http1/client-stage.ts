import assert from 'node:assert/strict';
import { ClientConnection } from '../../src/http1/client-connection.ts';
import type { ClientConnectionError, ResponseEvents } from '../../src/http1/client-events.ts';
import type { BodySink, BodySource } from '../../src/http1/body.ts';
import type { ResponseHead } from '../../src/http1/message-head.ts';
import { FakeClock, FakeWire, LIMITS } from './fake-wire.ts';

/** One answer as its taker sees it: it copies small chunks before it returns, and keeps large ones as they are. */
export class Answer implements ResponseEvents {
  readonly log: string[] = [];
  readonly #pieces: Buffer[] = [];
  head: ResponseHead | undefined;
  error: ClientConnectionError | undefined;
  takesHead = true;
  takesData = true;
  onEvent: (event: string) => void = () => {};

  get body(): string {
    return Buffer.concat(this.#pieces).toString('latin1');
  }

  onHead(head: ResponseHead): boolean {
    this.head = head;
    this.#happened(`head ${head.status}`);
    return this.takesHead;
  }

  onData(chunk: Buffer): boolean {
    this.#pieces.push(chunk.length < 16_384 ? Buffer.from(chunk) : chunk);
    this.#happened(`data ${chunk.length}`);
    return this.takesData;
  }

  onEnd(trailers: readonly string[]): void {
    this.#happened(`end${trailers.length > 0 ? ` ${trailers.join(' ')}` : ''}`);
  }

  onFlush(): void {
    this.#happened('flush');
  }

  onSwitch(head: ResponseHead, early: Buffer): void {
    this.head = head;
    this.#pieces.push(early);
    this.#happened('switch');
  }

  onError(error: ClientConnectionError): void {
    this.error = error;
    this.#happened(`${error.kind}${error.replayable ? ' replayable' : ''}`);
  }

  #happened(event: string): void {
    this.log.push(event);
    this.onEvent(event);
  }
}

/** A request's body that a test pushes. */
export class Pushed implements BodySource {
  readonly length: number;
  readonly log: string[] = [];
  sink: BodySink | undefined;
  onStart: (sink: BodySink) => void = () => {};

  constructor(length: number) {
    this.length = length;
  }

  start(sink: BodySink): void {
    assert.equal(this.sink, undefined, 'started twice');
    this.sink = sink;
    this.log.push('start');
    this.onStart(sink);
  }

  resume(): void {
    this.log.push('resume');
  }

  abandon(): void {
    this.log.push('abandon');
  }
}

/** A client connection over a wire whose reads share one buffer, as those of real upstream sockets do. */
export class ClientStage {
  readonly wire = new FakeWire();
  readonly clock = new FakeClock();
  readonly idle: boolean[] = [];
  readonly connection: ClientConnection;
  #buffer = Buffer.alloc(65_536);

  constructor() {
    this.connection = new ClientConnection(this.wire, LIMITS, this.clock, (reusable) => {
      this.idle.push(reusable);
    });
  }

  /** A request without a body. */
  ask(method = 'GET', switching = false): Answer {
    const answer = new Answer();
    this.connection.send(
      `${method} / HTTP/1.1\r\nhost: h\r\n\r\n`,
      method,
      undefined,
      switching,
      answer,
    );
    return answer;
  }

  /** What is read is lent: smaller than 16 KiB it is gone when the connection returns, larger it is the connection's. */
  receive(text: string): void {
    const chunk = this.#buffer.subarray(0, text.length);
    chunk.write(text, 'latin1');
    this.connection.receive(chunk);
    if (text.length < 16_384) chunk.fill(0xaa);
    else this.#buffer = Buffer.alloc(65_536, 0xaa);
  }

  drain(): void {
    this.wire.backlog = 0;
    this.wire.full = false;
    this.connection.drained();
  }
}
