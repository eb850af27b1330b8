import type { Socket } from 'node:net';
import { GatewayFault } from '../../errors.ts';
import type { HeadLimits } from '../../http1/limits.ts';
import type { Refusal } from '../../http1/refusal.ts';
import { ServerConnection } from '../../http1/server-connection.ts';
import type { ServerEvents } from '../../http1/server-events.ts';
import type { ServerExchange } from '../../http1/server-exchange.ts';
import type { Clock } from '../../http1/wire.ts';
import type { DataPlane } from '../data-plane.ts';
import { Exchange, type Site } from '../exchange.ts';
import { handle } from '../handle.ts';
import { refusalAnswer, refusalFault } from '../refusal-answer.ts';
import { reject } from '../reject.ts';
import { errorText } from '../error-text.ts';
import type { Deadlines } from './deadlines.ts';
import { OwnConnection } from './own-connection.ts';
import { Pace } from './pace.ts';
import { type Carried, OwnSocket } from './own-socket.ts';

/** What the clients of one listener share. */
export interface Entrance {
  readonly plane: DataPlane;
  readonly site: Site;
  readonly limits: HeadLimits;
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  /** The connection is closed. */
  forget(client: OwnClient): void;
}

/** One accepted connection: its socket, its state machine, and the exchanges that it has brought. */
export class OwnClient implements ServerEvents<Socket>, Carried {
  readonly peer: string;
  readonly machine: ServerConnection<Socket>;
  /** Of the first request on; an idle connection does without. */
  connection: OwnConnection | undefined;
  readonly #entrance: Entrance;
  readonly #socket: OwnSocket;
  #handedOver = false;
  /** A deadline has passed, in place of what the machine takes it for. */
  #late = false;
  /** Of the body that it sends, and of the answer that it takes, while it is waited for. */
  #sending: Pace | undefined;
  #taking: Pace | undefined;

  /** @param tcp the socket below `stream`, or the same */
  constructor(entrance: Entrance, stream: Socket, tcp: Socket, peer: string) {
    this.#entrance = entrance;
    this.peer = peer;
    this.#socket = new OwnSocket(stream, tcp);
    this.machine = new ServerConnection<Socket>(
      this.#socket,
      entrance.limits,
      entrance.clock,
      this,
    );
    this.#socket.carry(this, true);
  }

  /** As {@link Guest.silentMs}. */
  get silentMs(): number | undefined {
    const { phase, phaseSinceMs } = this.machine;
    if (phase !== 'idle' && phase !== 'head') return undefined;
    return this.#entrance.clock.nowMs - phaseSinceMs;
  }

  // Of the socket.

  receive(chunk: Buffer): void {
    this.machine.receive(chunk);
  }

  receivedEnd(): void {
    this.machine.receivedEnd();
  }

  drained(): void {
    this.machine.drained();
  }

