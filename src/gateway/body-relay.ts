import { GatewayFault } from '../errors.ts';
import type { BodySink, BodySource } from '../http1/body.ts';
import type { Exchange } from './exchange.ts';
import { Silence } from './silence.ts';

/** Who is told that a body does not come whole. */
export interface BodyOwner {
  /** Once; the relay has let go of the body by then. */
  onBodyFailed(error: Error): void;
}

/**
 * A request's body between client and upstream, bounded in size and in idle time. What breaks on the client's side is its owner's to
 * answer: the upstream's side hears nothing of it, and is to be ended by the owner. Trailers are left behind (RFC 9110 section 6.5.1).
 */
export class BodyRelay implements BodySource, BodySink {
  readonly length: number;
  /** The client has sent all of it. */
  whole = false;
  readonly #exchange: Exchange;
  readonly #source: BodySource;
  readonly #owner: BodyOwner;
  #sink: BodySink | undefined;
  #over = false;
  /** Of a client, while more is wanted from it. */
  readonly #silence = new Silence(() => this.#onIdle());

  /** @param length bytes; -1: not said */
  constructor(exchange: Exchange, source: BodySource, length: number, owner: BodyOwner) {
    this.#exchange = exchange;
    this.#source = source;
    this.length = length;
    this.#owner = owner;
  }

  /** The upstream is there to take the body. */
  start(sink: BodySink): void {
    if (this.#over) return;
    this.#sink = sink;
    this.#exchange.continue();
    this.#wait();
    this.#source.start(this);
  }

  resume(): void {
    if (this.#over) return;
    this.#wait();
    this.#source.resume();
  }

  abandon(): void {
    if (this.#over) return;
    this.#stop();
    this.#source.abandon();
  }

  onData(chunk: Uint8Array): boolean {
    if (this.#over) return true;
    const exchange = this.#exchange;
    const { maxBodySize } = exchange.plane.limits;
    exchange.bytesIn += chunk.length;
    if (maxBodySize >= 0 && exchange.bytesIn > maxBodySize) {
      this.#fail(new GatewayFault('payloadTooLarge', `body of more than ${maxBodySize} bytes`));
      return true;
    }
    if (this.#sink?.onData(chunk) === false) {
      this.#silence.stop(); // it is not the client that is slow
      return false;
    }
    this.#silence.moved();
    return true;
  }

  onEnd(): void {
    if (this.#over) return;
    const sink = this.#sink;
    this.whole = true;
    this.#stop();
    sink?.onEnd([]);
  }

  onError(error: Error): void {
    if (this.#over) return;
    this.#stop();
    this.#owner.onBodyFailed(error);
  }

  /** A client that stays silent while more is wanted has so much time. */
  #wait(): void {
    this.#silence.start(this.#exchange.plane.idleBodyTimeoutMs);
  }

  #onIdle(): void {
    this.#fail(new GatewayFault('requestTimedOut', 'the request body stopped coming'));
  }

  #fail(fault: GatewayFault): void {
    this.abandon();
    this.#owner.onBodyFailed(fault);
  }

  #stop(): void {
    this.#over = true;
    this.#sink = undefined;
    this.#silence.stop();
  }
}
