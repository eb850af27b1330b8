import type { BodySource } from './body.ts';
import { dateLine } from './date-line.ts';
import { checkFields, responseHead } from './head-writer.ts';
import { CHUNKED, UNTIL_CLOSE, type RequestHead } from './message-head.ts';
import { NO_BODY, type MessageWriter } from './message-writer.ts';
import type { RequestBody } from './request-body.ts';
import type { Clock } from './wire.ts';

/** Who is told what becomes of an exchange. */
export interface ExchangeListener {
  /** After a `write` that returned false: it takes more. */
  onDrain(): void;
  /** Once, last: the answer is written and the request read, or the client is gone. */
  onClose(): void;
  /** The body breaks the grammar, and no sink was there to hear it. @param error a `GrammarError` */
  onBadBody(error: Error): void;
}

/** What the connection of an exchange does for it. `Socket` is what stands behind its wire. */
export interface ExchangeHost<Socket> {
  readonly writer: MessageWriter;
  readonly clock: Clock;
  /** Whether the connection ends with an answer that begins now. */
  endsWith(exchange: ServerExchange<Socket>): boolean;
  /** The whole answer is written. */
  answered(exchange: ServerExchange<Socket>): void;
  breakOff(exchange: ServerExchange<Socket>): void;
  giveAway(exchange: ServerExchange<Socket>): GivenAway<Socket>;
}

/** A socket that is another protocol's from now on, and what came behind the request. */
export interface GivenAway<Socket> {
  readonly socket: Socket;
  readonly early: readonly Buffer[];
}

const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n';

const NOBODY: ExchangeListener = { onDrain: nothing, onClose: nothing, onBadBody: nothing };

/** One request of an HTTP/1.1 connection, and its answer. Once the client is gone, or the answer ended, nothing that is called has an effect. */
export class ServerExchange<Socket = unknown> {
  readonly head: RequestHead;
  /** Undefined: there is none. */
  readonly body: BodySource | undefined;
  listener: ExchangeListener = NOBODY;
  /** `onClose` was called. */
  closed = false;
  /** The head of the answer is written, or kept to be. */
  begun = false;
  /** The answer is whole. */
  ended = false;
  /** The connection ends with this answer. */
  last = false;
  /** Answered 408: the rest of a body that stopped coming is not waited for. */
  timedOut = false;
  /** `100 Continue` was written. */
  continued = false;
  readonly #host: ExchangeHost<Socket>;
  readonly #requestBody: RequestBody | undefined;

  constructor(host: ExchangeHost<Socket>, head: RequestHead, body: RequestBody | undefined) {
    this.#host = host;
    this.head = head;
    this.body = body;
    this.#requestBody = body;
  }

  get method(): string {
    return this.head.method;
  }

  get target(): string {
    return this.head.target;
  }

  get version(): '1.0' | '1.1' {
    return this.head.minor === 1 ? '1.1' : '1.0';
  }

  get fields(): readonly string[] {
    return this.head.fields;
  }

  get bodyRead(): boolean {
    return this.#requestBody === undefined || this.#requestBody.done;
  }

  get expectsContinue(): boolean {
    return this.head.expects === 'continue';
  }

  /** It waits for `100 Continue` in vain so far: what comes next may be the body, or another request. */
  get untold(): boolean {
    return this.expectsContinue && !this.continued && this.#requestBody?.received === 0;
  }

  /** It asks for another protocol, has no body, and has no answer yet. */
  get canSwitch(): boolean {
    const { head } = this;
    return head.upgrade && head.length === 0 && head.persistent && !this.begun && !this.closed;
  }

  /** `100 Continue` (RFC 9110 section 10.1.1), once, where it is waited for: not behind an answer, nor once the client sends. */
  writeContinue(): void {
    if (!this.untold || this.begun || this.closed) return;
    this.continued = true;
    this.#host.writer.writeText(CONTINUE);
  }

  /**
   * The head of the answer. It is kept until something makes it leave: {@link flush}, {@link end}, or more of it.
   * @param fields name and value, alternating; without framing and `Connection`. `Date` is added where there is none
   * @param length bytes that the body has, also of the answer to HEAD or a 304; -1: not known
   * @param close the connection ends with this answer
   * @param clean the fields come from a parser as they are; others are checked
   * @throws TypeError fields that HTTP does not allow; nothing was sent then, and there may be another answer
   */
  writeHead(
    status: number,
    fields: readonly string[],
    length: number,
    close: boolean,
    clean: boolean,
  ): void {
    if (this.begun || this.closed) return;
    if (!clean) checkFields(fields);
    const { head } = this;
    const bodiless = head.method === 'HEAD' || status === 204 || status === 304;
    this.last = close || this.#host.endsWith(this);
    const text = responseHead(
      status,
      head.minor,
      fields,
      length >= 0 ? length : bodiless ? undefined : CHUNKED,
      this.last,
      dateLine(this.#host.clock),
    );
    this.begun = true;
    this.timedOut = status === 408;
    // HTTP/1.0 has no chunks: such a body ends with the connection (RFC 9112 section 6.3 point 8).
    const framing = length >= 0 ? length : head.minor === 1 ? CHUNKED : UNTIL_CLOSE;
    this.#host.writer.begin(text, bodiless ? NO_BODY : framing);
  }

  /** @returns false: hold until `onDrain()`. The chunk may be reused when this returns, if it is smaller than 16 KiB */
  write(chunk: Uint8Array): boolean {
    if (!this.begun || this.ended || this.closed) return true;
    const { writer } = this.#host;
    if (writer.fits(chunk.length)) return writer.write(chunk);
    this.breakOff();
    return true;
  }

  /** Sends what is kept. */
  flush(): void {
    if (!this.begun || this.ended || this.closed) return;
    this.#host.writer.flush();
  }

  /**
   * The answer is whole. One that is shorter or longer than its head says is broken off instead.
   * @param chunk text is sent as UTF-8
   * @param _trailers not sent in HTTP/1.1
   */
  end(chunk?: Uint8Array | string, _trailers?: readonly string[]): void {
    if (!this.begun || this.ended || this.closed) return;
    const { writer } = this.#host;
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    if (bytes !== undefined && !writer.fits(bytes.length)) {
      this.breakOff();
      return;
    }
    this.ended = true;
    if (writer.end(bytes)) this.#host.answered(this);
    else this.breakOff();
  }

  /** Resets the connection: no client may take what it has for a whole answer. */
  breakOff(): void {
    if (!this.closed) this.#host.breakOff(this);
  }

  /**
   * Answers 101; then the socket is the caller's. Only where {@link canSwitch} says so. Nothing but `onClose` comes after that.
   * @param fields as in {@link writeHead}, always checked
   * @throws TypeError
   */
  switchProtocols(fields: readonly string[]): GivenAway<Socket> {
    if (!this.canSwitch) throw new Error('this request cannot become another protocol');
    checkFields(fields);
    const text = responseHead(101, 1, fields, undefined, false, dateLine(this.#host.clock));
    this.begun = true;
    this.ended = true;
    this.#host.writer.writeText(text);
    return this.#host.giveAway(this);
  }

  /** The connection says, once, that this is over. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.listener.onClose();
    if (this.#requestBody?.done === true) this.#requestBody.abandon();
  }
}

function nothing(): void {}
