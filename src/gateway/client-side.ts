import type { Socket } from 'node:net';
import type { BodySource } from '../http1/body.ts';
import type { Connection } from './connection.ts';
import type { DataPlane } from './data-plane.ts';
import type { Bound, Listening, ListenerTls, Timeouts } from './options.ts';

/** One request and the way back to who sent it, whatever engine and version of HTTP brought it. */
export interface ClientSide {
  readonly method: string;
  /** As it came: path and query, or in absolute-form. */
  readonly target: string;
  readonly version: '1.0' | '1.1' | '2.0';
  /** Name in lower case and value, alternating; pseudo fields of HTTP/2 first. */
  readonly fields: readonly string[];
  /** Undefined: there is none. Its length is -1 when it is not said. */
  readonly body: BodySource | undefined;
  /** Whether the whole request has come. True where it has no body. */
  readonly bodyRead: boolean;
  /** The client waits for `100 Continue` before it sends its body. */
  readonly expectsContinue: boolean;
  /** Whether {@link switchProtocols} may be called: the request asks for a WebSocket, in a way that the engine can give. */
  readonly canSwitch: boolean;
  /** Set once, before anything is called. */
  listener: ClientListener;
  /** `100 Continue`. Has no effect once there is an answer. */
  writeContinue(): void;
  /**
   * The head of the answer. It may be kept until more is written, or until {@link flush}.
   * @param fields name and value, alternating. Framing and `Connection` are the engine's and never among them, and so is `Date`
   *   where an upstream has not given one. `Upgrade` (426, 101) is among them, and the engine names it in `Connection`
   * @param length bytes that the body has, also of the answer to HEAD or a 304 that carries none; -1: not known
   * @param close the connection ends with this answer
   * @param clean the fields come from a parser of ours as they are; others are checked
   * @throws TypeError fields that HTTP does not allow; nothing was sent then, and there may be another answer
   */
  writeHead(
    status: number,
    fields: readonly string[],
    length: number,
    close: boolean,
    clean: boolean,
  ): void;
  /** Never called for an answer without a body. False: hold until `onDrain()`. The chunk may be reused when this returns, if it is small. */
  write(chunk: Uint8Array): boolean;
  /** Sends what is kept. */
  flush(): void;
  /**
   * The answer is whole.
   * @param trailers names and values, alternating; sent where the version of HTTP has a place for them
   */
  end(chunk?: Uint8Array | string, trailers?: readonly string[]): void;
  /** No client may take what it has for a whole answer: TCP RST, or RST_STREAM. */
  breakOff(): void;
  /** Answers 101; from then on the socket is the caller's, with what came early. */
  switchProtocols(fields: readonly string[]): {
    readonly socket: Socket;
    readonly early: readonly Buffer[];
  };
}

/** Who is told what becomes of a request. */
export interface ClientListener {
  /** After a `write` that returned false: it takes more. */
  onDrain(): void;
  /** Once, last: the answer is written and the request read, or the client is gone. */
  onClose(): void;
  /**
   * The body broke while no sink was there, or the wait for it is over.
   * @param error a `GrammarError`, or the `GatewayFault` that it is answered with
   */
  onBadBody(error: Error): void;
}

/** One bound address: from sockets to exchanges. */
export interface EngineListener {
  /** @throws ListenError */
  listen(how: Listening): Promise<Bound>;
  /** Tells HTTP/2 clients to open no more streams here (GOAWAY, RFC 9113 section 6.8). */
  announceClose(): void;
  /** Accepts no more; resolves when the last connection is gone. */
  stopAccepting(): Promise<void>;
  /** Ends connections on which nothing is under way; the others end with their last response. */
  closeIdle(): void;
  /** Ends every connection now; the clients of WebSockets are told so, where a frame may stand (1001, RFC 6455 section 7.4.1). */
  destroy(): void;
  /** The connections on which a request has come. */
  connections(): Iterable<Connection>;
  /** New handshakes get this certificate; connections that are open stay. Not for a plain listener. */
  setCertificate(tls: ListenerTls): void;
  /** Requests that begin from now on get this. Bounds of heads hold for new connections, deadlines for all. */
  setPlane(plane: DataPlane, timeouts: Timeouts): void;
  /** Looks for what is past its deadline: as {@link Swept.sweep}. */
  sweep(nowMs: number): void;
}
