import type { ClientHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';
import type { Clock } from '../http1/wire.ts';
import { UpstreamSession } from './http2-session.ts';
import { connectFailure } from './origin-call.ts';
import type { UpstreamFailure } from './upstream-side.ts';

/** Connections to one origin. */
const MAX_SESSIONS = 4;

/** Streams on one connection before another is opened. */
const ENOUGH_STREAMS = 100;

/** Bounds of the wait for one of the connections, where all are busy. */
const MAX_WAITING = 1_000;
const WAIT_MS = 5_000;

/** A connection on which nothing came for so long is asked for a sign of life beside its next call. Milliseconds. */
const QUIET_MS = 10_000;

/** A connection without a call is kept so long. Milliseconds. */
const IDLE_MS = 300_000;

/** An upstream may keep a connection open so long after the last that came on it, where the session on it is over. Milliseconds. */
const LEAVE_MS = 5_000;

/** Opens a connection; see `openSession`. */
export type OpenSession = (
  ready: (session: ClientHttp2Session, socket: Socket) => void,
  failed: (error: Error) => void,
) => () => void;

interface Waiting {
  readonly give: (session: UpstreamSession) => void;
  readonly fail: (failure: UpstreamFailure) => void;
  readonly sinceMs: number;
  /** What was being opened when it came: it may take as long as that does. */
  attempt: Opening | undefined;
}

interface Opening {
  readonly sinceMs: number;
  cancel: () => void;
}

/** The connections to one origin: made on demand, and again when they are gone. */
export class Http2Sessions {
  readonly #open: OpenSession;
  readonly #connectMs: number;
  /** The last one is the newest. */
  readonly #sessions: UpstreamSession[] = [];
  readonly #opening = new Set<Opening>();
  readonly #waiting = new Set<Waiting>();
  readonly #clock: Clock;
  #closed = false;
  /** The last connection ended before a call could go over it: those who wait have no other opened for them. */
  #fruitless = false;

  /**
   * @param connectMs milliseconds to connect, and to answer a PING
   * @param clock of the sweep that they are looked at by
   */
  constructor(open: OpenSession, connectMs: number, clock: Clock) {
    this.#open = open;
    this.#connectMs = connectMs;
    this.#clock = clock;
  }

  /**
   * Gives a session that takes a stream, now or later. Exactly one of `give` and `fail` is called, unless it was cancelled.
   * @param newest the youngest connection, as one of them has just failed
   * @returns cancels it
   */
  take(
    give: (session: UpstreamSession) => void,
    fail: (failure: UpstreamFailure) => void,
    newest: boolean,
  ): () => void {
    const session = this.#waiting.size === 0 ? this.#free(newest) : undefined;
    if (session !== undefined) {
      this.#give(session, give);
      return nothing;
    }
    if (this.#waiting.size >= MAX_WAITING) {
      fail({
        kind: 'exhausted',
        detail: `${MAX_WAITING} calls wait for a connection`,
        replayable: false,
      });
      return nothing;
    }
    const waiting: Waiting = { give, fail, sinceMs: this.#clock.nowMs, attempt: undefined };
    this.#waiting.add(waiting);
    this.#connect();
    waiting.attempt = [...this.#opening].at(-1);
    return () => this.#waiting.delete(waiting);
  }

  /** A stream is over. */
  release(session: UpstreamSession): void {
    session.streams--;
    if (session.streams === 0) session.heardMs = this.#clock.nowMs;
    this.#serve();
  }

  /** As {@link Swept.sweep}. */
  sweep(nowMs: number): void {
    for (const opening of this.#opening) {
      if (nowMs - opening.sinceMs < this.#connectMs) continue;
      opening.cancel();
      this.#opening.delete(opening);
      this.#refused({
        kind: 'timeout',
        detail: `no connection within ${this.#connectMs} ms`,
        replayable: false,
      });
    }
    for (const made of this.#sessions) {
      const { session, pingedMs, heardMs, streams } = made;
      if (session.destroyed) {
        // Its connection is not, as the upstream does not end it.
        if (nowMs - heardMs >= LEAVE_MS) made.destroy();
      } else if (pingedMs !== 0 && heardMs <= pingedMs && nowMs - pingedMs >= this.#connectMs) {
        made.destroy(new Error('the connection gives no sign of life'));
      } else if (streams === 0 && nowMs - heardMs >= IDLE_MS) {
        session.close();
      }
    }
    for (const waiting of this.#waiting) {
      if (nowMs - waiting.sinceMs < WAIT_MS) break; // the others came later
      if (this.#isTrying(waiting)) continue;
      this.#waiting.delete(waiting);
      waiting.fail({
        kind: 'exhausted',
        detail: `its connections were busy for ${WAIT_MS} ms`,
        replayable: false,
      });
    }
  }

  /** Ends every connection. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const opening of this.#opening) opening.cancel();
    this.#opening.clear();
    this.#refused({ kind: 'connect', detail: 'the upstream is given up', replayable: false });
    const closed = this.#sessions.map(
      ({ session }) => new Promise((resolve) => session.once('close', resolve)),
    );
    for (const session of this.#sessions) session.destroy();
    await Promise.all(closed);
  }

  /** The least busy session, while there is no reason to open another. */
  #free(newest: boolean): UpstreamSession | undefined {
    let best: UpstreamSession | undefined;
    for (const session of this.#sessions) {
      if (!session.open || session.streams >= session.maxStreams) continue;
      if (newest || best === undefined || session.streams < best.streams) best = session;
    }
    if (best === undefined || newest || best.streams < ENOUGH_STREAMS) return best;
    return this.#mayOpen ? undefined : best;
  }

  get #mayOpen(): boolean {
    const open = this.#sessions.reduce((count, session) => count + (session.open ? 1 : 0), 0);
    return !this.#closed && open + this.#opening.size < MAX_SESSIONS;
  }

  #give(session: UpstreamSession, give: Waiting['give']): void {
    if (session.served > 0 && this.#clock.nowMs - session.heardMs >= QUIET_MS)
      session.ping(this.#clock.nowMs);
    this.#fruitless = false;
    session.streams++;
    give(session);
    session.served++;
  }

  /** Gives those who wait what there is, and opens more where that is not enough. */
  #serve(): void {
    for (const waiting of this.#waiting) {
      const session = this.#free(false);
      if (session === undefined) {
        if (!this.#fruitless) this.#connect();
        return;
      }
      this.#waiting.delete(waiting);
      this.#give(session, waiting.give);
    }
  }

  #connect(): void {
    if (!this.#mayOpen || this.#waiting.size <= this.#opening.size * ENOUGH_STREAMS) return;
    const opening: Opening = { sinceMs: this.#clock.nowMs, cancel: nothing };
    this.#opening.add(opening);
    opening.cancel = this.#open(
      (session, socket) => {
        this.#opening.delete(opening);
        this.#add(new UpstreamSession(session, socket, this.#clock.nowMs));
      },
      (cause) => {
        if (!this.#opening.delete(opening) || this.#opening.size > 0) return;
        this.#refused(connectFailure('connect', cause));
      },
    );
  }

  #add(made: UpstreamSession): void {
    this.#sessions.push(made);
    made.session.once('goaway', () => this.#ended(made));
    made.session.once('close', () => {
      this.#sessions.splice(this.#sessions.indexOf(made), 1);
      this.#ended(made);
      this.#serve();
    });
    made.session.on('remoteSettings', () => this.#serve()); // it may allow more streams now
    this.#serve();
  }

  /** A connection takes no more calls: one that never had any is as good as none. */
  #ended(made: UpstreamSession): void {
    this.#fruitless = made.served === 0;
    if (!this.#fruitless) return;
    const detail = 'it ended the connection before a call could go over it';
    this.#refused({ kind: 'connect', detail, replayable: false });
  }

  /** A connection could not be had: where there is no other, nobody needs to wait but for an attempt of their own. */
  #refused(failure: UpstreamFailure): void {
    if (!this.#closed && this.#sessions.some((session) => session.open)) return;
    for (const waiting of this.#waiting) {
      if (this.#isTrying(waiting)) continue;
      if (this.#waiting.delete(waiting)) waiting.fail(failure);
    }
  }

  #isTrying({ attempt }: Waiting): boolean {
    return attempt !== undefined && this.#opening.has(attempt);
  }
}

function nothing(): void {
  // There is nothing to cancel.
}
