import { BodyReader, type BodyEvents } from './body-reader.ts';
import type { BodySource } from './body.ts';
import { ByteStore } from './byte-store.ts';
import { ClientConnectionError, type ClientFailure, type ResponseEvents } from './client-events.ts';
import { HeadInput } from './head-input.ts';
import type { HeadLimits } from './limits.ts';
import { UNTIL_CLOSE, type ResponseHead } from './message-head.ts';
import { MessageWriter } from './message-writer.ts';
import { GrammarError } from './refusal.ts';
import { RequestSender, type SenderHost } from './request-sender.ts';
import { parseResponseHead } from './response-parser.ts';
import { IDEMPOTENT, MAX_INTERIM } from './rules.ts';
import type { Clock, Settling, Wire } from './wire.ts';

const NO_TRAILERS: readonly string[] = [];

/** `idle`: may be sent on. `head`: a request is sent, its answer's head not here. `body`: the head is. `over`: closed, or another protocol's. */
export type ClientPhase = 'idle' | 'head' | 'body' | 'over';

/**
 * The client side of an HTTP/1.1 connection (RFC 9112) as a state machine: no socket, no timer, one exchange at a time. Whatever leaves a
 * doubt about where the next answer begins ends the connection: a byte too much, an answer that came before the request was sent, an abort.
 */
export class ClientConnection implements BodyEvents, SenderHost, Settling {
  phase: ClientPhase = 'idle';
  /** When anything last came, or went, in this exchange; or since when it is idle. Milliseconds of the clock. */
  movedMs: number;
  /** Exchanges that were whole. */
  served = 0;
  /** Whether any byte of an answer came in this exchange. */
  receivedAny = false;
  /** Bytes received. */
  bytesIn = 0;
  /** How long the other side said that it keeps the connection idle, milliseconds (`Keep-Alive: timeout`); Infinity: not said. */
  keepAliveMs = Infinity;
  /** Nothing is read, as nobody takes it: that nothing comes is not the other side's fault. */
  paused = false;
  /**
   * The exchange is over: true, the connection may serve another; this comes once all is read that stood behind the answer.
   * False, once: it is over itself. A pool puts its own in.
   */
  onIdle: (reusable: boolean) => void;
  readonly #wire: Wire;
  readonly #limits: HeadLimits;
  readonly #clock: Clock;
  readonly #writer: MessageWriter;
  #heads: HeadInput | undefined;
  #events: ResponseEvents | undefined;
  #method = '';
  #switching = false;
  #sender: RequestSender | undefined;
  #hadBody = false;
  #head: ResponseHead | undefined;
  #reader: BodyReader | undefined;
  #interim = 0;
  /** An interim answer said `Connection: close`: the final one still comes, and no request is sent after it (RFC 9112 section 9.6). */
  #closing = false;
  #trailers = NO_TRAILERS;
  /** `onHead` said false: what comes is kept. */
  #holding = false;
  #held: ByteStore | undefined;
  /** FIN came. */
  #inputEnded = false;
  /** Something was handed over that is not flushed. */
  #handedOver = false;

  constructor(wire: Wire, limits: HeadLimits, clock: Clock, onIdle: (reusable: boolean) => void) {
    this.#wire = wire;
    this.#limits = limits;
    this.#clock = clock;
    this.#writer = new MessageWriter(wire);
    this.onIdle = onIdle;
    this.movedMs = clock.nowMs;
  }

  /** Bytes written, with those that the network has not taken. */
  get bytesOut(): number {
    return this.#writer.bytes;
  }

  /** Bytes written that the network has not taken. */
  get backlog(): number {
    return this.#wire.backlog;
  }

  /** The request of this exchange is written whole. */
  get sent(): boolean {
    return this.#sender === undefined || this.#sender.done;
  }

  /**
   * Sends a request. Only when idle.
   * @param head latin1, whole, and framed as `body.length` says; without body, framed as having none
   * @param switching 101 is an answer
   */
  send(
    head: string,
    method: string,
    body: BodySource | undefined,
    switching: boolean,
    events: ResponseEvents,
  ): void {
    if (this.phase !== 'idle') throw new Error('the connection is not idle');
    this.phase = 'head';
    this.movedMs = this.#clock.nowMs;
    this.receivedAny = false;
    this.#events = events;
    this.#method = method;
    this.#switching = switching;
    this.#hadBody = body !== undefined;
    this.#interim = 0;
    this.#trailers = NO_TRAILERS;
    this.#writer.begin(head, body === undefined ? 0 : body.length);
    if (body === undefined) {
      this.#sender = undefined;
      this.#writer.flush();
    } else {
      this.#sender = new RequestSender(body, this.#writer, this);
      this.#sender.start();
    }
  }