  gone(): void {
    this.#entrance.forget(this);
    if (!this.#handedOver) this.machine.gone();
  }

  failed(error: unknown): void {
    const { plane } = this.#entrance;
    const text = errorText(error);
    const exchange = this.connection?.current;
    plane.log.error('Gateway', `a connection is ended: ${text} (from ${this.peer})`, exchange?.id);
    if (exchange === undefined) plane.observer.count('internalError');
    else exchange.outcome = 'internalError';
  }

  // Of the machine.

  onRequest(request: ServerExchange<Socket>): void {
    const { plane, site } = this.#entrance;
    const connection = (this.connection ??= new OwnConnection(this.peer, plane, this.machine));
    const exchange = new Exchange(plane, site, connection, request);
    // What comes behind it belongs to another protocol, and is not to be read as HTTP when the answer is a plain one.
    if (request.canSwitch && isHandshake(request)) exchange.closeAfter = true;
    if (request.head.expects === 'unknown') {
      reject(exchange, new GatewayFault('expectationFailed', 'unknown expectation'));
    } else handle(exchange);
  }

  onRefused(refusal: Refusal, at: string): string {
    const { plane } = this.#entrance;
    if (this.#late) {
      return refusalAnswer('requestTimedOut', 'no whole head in time', this.peer, plane);
    }
    if (refusal === 'cutShort') return ''; // there is nobody to answer
    return refusalAnswer(refusalFault(refusal), at, this.peer, plane);
  }

  onSwitch(): Socket {
    this.#handedOver = true;
    return this.#socket.release();
  }

  onOver(): void {
    // The socket's close is what counts here.
  }

  // Of the listener.

  /** Ends it when nothing is under way on it, now or after the last answer. */
  closeWhenIdle(): void {
    this.#socket.guard(() => this.machine.closeWhenIdle());
  }

  /** Ends it now. */
  destroy(): void {
    const { current, backlog } = this.machine;
    const tunnel = this.connection?.current?.tunnel;
    if (tunnel !== undefined) tunnel.close(1001, 'the gateway is closing');
    // To a client of HTTP/1.0 an answer may end with FIN: one that is cut short is not to look whole.
    else if (current !== undefined || backlog > 0) this.#socket.reset();
    else this.#socket.destroy();
  }

  /** Looks for what is past its deadline. */
  sweep(nowMs: number): void {
    this.#socket.guard(() => this.#look(nowMs));
  }

  #look(nowMs: number): void {
    const { machine } = this;
    const { headMs, keepAliveMs } = this.#entrance.deadlines;
    const waitedMs = nowMs - machine.phaseSinceMs;
    switch (machine.phase) {
      case 'idle':
        this.#sending = undefined;
        this.#taking = undefined;
        if (machine.requests > 0) {
          if (waitedMs >= keepAliveMs) machine.closeWhenIdle();
        } else if (waitedMs >= headMs) this.#refuse();
        break;
      case 'head':
        if (waitedMs >= headMs) this.#refuse();
        break;
      case 'body':
        this.#watchBody(nowMs, waitedMs);
        this.#watchAnswer(nowMs);
        machine.sweep(nowMs);
        break;
      case 'answer':
      case 'linger':
        this.#sending = undefined;
        this.#watchAnswer(nowMs);
        machine.sweep(nowMs);
        break;
      case 'switched':
        break;
    }
  }

  #refuse(): void {
    this.#late = true;
    this.machine.refuse('malformed');
  }

  /** That it comes at all is looked after where it goes; here, that it comes to an end. */
  #watchBody(nowMs: number, waitedMs: number): void {
    const { machine } = this;
    const { requestMs, minRate } = this.#entrance.deadlines;
    // Whoever was not told to go on is not waited for.
    if (machine.paused || machine.current?.untold === true) this.#sending = undefined;
    else if (this.#sending === undefined) this.#sending = new Pace(machine.bytesIn, nowMs);
    else if (this.#sending.isLost(machine.bytesIn, nowMs, Infinity, minRate)) {
      this.#badBody(`fewer than ${minRate} bytes of the request a second`);
    }
    if (waitedMs >= requestMs) this.#badBody('the whole request did not come in time');
  }

  #badBody(why: string): void {
    const exchange = this.machine.current;
    if (this.#late || exchange === undefined) return;
    this.#late = true;
    if (exchange.begun) this.machine.closeWhenIdle();
    else exchange.listener.onBadBody(new GatewayFault('requestTimedOut', why));
  }

  /**
   * Bytes that wait mean that the client takes none, or too few. What it took shows when a write is over, and the kernel asks for more when much of
   * its buffer is free: of a steady client, too, nothing may be seen for a while.
   */
  #watchAnswer(nowMs: number): void {
    const { machine } = this;
    const { stallMs, minRate } = this.#entrance.deadlines;
    const { backlog } = machine;
    const taken = machine.bytesOut - backlog;
    if (backlog === 0) this.#taking = undefined;
    else if (this.#taking === undefined) this.#taking = new Pace(taken, nowMs, true);
    else if (this.#taking.isLost(taken, nowMs, stallMs, minRate)) {
      if (machine.current === undefined) this.#socket.reset();
      else machine.current.breakOff();
    }
  }
}

/** Whether a request asks for a WebSocket; who asks for something else is served as if it had not asked. */
function isHandshake({ method, fields }: ServerExchange<Socket>): boolean {
  if (method !== 'GET') return false;
  for (let at = 0; at < fields.length; at += 2) {
    if (fields[at] === 'upgrade') return fields[at + 1]?.toLowerCase() === 'websocket';
  }
  return false;
}
