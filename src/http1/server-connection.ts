import { isAllThere } from './body-reader.ts';
import { ByteStore } from './byte-store.ts';
import { HeadInput } from './head-input.ts';
import type { HeadLimits } from './limits.ts';
import { DROP_MS, Linger } from './linger.ts';
import type { RequestHead } from './message-head.ts';
import { MessageWriter } from './message-writer.ts';
import { GrammarError, type Refusal } from './refusal.ts';
import { RequestBody, type BodyHost } from './request-body.ts';
import { parseRequestHead } from './request-parser.ts';
import type { Phase, ServerEvents } from './server-events.ts';
import { ServerExchange, type ExchangeHost, type GivenAway } from './server-exchange.ts';
import type { Clock, Wire } from './wire.ts';

/** Bytes behind a request that is not answered; then no more is read. */
const MAX_UNPARSED = 65_536;

/** So much of a body of known length is read on behind an early answer, for the sake of the connection. */
const MAX_MISSING = 65_536;

/**
 * The server side of an HTTP/1.1 connection (RFC 9112) as a state machine: no socket, no timer. One exchange at a time; what a client sends
 * behind a request stays unread until that is answered. It throws only what its owner, or a sink, throws into it.
 */
export class ServerConnection<Socket = unknown> implements ExchangeHost<Socket>, BodyHost {
  phase: Phase = 'idle';
  /** When that began, milliseconds of the clock. */
  phaseSinceMs: number;
  /** Bytes received. */
  bytesIn = 0;
  /** Requests that have begun. */
  requests = 0;
  readonly writer: MessageWriter;
  readonly clock: Clock;
  readonly #wire: Wire;
  readonly #limits: HeadLimits;
  readonly #events: ServerEvents<Socket>;
  #heads: HeadInput | undefined;
  /** What came behind the request that is under way. */
  #unparsed: ByteStore | undefined;
  #exchange: ServerExchange<Socket> | undefined;
  #body: RequestBody | undefined;
  #linger: Linger | undefined;
  #paused = false;
  /** The client has sent FIN. */
  #inputEnded = false;
  /** No request is wanted behind what is under way. */
  #closing = false;
  /** Inside of `#run`. */
  #running = false;
  /** There: bytes of the read in hand behind the request that is under way. */
  #behind = 0;
  /** Nothing goes to the wire any more. */
  #dead = false;
  #over = false;

  constructor(wire: Wire, limits: HeadLimits, clock: Clock, events: ServerEvents<Socket>) {
    this.#wire = wire;
    this.#limits = limits;
    this.clock = clock;
    this.#events = events;
    this.writer = new MessageWriter(wire);
    this.phaseSinceMs = clock.nowMs;
  }

  /** Bytes written, with those that the network has not taken. */
  get bytesOut(): number {
    return this.writer.bytes;
  }

  /** Bytes written that the network has not taken. */
  get backlog(): number {
    return this.#wire.backlog;
  }

  /** Nothing is read, as nobody takes it: that nothing comes is not the client's fault. */
  get paused(): boolean {
    return this.#paused;
  }

  /** Something has come behind the request that is under way. */
  get waiting(): boolean {
    return this.#hasUnparsed || (this.#running && this.#behind > 0);
  }

  /** The exchange that is under way. */
  get current(): ServerExchange<Socket> | undefined {
    return this.#exchange;
  }