  /** @param chunk is only lent, unless it has 16 KiB or more */
  receive(chunk: Buffer): void {
    this.bytesIn += chunk.length;
    this.movedMs = this.#clock.nowMs;
    if (this.phase === 'over') return;
    if (this.phase === 'idle') {
      this.#close();
      return;
    }
    this.receivedAny = true;
    if (this.#holding) this.#keep(chunk, 0);
    else this.#run(chunk);
  }

  /** The other side has sent FIN. */
  receivedEnd(): void {
    this.#inputEnded = true;
    if (this.phase === 'over' || this.#holding) return;
    if (this.phase === 'idle') this.#close();
    else this.#endInput();
  }

  /** The wire takes more. */
  drained(): void {
    this.#writer.drained();
    if (this.phase === 'over' || this.phase === 'idle') return;
    this.movedMs = this.#clock.nowMs;
    this.#sender?.drained();
  }

  /** The socket is closed, by whomever. */
  gone(error?: Error): void {
    if (this.phase === 'over') return;
    if (this.phase === 'idle') this.#close();
    // A whole answer may be kept, and its FIN: then this is its usual end.
    else if (!this.#holding || !this.#inputEnded) {
      this.#fail('broken', 'the connection broke', error);
    }
  }

  /** After `onHead` or `onData` said false: go on. */
  resume(): void {
    if (this.phase === 'over' || this.phase === 'idle') return;
    this.movedMs = this.#clock.nowMs;
    if (this.#holding) {
      this.#holding = false;
      const held = this.#held?.take();
      this.#held = undefined;
      const events = this.#events;
      this.#run(held ?? NOTHING);
      // Asked anew: what was kept may have ended the exchange, or begun the next.
      if (this.#inputEnded && this.#events === events && events !== undefined) this.#endInput();
    }
    if (!this.#holding) this.#unpause();
  }

  /** Nobody waits any more. Closes the connection, idle or not. */
  abort(): void {
    if (this.phase !== 'over') this.#close();
  }

  // Of the answer's reader.

  onData(chunk: Buffer): void {
    const events = this.#events;
    if (events === undefined) return;
    this.#handedOver = true;
    if (!events.onData(chunk)) this.#pause();
  }

  onTrailers(fields: readonly string[]): void {
    this.#trailers = fields;
  }

  // Of the request's sender.

  requestFailed(error: Error): void {
    if (this.phase !== 'over') this.#fail('request', 'the request could not be sent whole', error);
  }

  requestMoved(): void {
    this.movedMs = this.#clock.nowMs;
  }

  // Own.

  #run(chunk: Buffer): void {
    const events = this.#events;
    if (events === undefined) return;
    let at = 0;
    try {
      while (this.#events === events) {
        if (this.#holding) {
          this.#keep(chunk, at);
          break;
        }
        if (this.#head === undefined) {
          if (at === chunk.length) break;
          at = this.#readHead(events, chunk, at);
        } else {
          const reader = this.#reader;
          if (reader !== undefined) at = reader.read(chunk, at, chunk.length);
          if (this.#events === events && reader?.done !== false) {
            this.#complete(events, at < chunk.length);
          }
          break;
        }
      }
    } catch (error) {
      if (!(error instanceof GrammarError)) throw error;
      if (this.#events === events) this.#fail('malformed', error.at, error);
    }
    if (this.#handedOver && this.#events === events) {
      this.#handedOver = false;
      events.onFlush();
    }
  }

  #readHead(events: ResponseEvents, chunk: Buffer, from: number): number {
    const heads = (this.#heads ??= new HeadInput('response', this.#limits));
    const end = heads.find(chunk, from);
    if (end === -1) return chunk.length;
    const whole = heads.take(chunk, from, end);
    const head =
      whole === undefined
        ? parseResponseHead(chunk, from, end, this.#limits, this.#method)
        : parseResponseHead(whole, 0, whole.length, this.#limits, this.#method);
    if (head.status === 101) this.#switch(events, head, chunk, end);
    else if (head.status < 200) {
      this.#interim += 1;
      if (this.#interim > MAX_INTERIM) throw new GrammarError('malformed', 'interim answers');
      if (!head.persistent) this.#closing = true;
    } else {
      this.phase = 'body';
      this.#head = head;
      this.#reader =
        head.length === 0 ? undefined : new BodyReader(head.length, this.#limits, this);
      this.#handedOver = true;
      if (!events.onHead(head) && this.#events === events) {
        this.#holding = true;
        this.#pause();
      }
    }
    return end;
  }

  #switch(events: ResponseEvents, head: ResponseHead, chunk: Buffer, from: number): void {
    if (!this.#switching) throw new GrammarError('malformed', '101 that nobody asked for');
    const early = Buffer.from(chunk.subarray(from));
    this.#leave();
    this.onIdle(false);
    events.onSwitch(head, early);
  }

  #keep(chunk: Buffer, from: number): void {
    if (from === chunk.length) return;
    (this.#held ??= new ByteStore()).append(chunk, from, chunk.length);
  }

  /** No byte of this answer will come any more. */
  #endInput(): void {
    const events = this.#events;
    if (events === undefined) return;
    if (this.#head?.length === UNTIL_CLOSE) this.#complete(events, false);
    else this.#fail('broken', 'the connection was closed before the answer was whole', undefined);
  }

  /** The answer is whole. */
  #complete(events: ResponseEvents, surplus: boolean): void {
    const head = this.#head;
    const trailers = this.#trailers;
    // Not every upstream reads a body of these: what it leaves would be the next request.
    const doubtful = this.#hadBody && (this.#method === 'GET' || this.#method === 'HEAD');
    const reusable =
      head?.persistent === true &&
      !this.#closing &&
      !doubtful &&
      this.sent &&
      !surplus &&
      !this.#inputEnded;
    this.served += 1;
    if (reusable) {
      this.keepAliveMs = keepAlive(head.fields) ?? this.keepAliveMs;
      this.#forget();
      this.phase = 'idle';
      this.movedMs = this.#clock.nowMs;
      this.#unpause();
      this.#wire.settle(this);
    } else this.#close();
    events.onEnd(trailers);
  }

  /** Nothing came behind the answer. */
  settled(): void {
    if (this.phase === 'idle') this.onIdle(true);
  }

  #fail(kind: ClientFailure, message: string, cause: Error | undefined): void {
    const events = this.#events;
    const replayable =
      kind === 'broken' &&
      this.served > 0 &&
      !this.receivedAny &&
      !this.#hadBody &&
      IDEMPOTENT.has(this.#method);
    this.#close();
    events?.onError(new ClientConnectionError(kind, message, replayable, cause));
  }

  #close(): void {
    this.#wire.destroy();
    this.#leave();
    this.onIdle(false);
  }

  #leave(): void {
    const sender = this.#sender;
    this.phase = 'over';
    this.#heads = undefined;
    this.#forget();
    sender?.abandon();
  }

  #forget(): void {
    this.#events = undefined;
    this.#sender = undefined;
    this.#head = undefined;
    this.#reader = undefined;
    this.#trailers = NO_TRAILERS;
    this.#holding = false;
    this.#held = undefined;
    this.#handedOver = false;
  }

  #pause(): void {
    if (this.paused || this.phase === 'over') return;
    this.paused = true;
    this.#wire.pause();
  }

  #unpause(): void {
    if (!this.paused || this.phase === 'over') return;
    this.paused = false;
    this.#wire.resume();
  }
}

const NOTHING = Buffer.alloc(0);

/** `Keep-Alive: timeout=N`, milliseconds. */
function keepAlive(fields: readonly string[]): number | undefined {
  for (let index = 0; index < fields.length; index += 2) {
    if (fields[index] === 'keep-alive') {
      const seconds = /(?:^|[\s,])timeout=(\d{1,9})/i.exec(fields[index + 1] ?? '')?.[1];
      if (seconds !== undefined) return Number(seconds) * 1_000;
    }
  }
  return undefined;
}
