import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { tlsFailure } from '../net/tls-failure.ts';
import type { UpstreamAddress } from './upstream-address.ts';

/** Header fields of an answer. */
export const MAX_FIELDS = 200;

/** Bytes of one stream's answer that may come before they are taken, and of all streams of a session together. */
const STREAM_WINDOW = 262_144;
const SESSION_WINDOW = 4 * 1024 * 1024;

/** Megabytes that node:http2 may keep for one session. */
const SESSION_MEMORY = 64;

/** Where there is no HTTP/2. */
const TAKE_OUT = 'take x-portcullis-http2 out of the API definition';
const NOT_OFFERED = `it does not offer HTTP/2 (ALPN h2): ${TAKE_OUT}`;

/** One connection to an upstream, on which calls are streams. */
export class UpstreamSession {
  readonly session: ClientHttp2Session;
  readonly #socket: Socket;
  /** Calls that are under way on it. */
  streams = 0;
  /** Calls that it has had. */
  served = 0;
  /** When something came on it last, milliseconds of the sweep's clock. */
  heardMs: number;
  /** When it was asked whether it is still there; 0: nothing is asked. */
  pingedMs = 0;
  /** Of GOAWAY: streams above it were not looked at (RFC 9113 section 6.8). Undefined: there was none. */
  lastStream: number | undefined;

  /** @param socket what it is on */
  constructor(session: ClientHttp2Session, socket: Socket, nowMs: number) {
    this.session = session;
    this.#socket = socket;
    this.heardMs = nowMs;
    session.on('goaway', (_code, lastStream: number) => {
      this.lastStream = lastStream;
    });
  }

  /** It takes new streams: it is not closed, and was not told to go away. */
  get open(): boolean {
    // node:http2 closes it only when all have heard of the GOAWAY.
    return this.lastStream === undefined && !this.session.closed && !this.session.destroyed;
  }

  /** Streams that the upstream allows at one time. */
  get maxStreams(): number {
    return this.session.remoteSettings.maxConcurrentStreams ?? 100;
  }

  /** Ends it, and its connection: a session that was closed before only waits for the other side to end that. */
  destroy(error?: Error): void {
    this.session.destroy(error);
    this.#socket.destroy();
  }

  /** Asks whether the other side is still there; {@link pingedMs} is 0 again when it has answered. */
  ping(nowMs: number): void {
    if (this.pingedMs !== 0) return;
    this.pingedMs = nowMs;
    this.session.ping((error: Error | null) => {
      if (error === null) this.pingedMs = 0;
    });
  }
}

/**
 * Begins a session. It is there when the upstream's SETTINGS have come: before that nothing says that it speaks HTTP/2 (RFC 9113 section
 * 3.4). One of `ready` and `failed` is called, unless it was cancelled.
 * @param maxHeaderSize bytes of an answer's head, as they count in HTTP/1.1
 * @returns cancels it
 */
export function openSession(
  origin: string,
  { secure, tcp, tls }: UpstreamAddress,
  maxHeaderSize: number,
  ready: (session: ClientHttp2Session, socket: Socket) => void,
  failed: (error: Error) => void,
): () => void {
  const socket = secure ? connectTls({ ...tcp, ...tls }) : connectTcp(tcp);
  let session: ClientHttp2Session | undefined;
  let settled = false;
  const fail = (error: Error): void => {
    if (settled) return;
    settled = true;
    session?.destroy();
    socket.destroy();
    failed(spoke(error));
  };
  // Stays for good: an 'error' event without a listener would end the process.
  socket.on('error', fail).once(secure ? 'secureConnect' : 'connect', () => {
    if (settled) return;
    if ('alpnProtocol' in socket && socket.alpnProtocol !== 'h2') {
      fail(new Error(NOT_OFFERED));
      return;
    }
    const bounds = {
      maxHeaderListPairs: MAX_FIELDS + 10,
      maxSessionMemory: SESSION_MEMORY,
      strictSingleValueFields: false, // fields go as they came, as over HTTP/1.1
      settings: {
        enablePush: false,
        initialWindowSize: STREAM_WINDOW,
        maxHeaderListSize: maxHeaderSize + 32 * MAX_FIELDS,
      },
    };
    const made = connectHttp2(origin, { ...bounds, createConnection: () => socket });
    session = made;
    made
      .on('error', fail)
      .once('close', () => fail(new Error('it ended the connection before it spoke HTTP/2')))
      .once('remoteSettings', () => {
        if (settled) return;
        settled = true;
        made.setLocalWindowSize(SESSION_WINDOW);
        ready(made, socket);
      });
  });
  return () => {
    settled = true;
    session?.destroy();
    socket.destroy();
  };
}

/** Bytes that are no frames are an error of the framing; an upstream that has no `h2` to choose says so by an alert (RFC 7301 section 3.2). */
function spoke(cause: Error): Error {
  const { code } = cause as NodeJS.ErrnoException;
  if (code === 'ERR_HTTP2_ERROR')
    return new Error(`it does not speak HTTP/2: ${TAKE_OUT}`, { cause });
  return tlsFailure(cause)?.matter === 'version of HTTP'
    ? new Error(NOT_OFFERED, { cause })
    : cause;
}
