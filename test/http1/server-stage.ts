import type { BodySink } from '../../src/http1/body.ts';
import type { Refusal } from '../../src/http1/refusal.ts';
import { ServerConnection } from '../../src/http1/server-connection.ts';
import type { ExchangeListener, ServerExchange } from '../../src/http1/server-exchange.ts';
import { FakeClock, FakeWire, latin1, LIMITS } from './fake-wire.ts';

/** One request as a test sees it. */
export class Seen implements ExchangeListener, BodySink {
  readonly exchange: ServerExchange<string>;
  /** What happened, in order. */
  readonly log: string[] = [];
  body = '';
  /** What the sink says to data. */
  takes = true;
  onBody: () => void = () => {};

  constructor(exchange: ServerExchange<string>) {
    this.exchange = exchange;
    exchange.listener = this;
  }

  onDrain(): void {
    this.log.push('drain');
  }

  onClose(): void {
    this.log.push('close');
  }

  onBadBody(error: Error): void {
    this.log.push(`bad body: ${error.message}`);
  }

  onData(chunk: Uint8Array): boolean {
    this.log.push(`data ${chunk.length}`);
    this.body += Buffer.from(chunk).toString('latin1');
    this.onBody();
    return this.takes;
  }

  onEnd(trailers: readonly string[]): void {
    this.log.push(`end${trailers.length > 0 ? ` ${trailers.join(' ')}` : ''}`);
  }

  onError(error: Error): void {
    this.log.push(`error: ${(error as Error & { refusal?: Refusal }).refusal ?? error.message}`);
  }

  /** A whole answer. */
  answer(body = 'ok', status = 200): void {
    this.exchange.writeHead(status, [], body.length, false, true);
    this.exchange.end(latin1(body));
  }
}

/** A server connection with its owner. */
export class ServerStage {
  readonly wire = new FakeWire();
  readonly clock = new FakeClock();
  readonly requests: Seen[] = [];
  readonly refusals: Refusal[] = [];
  over = 0;
  /** Called with each request. */
  react: (seen: Seen) => void = () => {};
  refusalAnswer = 'HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n';
  readonly connection: ServerConnection<string>;

  constructor() {
    this.connection = new ServerConnection<string>(this.wire, LIMITS, this.clock, {
      onRequest: (exchange) => {
        const seen = new Seen(exchange);
        this.requests.push(seen);
        this.react(seen);
      },
      onRefused: (refusal) => {
        this.refusals.push(refusal);
        return this.refusalAnswer;
      },
      onSwitch: () => 'the socket',
      onOver: () => {
        this.over += 1;
      },
    });
  }

  receive(text: string): void {
    this.connection.receive(latin1(text));
  }

  /** The network takes what is written. */
  drain(): void {
    this.wire.backlog = 0;
    this.wire.full = false;
    this.connection.drained();
  }

  /** Time passes. */
  pass(ms: number): void {
    this.clock.nowMs += ms;
    this.connection.sweep(this.clock.nowMs);
  }

  request(index: number): Seen {
    const seen = this.requests[index];
    if (seen === undefined) throw new Error(`request ${index} has not come`);
    return seen;
  }
}

/** The answers in what was written, without `Date`. */
export function plain(written: string): string {
  return written.replaceAll(/Date: [^\r]*\r\n/g, '');
}

/** A 200 of the stage's. */
export function ok(body = 'ok', close = false): string {
  return `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${close ? 'Connection: close\r\n' : ''}\r\n${body}`;
}
