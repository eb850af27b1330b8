import type { Socket } from 'node:net';
import { GatewayFault } from '../errors.ts';
import { GrammarError } from '../http1/refusal.ts';
import { IDEMPOTENT } from '../http1/rules.ts';
import { BodyRelay, type BodyOwner } from './body-relay.ts';
import type { Exchange, Work } from './exchange.ts';
import type { OnFailure } from './forward.ts';
import { readSwitch } from './handshake.ts';
import { openTunnel } from './open-tunnel.ts';
import { grammarFault } from './refusal-answer.ts';
import { responseFields, trailerFields } from './response-head.ts';
import type {
  OpenCall,
  UpstreamAnswer,
  UpstreamFailure,
  UpstreamRequest,
} from './upstream-side.ts';
import type { Upstream } from './upstream.ts';

/** One call to an upstream, and what becomes of its answer. It is also what the engine sends. */
export class UpstreamCall implements UpstreamRequest, UpstreamAnswer, Work, BodyOwner {
  readonly method: string;
  readonly path: string;
  readonly fields: readonly string[];
  readonly body: BodyRelay | undefined;
  readonly switching: boolean;
  /** Trailers are kept: both sides speak HTTP/2, and the client takes them. */
  readonly trailers: boolean;
  readonly #exchange: Exchange;
  readonly #upstream: Upstream;
  readonly #onFailure: OnFailure;
  #open: OpenCall | undefined;
  /** Calls that were begun: one, or two. */
  #tries = 0;
  /** While `filterResponse` is at work on the head. */
  #filtering = false;
  #complete = false;
  /** The head was all of the response (RFC 9112 section 6.3): what comes after it, an error too, is nobody's. */
  #bodiless = false;
  /** The exchange has its whole answer from here, or wants none any more. */
  #ended = false;
  /** The engine is done with it. */
  #over = false;
  /** It tries whether an upstream is back that had failed. */
  #probe = false;
  /** Its upstream's health has heard what came of it. */
  #reported = false;
  /** The trailers, where they are kept. */
  #ending: readonly string[] | undefined;
  /** Bytes of the body still to come; negative: not known. */
  #left = -1;

  /** @param fields name in lower case and value, alternating: without host and framing */
  constructor(
    exchange: Exchange,
    upstream: Upstream,
    path: string,
    fields: readonly string[],
    onFailure: OnFailure,
  ) {
    const { client, head } = exchange;
    this.method = exchange.method;
    this.path = path;
    this.fields = fields;
    this.switching = exchange.handshake !== undefined;
    this.trailers = upstream.http2 && exchange.http2 && head?.takesTrailers === true;
    this.#exchange = exchange;
    this.#upstream = upstream;
    this.#onFailure = onFailure;
    this.body =
      head?.hasBody === true && client.body !== undefined
        ? new BodyRelay(exchange, client.body, head.contentLength, this)
        : undefined;
  }

