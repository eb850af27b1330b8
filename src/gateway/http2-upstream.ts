import type { Clock } from '../http1/wire.ts';
import { errorText } from './error-text.ts';
import type { Log } from '../log.ts';
import { Http2Call, type Http2Outlet } from './http2-call.ts';
import { openSession } from './http2-session.ts';
import { Http2Sessions } from './http2-sessions.ts';
import { OpenCalls } from './open-calls.ts';
import type { UpstreamOptions } from './options.ts';
import { upstreamAddress } from './upstream-address.ts';
import type { OpenCall, UpstreamAnswer, UpstreamRequest, UpstreamSide } from './upstream-side.ts';

/**
 * One origin, called over HTTP/2, whatever engine there is for HTTP/1.1. Over TLS the upstream has to choose `h2` by ALPN; without TLS it
 * is known beforehand to speak HTTP/2 (RFC 9113 section 3.3).
 */
export class Http2Upstream implements UpstreamSide, Http2Outlet {
  readonly origin: string;
  readonly scheme: 'http' | 'https';
  readonly authority: string;
  readonly sessions: Http2Sessions;
  readonly clock: Clock;
  readonly headMs: number;
  readonly idleBodyMs: number;
  readonly maxHeaderSize: number;
  readonly #log: Log;
  readonly #calls = new OpenCalls<Http2Call>();

  /** @param clock of the sweep that it is looked at by */
  constructor(origin: string, options: UpstreamOptions, log: Log, clock: Clock) {
    const address = upstreamAddress(origin, options, 'h2');
    this.origin = origin;
    this.scheme = address.secure ? 'https' : 'http';
    this.authority = new URL(origin).host;
    this.headMs = options.headersTimeoutMs ?? 60_000;
    this.idleBodyMs = options.idleBodyTimeoutMs ?? 60_000;
    this.maxHeaderSize = options.maxHeaderSize ?? 16_384;
    this.clock = clock;
    this.#log = log;
    this.sessions = new Http2Sessions(
      (ready, failed) => openSession(origin, address, this.maxHeaderSize, ready, failed),
      options.connectTimeoutMs ?? 5_000,
      clock,
    );
  }

  call(request: UpstreamRequest, answer: UpstreamAnswer, fresh: boolean): OpenCall {
    const call = new Http2Call(this, request, answer);
    this.#calls.add(call);
    call.start(fresh);
    return call;
  }

  sweep(nowMs: number): void {
    this.sessions.sweep(nowMs);
    this.#calls.sweep(nowMs);
  }

  close(): Promise<void> {
    return this.sessions.close();
  }

  // Of its calls.

  forget(call: Http2Call): void {
    this.#calls.remove(call);
  }

  report(error: unknown): void {
    this.#log.error('Gateway', `${this.origin}: a call is ended: ${errorText(error)}`);
  }
}
