import { constants, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { Clock } from '../http1/wire.ts';
import type { Log } from '../log.ts';
import type { Timeouts } from './options.ts';
import { Seldom } from './seldom.ts';
import { afterReading } from './silence.ts';

/** So many at once, and so many a second for long. */
interface Allowance {
  readonly burst: number;
  readonly perSecond: number;
}

/**
 * Streams that end before their answer begins, whoever resets them: opening and resetting costs a client nothing and the gateway a request
 * (CVE-2023-44487), and a client can make the server do the resetting (CVE-2025-8671). Resets of all streams are besides bounded by nghttp2.
 */
const UNANSWERED: Allowance = { burst: 200, perSecond: 20 };

/** PING, each of which is answered (CVE-2019-9512). */
const PINGS: Allowance = { burst: 200, perSecond: 10 };

/** SETTINGS, each of which is confirmed (CVE-2019-9515). */
const SETTINGS: Allowance = { burst: 50, perSecond: 1 };

/**
 * Bytes sent per PING from which on they are taken for measurements of a connection in use, as gRPC's clients make with each piece of an
 * answer. The answer to a PING has 17.
 */
const USEFUL_BYTES = 64;

/** Bytes that a session without a stream may be sent between two looks that are so many milliseconds apart. Frames that Node tells nobody of. */
const IDLE_BYTES = 65_536;
const IDLE_WINDOW_MS = 10_000;

/** For so long after its last stream a session may have some of its answers left to send, of which nobody is told, milliseconds. */
const LATELY_MS = 5_000;

/** While the gateway closes, a connection whose session is over is kept so long after the last that came or waits on it. Milliseconds. */
const LINGER_MS = 500;

/** Milliseconds between two warnings, at least. */
const SAY_MS = 60_000;

/**
 * What HTTP/2 clients may do beside requests, on top of what node:http2 and nghttp2 bound by themselves. It works on sessions alone,
 * whatever serves their streams.
 */
export class Http2Guard {
  readonly #log: Log;
  readonly #seldom = new Seldom(SAY_MS);
  readonly #sessions = new Map<ServerHttp2Session, GuardedSession>();
  readonly #clock: Clock;
  readonly #life = { closing: false };

  /** @param clock of the sweep that it is looked at by */
  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** From now on connections without a session are not waited for. */
  hurry(): void {
    this.#life.closing = true;
  }

  /**
   * A session has begun.
   * @param below the TCP socket that it is on
   * @param stallMs milliseconds that the client may take nothing of what is to be sent
   */
  watch(session: ServerHttp2Session, timeouts: Timeouts, below: Socket, stallMs: number): void {
    const client = { session, below, stallMs, life: this.#life };
    const guarded = new GuardedSession(client, timeouts, this.#clock, (why) => this.#tell(why));
    this.#sessions.set(session, guarded);
    session.once('close', () => this.#sessions.delete(session));
  }

  /** Whether streams that it opens are not to be served any more. */
  isEnding(session: ServerHttp2Session): boolean {
    return this.#sessions.get(session)?.ending === true;
  }

  /** As {@link Swept.sweep}. */
  sweep(nowMs: number): void {
    for (const session of this.#sessions.values()) session.sweep(nowMs);
  }

  #tell(why: string): void {
    const count = this.#seldom.happened();
    if (count === undefined) return;
    const others = count === 1 ? '' : `, as ${count - 1} before it`;
    this.#log.warn('Gateway', `an HTTP/2 session is ended: ${why}${others}`);
  }
}

/** What {@link Http2Guard.watch} is given, and what it adds. */
interface Client {
  readonly session: ServerHttp2Session;
  readonly below: Socket;
  readonly stallMs: number;
  /** Whether the gateway is about to end. */
  readonly life: { readonly closing: boolean };
}

class GuardedSession {
  /** It went too far, and ends with this turn of the event loop. */
  ending = false;
  readonly #session: ServerHttp2Session;
  readonly #below: Socket;
  readonly #stallMs: number;
  readonly #timeouts: Timeouts;
  readonly #life: Client['life'];
  readonly #clock: Clock;
  readonly #tell: (why: string) => void;
  readonly #unanswered: Bucket;
  readonly #pings: Bucket;
  readonly #settings: Bucket;
  /** Streams that are open. */
  #open = 0;
  /** Since when there is none, milliseconds. */
  #idleSince: number;
  /** Requests whose end has not been seen yet, the oldest first, and when they began. */
  readonly #unfinished = new Map<ServerHttp2Stream, number>();
  /** Streams that have begun, in all; at the last look for bytes that are of no use. */
  #begun = 0;
  #begunBefore = 0;
  #readBefore = 0;
  #lookedAt: number;
  /** Bytes sent when PING was last found to be of use. */
  #written = 0;
  /** Bytes sent when something was last found to move, or nothing to wait, and when that was, milliseconds. */
  #moved = 0;
  #movedMs: number;
  /** Since when the session is over and its connection is not, milliseconds. */
  #overMs: number | undefined;
  /** Since when nothing moves on its connection, and the bytes that had come by then. */
  #stillMs = 0;
  #heard = -1;

  constructor(
    { session, below, stallMs, life }: Client,
    timeouts: Timeouts,
    clock: Clock,
    tell: (why: string) => void,
  ) {
    this.#session = session;
    this.#below = below;
    this.#stallMs = stallMs;
    this.#life = life;
    this.#movedMs = clock.nowMs;
    this.#timeouts = timeouts;
    this.#clock = clock;
    this.#tell = tell;
    this.#idleSince = clock.nowMs;
    this.#lookedAt = clock.nowMs;
    this.#unanswered = new Bucket(UNANSWERED, clock.nowMs);
    this.#pings = new Bucket(PINGS, clock.nowMs);
    this.#settings = new Bucket(SETTINGS, clock.nowMs);
    session
      .on('stream', (stream: ServerHttp2Stream) => this.#begins(stream))
      .on('ping', () => this.#pinged())
      .on('remoteSettings', () => {
        if (!this.#settings.take(clock.nowMs)) this.#end('too many SETTINGS');
      });
    this.#waitForSilence();
  }

  sweep(nowMs: number): void {
    if (this.#session.destroyed) {
      this.#overMs ??= nowMs;
      // The end of its last answer may still be on its way.
      if (nowMs - this.#overMs >= this.#stallMs || this.#hasLingered(nowMs)) this.#below.destroy();
      return;
    }
    this.#lookForStall(nowMs);
    const { requestMs, keepAliveMs } = this.#timeouts;
    for (const [stream, since] of this.#unfinished) {
      if (requestMs === 0 || nowMs - since < requestMs) break;
      this.#unfinished.delete(stream);
      // An answer that has begun is a conversation: gRPC's may last.
      const coming = stream.state.state === constants.NGHTTP2_STREAM_STATE_OPEN;
      if (coming && !stream.headersSent) stream.close(constants.NGHTTP2_CANCEL);
    }
    if (this.#open === 0 && nowMs - this.#idleSince >= keepAliveMs) this.#session.close();
    if (nowMs - this.#lookedAt >= IDLE_WINDOW_MS) this.#lookForNoise(nowMs);
  }

  /** As HTTP/1.1 does; a client that still takes an answer sends WINDOW_UPDATE, to which a closed socket says RST. */
  #hasLingered(nowMs: number): boolean {
    if (!this.#life.closing) return false;
    const { bytesRead } = this.#below;
    if (bytesRead !== this.#heard || queued(this.#below) !== 0) this.#stillMs = nowMs;
    this.#heard = bytesRead;
    return nowMs - this.#stillMs >= LINGER_MS;
  }

  /** A session on which nothing comes or goes takes no more requests, and ends with those that it has. */
  #waitForSilence(): void {
    const session = this.#session;
    session.setTimeout(this.#timeouts.keepAliveMs, () => {
      const heard = this.#below.bytesRead;
      afterReading(() => {
        if (session.destroyed) return;
        if (this.#below.bytesRead === heard) session.close();
        else this.#waitForSilence();
      });
    });
  }

  #begins(stream: ServerHttp2Stream): void {
    this.#open++;
    this.#begun++;
    if (!stream.endAfterHeaders) this.#unfinished.set(stream, this.#clock.nowMs);
    stream.once('close', () => {
      this.#open--;
      this.#unfinished.delete(stream);
      this.#idleSince = this.#clock.nowMs;
      if (stream.headersSent || this.#session.destroyed) return;
      if (!this.#unanswered.take(this.#clock.nowMs))
        this.#end('too many streams without an answer');
    });
  }

  #pinged(): void {
    if (this.#pings.take(this.#clock.nowMs)) return;
    const written = this.#session.socket.bytesWritten;
    if (written - this.#written < PINGS.burst * USEFUL_BYTES) {
      this.#end('too many PING');
      return;
    }
    this.#written = written;
    this.#pings.fill();
  }

  /** Where the connection is stuck below HTTP/2, not even the RST_STREAM leaves that would end a stream. */
  #lookForStall(nowMs: number): void {
    const written = this.#session.socket.bytesWritten;
    const moves = written !== this.#moved;
    const waits = (this.#session.state.outboundQueueSize ?? 0) > 0;
    const lately = this.#open > 0 || nowMs - this.#idleSince < LATELY_MS;
    if (!moves && (waits || lately)) probe(this.#below);
    if (moves || !waits) {
      this.#moved = written;
      this.#movedMs = nowMs;
    } else if (nowMs - this.#movedMs >= this.#stallMs) {
      this.#end('nothing of its answers is taken');
      this.#below.destroy(); // nothing can leave before it
    }
  }

  /** WINDOW_UPDATE, PRIORITY, frames of unknown types: node:http2 says nothing of them. */
  #lookForNoise(nowMs: number): void {
    const read = this.#session.destroyed ? 0 : this.#session.socket.bytesRead;
    const quiet = this.#open === 0 && this.#begun === this.#begunBefore;
    if (quiet && read - this.#readBefore > IDLE_BYTES) this.#end('frames and no request');
    this.#lookedAt = nowMs;
    this.#begunBefore = this.#begun;
    this.#readBefore = read;
  }

  #end(why: string): void {
    const session = this.#session;
    if (session.destroyed || this.ending) return;
    this.ending = true;
    this.#tell(`${why} (from ${session.socket.remoteAddress})`);
    // Not at once: this may be told in the middle of what nghttp2 reads, and a frame behind it, for a stream that nobody was told of any more, would end
    // the process (nodejs/node#64850).
    setImmediate(() => session.destroy(new Error(why), constants.NGHTTP2_ENHANCE_YOUR_CALM));
  }
}

/**
 * Asks a connection on which nothing moves whether it is still there. A client that is gone while much waits for it is told by the error of a write, and
 * of those node:tls loses some: node:http2 then waits for that write for ever, and reads nothing meanwhile. A write of nothing has the error once more,
 * and no effect where the connection stands. Only where no write is queued: libuv forgets what waits behind one that fails.
 */
function probe(below: Socket): void {
  if (queued(below) === 0) below.write('');
}

/** Bytes that the system has not taken yet. Undefined: not known. */
function queued(below: Socket): number | undefined {
  // No public property tells it: where this one is gone, such a client is noticed as one is that takes nothing.
  const { _handle: handle } = below as { _handle?: { readonly writeQueueSize?: number } | null };
  const size = handle?.writeQueueSize;
  return size === undefined ? undefined : size + below.writableLength;
}

/** Counts against an {@link Allowance}. */
class Bucket {
  readonly #allowance: Allowance;
  #left: number;
  #filledMs: number;

  constructor(allowance: Allowance, nowMs: number) {
    this.#allowance = allowance;
    this.#left = allowance.burst;
    this.#filledMs = nowMs;
  }

  /** @returns false: there is none left */
  take(nowMs: number): boolean {
    const { burst, perSecond } = this.#allowance;
    this.#left = Math.min(burst, this.#left + ((nowMs - this.#filledMs) / 1_000) * perSecond);
    this.#filledMs = nowMs;
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }

  fill(): void {
    this.#left = this.#allowance.burst;
  }
}
