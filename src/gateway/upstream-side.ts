import type { Socket } from 'node:net';
import type { BodySource } from '../http1/body.ts';

/** What one origin is asked. */
export interface UpstreamRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  /** Name in lower case and value, alternating, and clean: without `host`, framing and `connection`. */
  readonly fields: readonly string[];
  readonly body: BodySource | undefined;
  /** The client takes trailers. Only said where the answer is asked for over HTTP/2, for one that came over HTTP/2. */
  readonly trailers: boolean;
  /** A WebSocket handshake: `Connection: Upgrade` and `Upgrade: websocket` are added, and 101 is an answer. */
  readonly switching: boolean;
}

/** Who is told the answer. Exactly one of `onEnd`, `onSwitch` and `onFailure` comes, last; none of them after `abort`. */
export interface UpstreamAnswer {
  /**
   * The final head, once. What is thrown here ends the call, with `onFailure`.
   * @param fields name in lower case and value, alternating, as they came
   * @param length bytes that `Content-Length` says, also where no body follows; -1: not said
   * @returns false: hold the body until `resume()`
   */
  onHead(status: number, fields: readonly string[], length: number): boolean;
  /** As {@link BodySink.onData}. Never called where no body follows (HEAD, 204, 304). */
  onData(chunk: Uint8Array): boolean;
  /** @param trailers names and values, alternating; usually none */
  onEnd(trailers: readonly string[]): void;
  /** At the end of every read of which something was handed over: what is kept is to be sent. */
  onFlush(): void;
  /** 101 has come: the socket is the callee's, with what came behind the head. */
  onSwitch(fields: readonly string[], socket: Socket, early: Buffer): void;
  onFailure(failure: UpstreamFailure): void;
}

export interface UpstreamFailure {
  /**
   * `connect`: there is no connection to be had; `timeout`; `broken`: the connection ended before the answer did; `malformed`: what came
   * is no HTTP; `exhausted`: this side has no room for another call.
   */
  readonly kind: 'connect' | 'timeout' | 'broken' | 'malformed' | 'exhausted';
  /** For the log, without bytes of the answer. */
  readonly detail: string;
  /** The connection had served before and nothing of an answer came: nothing says that the upstream saw the request. */
  readonly replayable: boolean;
  readonly cause?: Error;
}

/** A call that is under way. */
export interface OpenCall {
  /** After `onHead` or `onData` said false: go on. */
  resume(): void;
  /** Nobody waits any more: the answer hears nothing more. */
  abort(): void;
}

/** One origin, as an engine calls it. */
export interface UpstreamSide {
  readonly origin: string;
  /** @param fresh on a connection that has served nothing yet, as this is the second try */
  call(request: UpstreamRequest, answer: UpstreamAnswer, fresh: boolean): OpenCall;
  /** Looks for what is past its deadline: as {@link Swept.sweep}. */
  sweep(nowMs: number): void;
  /** Ends every connection. */
  close(): Promise<void>;
}