  /** @param chunk is given away */
  receive(chunk: Buffer): void {
    this.bytesIn += chunk.length;
    if (this.#dead) return;
    this.#run(chunk);
    if (this.#closing || this.#hasUnparsed) this.#next();
  }

  /** The client has sent FIN. */
  receivedEnd(): void {
    if (this.#dead || this.#inputEnded) return;
    this.#inputEnded = true;
    const exchange = this.#exchange;
    if (this.#linger !== undefined) this.#linger.hurry();
    else if (exchange === undefined) this.#shut();
    else if (this.#body?.open === true) {
      if (exchange.ended) this.#conclude(exchange, false);
      else this.#breakDown(exchange.begun);
    } else if (exchange.ended) this.#settle();
    // FIN is all that is seen of a client that has left. One that means to wait has said that this is its last request.
    else if (exchange.bodyRead && exchange.head.persistent && !this.#hasUnparsed) {
      this.#breakDown(exchange.begun);
    }
  }

  /** The wire takes more. */
  drained(): void {
    this.writer.drained();
    const exchange = this.#exchange;
    if (this.#dead || exchange === undefined) return;
    if (exchange.ended) this.#settle();
    else exchange.listener.onDrain();
  }

  /** The socket is closed, by whomever. */
  gone(): void {
    if (this.#dead) this.#exchange?.close(); // of a connection that has switched
    else this.#die();
    this.#exchange = undefined;
  }

  /** Ends with the request that is under way, at once when there is none. Its answer says so, if its head is not written. */
  closeWhenIdle(): void {
    this.#closing = true;
    if (this.phase === 'idle' && !this.#running) this.#shut();
  }

  /** Refuses a head that is not whole, as if bytes of it were bad: for deadlines. Has no effect once it is. */
  refuse(refusal: Refusal): void {
    if (this.phase === 'idle' || this.phase === 'head') this.#refuse(refusal, 'no whole head');
  }

  /** Looks whether the end of the connection has taken long enough. All other deadlines are the owner's, by phase and time. */
  sweep(nowMs: number): void {
    if (this.#dead) return;
    const exchange = this.#exchange;
    if (this.#linger !== undefined) {
      if (this.#linger.isOver(nowMs)) this.#breakDown(false);
      else if (this.phase === 'answer' && this.#wire.backlog === 0) this.#setPhase('linger');
    } else if (exchange?.ended === true && this.phase === 'body') {
      if (nowMs - this.phaseSinceMs >= DROP_MS) this.#conclude(exchange, false);
    }
  }

  /** Of an early answer: a client that goes on sending must not have the rest of its body read as a request. */
  endsWith(exchange: ServerExchange<Socket>): boolean {
    if (!exchange.head.persistent) return true;
    // What is here already is answered too.
    if ((this.#closing || this.#inputEnded) && !this.waiting) return true;
    const body = this.#body;
    if (body === undefined || body.done) return false;
    return body.missing > MAX_MISSING || exchange.untold;
  }

  answered(exchange: ServerExchange<Socket>): void {
    if (this.#exchange === exchange) this.#settle();
  }

  breakOff(exchange: ServerExchange<Socket>): void {
    if (this.#exchange === exchange) this.#breakDown(true);
  }

  giveAway(exchange: ServerExchange<Socket>): GivenAway<Socket> {
    if (this.#exchange !== exchange || this.#dead) throw new Error('the client is gone');
    this.#setPhase('switched');
    this.#dead = true;
    const early = this.#unparsed?.take();
    const socket = this.#events.onSwitch();
    this.#end();
    return { socket, early: early === undefined || early.length === 0 ? [] : [early] };
  }

  bodyStarted(): void {
    this.#exchange?.writeContinue();
  }

  bodyWhole(behind: number): void {
    this.#behind = behind;
  }

  stopReading(): void {
    if (this.#paused || this.#dead || this.#linger !== undefined) return;
    this.#paused = true;
    this.#wire.pause();
  }

  readOn(): void {
    if (!this.#paused || this.#dead) return;
    this.#paused = false;
    this.#wire.resume();
  }

  get #hasUnparsed(): boolean {
    return this.#unparsed !== undefined;
  }

  #setPhase(phase: Phase): void {
    this.phase = phase;
    this.phaseSinceMs = this.clock.nowMs;
  }

  #run(chunk: Buffer): void {
    this.#running = true;
    try {
      let at = 0;
      while (at < chunk.length && !this.#dead) {
        const body = this.#body;
        if (this.#linger !== undefined) {
          this.#linger.receive(chunk, at);
          break;
        }
        if (this.#exchange === undefined) at = this.#readHead(chunk, at);
        else if (body?.open === true) at = this.#readBody(body, chunk, at);
        else {
          if (body?.broken !== true) this.#hold(chunk, at);
          break;
        }
      }
    } finally {
      this.#running = false;
    }
  }

  #hold(chunk: Buffer, from: number): void {
    const unparsed = (this.#unparsed ??= new ByteStore());
    unparsed.keep(chunk, from);
    if (unparsed.length > MAX_UNPARSED) this.stopReading();
  }

  #readHead(chunk: Buffer, from: number): number {
    let head: RequestHead;
    let end: number;
    try {
      const heads = (this.#heads ??= new HeadInput('request', this.#limits));
      end = heads.find(chunk, from);
      if (end === -1) {
        if (this.phase === 'idle') this.#setPhase('head');
        return chunk.length;
      }
      const whole = heads.take(chunk, from, end);
      head =
        whole === undefined
          ? parseRequestHead(chunk, from, end, this.#limits)
          : parseRequestHead(whole, 0, whole.length, this.#limits);
    } catch (error) {
      if (!(error instanceof GrammarError)) throw error;
      this.#refuse(error.refusal, error.at);
      return chunk.length;
    }
    // Behind FIN nothing comes any more: what is cut short never begins.
    if (this.#inputEnded && !isAllThere(head.length, this.#limits, chunk, end)) {
      this.#shut();
      return chunk.length;
    }
    // What is behind it may be the other protocol's.
    const kept = head.upgrade && head.length === 0 && end < chunk.length;
    if (kept) this.#hold(chunk, end);
    else this.#behind = head.length === 0 ? chunk.length - end : 0;
    this.#begin(head);
    return kept ? chunk.length : end;
  }

  #begin(head: RequestHead): void {
    const body = head.length === 0 ? undefined : new RequestBody(head.length, this.#limits, this);
    const exchange = new ServerExchange<Socket>(this, head, body);
    this.#exchange = exchange;
    this.#body = body;
    this.requests += 1;
    this.#setPhase(body === undefined ? 'answer' : 'body');
    this.#events.onRequest(exchange);
  }

  #readBody(body: RequestBody, chunk: Buffer, from: number): number {
    const exchange = this.#exchange;
    let at: number;
    try {
      at = body.read(chunk, from);
    } catch (error) {
      if (!(error instanceof GrammarError)) throw error;
      this.readOn();
      if (!body.fail(error)) exchange?.listener.onBadBody(error);
      return chunk.length;
    }
    if (body.done && exchange !== undefined && this.#exchange === exchange) {
      this.#setPhase('answer');
      this.readOn();
      if (exchange.ended) this.#settle();
    }
    return at;
  }

  /** The answer is whole; is the exchange over? */
  #settle(): void {
    const exchange = this.#exchange;
    // A client that does not take its answers gets no others.
    if (exchange === undefined || this.writer.blocked) return;
    const body = this.#body;
    if (exchange.last) this.#conclude(exchange, !exchange.timedOut);
    else if (body?.open === true) {
      this.#setPhase('body');
      body.fail(new GrammarError('cutShort', 'the answer came first'));
    } else {
      this.#exchange = undefined;
      this.#body = undefined;
      this.#setPhase('idle');
      exchange.close();
      if (!this.#running) this.#next();
    }
  }

  /** On to what is there already. */
  #next(): void {
    while (this.#exchange === undefined && this.#linger === undefined) {
      const bytes = this.#unparsed?.take();
      if (bytes === undefined) break;
      this.#unparsed = undefined;
      this.readOn();
      this.#run(bytes);
    }
    this.#shutIfDone();
  }

  /** Between two requests: is it the end? */
  #shutIfDone(): void {
    if (this.#exchange !== undefined || this.#hasUnparsed) return;
    if (this.#inputEnded || (this.#closing && this.phase === 'idle')) this.#shut();
  }

  #refuse(refusal: Refusal, at: string): void {
    const answer = this.#events.onRefused(refusal, at);
    if (this.#dead) return;
    if (answer !== '') this.writer.writeText(answer);
    this.#shut();
  }

  /** The last exchange is over. @param patient what its client still sends of the body is waited for */
  #conclude(exchange: ServerExchange<Socket>, patient: boolean): void {
    const body = this.#body;
    const rest = body?.open === true;
    this.#exchange = undefined;
    this.#lingerOn(patient && rest && !exchange.untold);
    if (rest) body.fail(new GrammarError('cutShort', 'the answer came first'));
    exchange.close();
  }

  /** FIN, with nothing under way. */
  #shut(): void {
    if (!this.#dead && this.#linger === undefined) this.#lingerOn(false);
  }

  /** @param waits for the rest of the body */
  #lingerOn(waits: boolean): void {
    this.#heads = undefined;
    this.#unparsed = undefined;
    this.#setPhase(this.#wire.backlog > 0 ? 'answer' : 'linger');
    this.#linger = new Linger(this.#wire, this.clock, waits ? this.#body : undefined);
    this.#body = undefined;
    this.readOn();
    this.#end();
  }

  /** The end, whatever is under way. @param visible the client must see that its answer is not whole */
  #breakDown(visible: boolean): void {
    if (visible) this.#wire.reset();
    else this.#wire.destroy();
    this.#die();
  }

  #die(): void {
    this.#dead = true;
    const exchange = this.#exchange;
    const body = this.#body;
    this.#exchange = undefined;
    this.#body = undefined;
    this.#unparsed = undefined;
    this.#heads = undefined;
    this.#linger = undefined;
    this.#setPhase('linger');
    exchange?.close();
    if (body?.open === true) body.fail(new GrammarError('cutShort', 'the client is gone'));
    this.#end();
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#events.onOver();
  }
}
