import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Dispatcher } from 'undici';
import { GatewayFault } from '../errors.ts';
import type { Exchange } from './exchange.ts';
import type { OnFailure } from './forward.ts';
import { readSwitch } from './handshake.ts';
import { openTunnel } from './open-tunnel.ts';
import { RequestBody } from './request-body.ts';
import { readResponseHeaders } from './response-head.ts';
import { isStale, type Upstream } from './upstream.ts';

/** Interim responses (1xx) that are swallowed before one upstream is taken for broken. */
const MAX_INTERIM = 10;

/** Methods that may be sent again when a kept connection died under them (RFC 9110 section 9.2.2). */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);

const TIMEOUTS: ReadonlySet<string | undefined> = new Set([
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
]);

/**
 * One call to an upstream, as undici drives it: its raw handler interface, which gives header bytes and takes `false` for "pause". Every
 * call ends exactly once, in `onComplete` or `onError`.
 */
export class UpstreamCall implements Dispatcher.DispatchHandler {
  readonly #exchange: Exchange;
  readonly #upstream: Upstream;
  readonly #options: Dispatcher.DispatchOptions;
  readonly #onFailure: OnFailure;
  readonly #body: RequestBody | undefined;
  #abort: ((error?: Error) => void) | undefined;
  #resume: (() => void) | undefined;
  #cancelled = false;
  #retried = false;
  #started = false;
  #interim = 0;
  /** While `filterResponse` is at work on the head. */
  #filtering = false;
  #complete = false;
  /** The head was all of the response (RFC 9112 section 6.3): what comes after it, an error too, is nobody's. */
  #bodiless = false;
  #ended = false;
  /** Bytes of the body still to come; negative: not known. */
  #left = -1;

  constructor(
    exchange: Exchange,
    upstream: Upstream,
    options: Dispatcher.DispatchOptions,
    hasBody: boolean,
    onFailure: OnFailure,
  ) {
    this.#exchange = exchange;
    this.#upstream = upstream;
    this.#options = options;
    this.#onFailure = onFailure;
    if (hasBody) {
      const { plane, request } = exchange;
      this.#body = new RequestBody(request, plane.limits.maxBodySize, plane.idleBodyTimeoutMs, () =>
        exchange.continue(),
      );
      this.#options.body = this.#body;
    }
  }

  start(): void {
    this.#exchange.onGone = () => this.#cancel();
    this.#upstream.calls.own++;
    this.#upstream.pool.dispatch(this.#options, this);
  }

  /** The client is gone: stop the upstream's work too. */
  #cancel(): void {
    this.#cancelled = true;
    this.#body?.destroy();
    this.#abort?.(new Error('the client is gone'));
  }

  onConnect(abort: (error?: Error) => void): void {
    this.#abort = abort;
    if (this.#cancelled) abort(new Error('the client is gone'));
  }

  onResponseStarted(): void {
    this.#started = true;
  }

  /** The upstream has switched protocols: both connections leave HTTP, or neither does. */
  onUpgrade(_status: number, raw: Buffer[] | string[] | null, socket: Duplex): void {
    const exchange = this.#exchange;
    try {
      if (exchange.answered) throw new Error('the client has had another answer');
      if (exchange.handshake === undefined) throw new Error('101 that was not asked for');
      const fields = readSwitch(raw as Buffer[], exchange.handshake, exchange.plane.policy);
      openTunnel(exchange, fields, socket as Socket, () => this.#upstream.calls.own--);
      this.#ended = true;
    } catch (error) {
      socket.destroy();
      this.onError(error as Error);
    }
  }

  onHeaders(status: number, raw: Buffer[], resume: () => void): boolean {
    if (status === 101) throw new Error('101 without Upgrade and Connection');
    if (status < 200) {
      if (++this.#interim > MAX_INTERIM) throw new Error('too many interim responses');
      return true;
    }
    if (status > 599) throw new Error(`status ${status}`);
    const exchange = this.#exchange;
    if (exchange.answered) throw new Error('the client has had another answer');
    const head = readResponseHeaders(raw, status, exchange.plane.policy);
    this.#resume = resume;
    this.#left = head.contentLength;
    this.#bodiless = status === 304 || status === 204 || exchange.method === 'HEAD';
    const sent = exchange.begin(status, head.fields);
    if (sent === undefined) {
      if (this.#bodiless) this.#end();
      return true;
    }
    this.#filtering = true;
    void sent.then(() => this.#filtered());
    return false;
  }

  onData(chunk: Buffer): boolean {
    if (this.#bodiless) return true;
    this.#left -= chunk.length;
    if (this.#left === 0) {
      this.#end(chunk);
      return true;
    }
    if (this.#exchange.write(chunk)) return true;
    this.#exchange.onceDrained(() => this.#resume?.());
    return false;
  }

  onComplete(): void {
    this.#upstream.calls.own--;
    this.#complete = true;
    if (!this.#filtering) this.#end();
  }

  onError(error: Error): void {
    this.#upstream.calls.own--;
    if (this.#cancelled || this.#ended) return;
    const exchange = this.#exchange;
    if (this.#bodiless && this.#filtering) {
      this.#complete = true;
    } else if (exchange.status !== 0 || this.#filtering) {
      exchange.log.warn(
        'Gateway',
        `502: the body from ${this.#origin} broke: ${reason(error)}`,
        exchange.id,
      );
      exchange.breakOff('brokenOff');
    } else if (this.#mayRetry(error)) {
      this.#retried = true;
      this.start();
    } else {
      this.#onFailure(exchange, this.#fault(error));
    }
  }

  #filtered(): void {
    this.#filtering = false;
    if (this.#cancelled) return;
    if (this.#complete || this.#bodiless) this.#end();
    else this.#resume?.();
  }

  #end(chunk?: Buffer): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#body?.destroy(); // an answer that came early ends the upload
    if (this.#exchange.outcome === 'aborted') this.#exchange.outcome = 'forwarded';
    this.#exchange.end(chunk);
  }

  /** Only what an upstream that was about to close a kept connection has not seen, and only once. */
  #mayRetry(error: Error): boolean {
    return (
      !this.#retried &&
      !this.#started &&
      this.#body === undefined &&
      IDEMPOTENT.has(this.#options.method) &&
      isStale(error)
    );
  }

  #fault(error: Error): GatewayFault {
    if (error instanceof GatewayFault) return error;
    const timedOut = TIMEOUTS.has((error as NodeJS.ErrnoException).code);
    return new GatewayFault(
      timedOut ? 'upstreamTimedOut' : 'upstreamFailed',
      `${this.#origin}: ${reason(error)}`,
      { cause: error },
    );
  }

  get #origin(): string {
    return this.#upstream.origin;
  }
}

function reason(error: Error): string {
  const { code } = error as NodeJS.ErrnoException;
  return code === undefined ? error.message : `${code} ${error.message}`;
}