  start(): void {
    const tries = ++this.#tries;
    this.#over = false;
    this.#open = undefined;
    this.#exchange.work = this;
    this.#upstream.calls.own++;
    if (tries === 1) this.#probe = this.#upstream.health?.began(performance.now()) ?? false;
    this.#exchange.calledAt = performance.now();
    const open = this.#upstream.side.call(this, this, tries > 1);
    if (tries !== this.#tries) return; // it failed at once, and there was another
    this.#open = open;
    if (this.#ended && !this.#over) this.#abort();
  }

  /** The client is gone: stop the upstream's work too. */
  onGone(): void {
    this.#ended = true;
    this.body?.abandon();
    this.#abort();
  }

  onDrained(): void {
    if (!this.#over) this.#open?.resume();
  }

  onHead(status: number, fields: readonly string[], length: number): boolean {
    if (status > 599) throw new Error(`status ${status}`);
    const exchange = this.#exchange;
    if (exchange.answered) throw new Error('the client has had another answer');
    exchange.upstreamMs = performance.now() - exchange.calledAt;
    const { policy } = exchange.plane;
    this.#left = length;
    this.#bodiless = status === 304 || status === 204 || this.method === 'HEAD';
    const sent = exchange.begin(status, responseFields(fields, policy), length, true);
    this.#report();
    if (sent === undefined) {
      if (this.#bodiless) this.#end();
      return true;
    }
    this.#filtering = true;
    void sent.then(() => this.#filtered());
    return false;
  }

  onData(chunk: Uint8Array): boolean {
    if (this.#bodiless) return true;
    this.#left -= chunk.length;
    if (this.#left === 0 && !this.trailers) {
      this.#end(chunk);
      return true;
    }
    return this.#exchange.write(chunk);
  }

  onFlush(): void {
    this.#exchange.flush();
  }

  onEnd(trailers: readonly string[]): void {
    this.#release();
    this.#complete = true;
    if (this.trailers) this.#ending = trailerFields(trailers);
    if (!this.#filtering) this.#end();
  }

  /** The upstream has switched protocols: both connections leave HTTP, or neither does. */
  onSwitch(fields: readonly string[], socket: Socket, early: Buffer): void {
    const exchange = this.#exchange;
    try {
      if (exchange.answered) throw new Error('the client has had another answer');
      if (exchange.handshake === undefined) throw new Error('101 that was not asked for');
      const own = readSwitch(fields, exchange.handshake, exchange.plane.policy);
      if (early.length > 0) socket.unshift(early);
      exchange.upstreamMs = performance.now() - exchange.calledAt;
      this.#report();
      openTunnel(exchange, own, socket, () => this.#release());
      this.#ended = true;
    } catch (error) {
      const cause = error as Error;
      socket.destroy();
      this.onFailure({ kind: 'malformed', detail: cause.message, replayable: false, cause });
    }
  }

  onFailure(failure: UpstreamFailure): void {
    this.#release();
    if (this.#ended) {
      this.#forgetProbe();
    } else if (this.#bodiless && this.#filtering) {
      this.#complete = true;
    } else if (!this.#begun && this.#mayRetry(failure)) {
      this.start();
    } else {
      // Who stops reading in the middle of a body, and closes, may mean its client: that is too slow, or sends too much.
      if (failure.kind === 'broken' && this.body?.whole === false) this.#forgetProbe();
      else this.#report(failure.kind);
      this.#fail(this.#fault(failure), failure.detail);
    }
  }

  onBodyFailed(error: Error): void {
    if (this.#ended) return;
    this.#abort();
    if (error instanceof GatewayFault) {
      this.#fail(error, error.detail);
    } else if (error instanceof GrammarError && error.refusal !== 'cutShort') {
      this.#exchange.closeAfter = true;
      this.#fail(grammarFault(error), error.at);
    } else {
      this.#ended = true;
      this.#exchange.breakOff('aborted'); // the client left in the middle of its request
    }
  }

  get #begun(): boolean {
    return this.#exchange.status !== 0 || this.#filtering;
  }

  #fail(fault: GatewayFault, why: string): void {
    const exchange = this.#exchange;
    this.#ended = true;
    this.body?.abandon();
    if (this.#begun) {
      const { origin } = this.#upstream;
      exchange.log.warn('Gateway', `502: the body from ${origin} broke: ${why}`, exchange.id);
      exchange.breakOff('brokenOff');
    } else {
      this.#onFailure(exchange, fault);
    }
  }

  #abort(): void {
    if (this.#over) return;
    if (this.#open === undefined) return; // it is just being opened
    this.#release();
    this.#forgetProbe();
    this.#open.abort();
  }

  #release(): void {
    if (this.#over) return;
    this.#over = true;
    this.#upstream.calls.own--;
    this.#upstream.queue.ended();
  }

  /** Tells the upstream's health what came of this call: an answer, or a failure before there was one. */
  #report(failure?: UpstreamFailure['kind']): void {
    const { health, origin } = this.#upstream;
    if (health === undefined || this.#reported) return;
    this.#reported = true;
    const { log, plane, id } = this.#exchange;
    const nowMs = performance.now();
    if (failure === undefined) {
      if (health.succeeded(nowMs, this.#probe)) log.info('Gateway', `${origin} answers again`, id);
    } else if (health.failed(failure, nowMs, this.#probe)) {
      plane.observer.circuitOpened();
      log.warn('Gateway', `${origin} failed too often: its requests are answered 503`, id);
    }
  }

  /** Nothing came of it that says whether the upstream is back. */
  #forgetProbe(): void {
    if (this.#reported || !this.#probe) return;
    this.#reported = true;
    this.#upstream.health?.abandoned(performance.now(), true);
  }

  #filtered(): void {
    this.#filtering = false;
    if (this.#ended) return;
    if (this.#complete || this.#bodiless) this.#end();
    if (!this.#over) this.#open?.resume();
  }

  #end(chunk?: Uint8Array): void {
    if (this.#ended) return;
    this.#ended = true;
    this.body?.abandon(); // an answer that came early ends the upload
    if (this.#exchange.outcome === 'aborted') this.#exchange.outcome = 'forwarded';
    this.#exchange.end(chunk, this.#ending);
  }

  /** Only what an upstream that was about to close a kept connection has not seen, and only once. */
  #mayRetry({ replayable }: UpstreamFailure): boolean {
    return (
      replayable && this.#tries === 1 && this.body === undefined && IDEMPOTENT.has(this.method)
    );
  }

  #fault({ kind, detail, cause }: UpstreamFailure): GatewayFault {
    if (cause instanceof GatewayFault) return cause;
    const { origin, turnedAway } = this.#upstream;
    const text = `${origin}: ${detail}`;
    if (kind === 'exhausted') return turnedAway.fault(text, 1, cause);
    const fault = kind === 'timeout' ? 'upstreamTimedOut' : 'upstreamFailed';
    return new GatewayFault(fault, text, { cause });
  }
}
