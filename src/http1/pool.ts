import type { ClientConnection } from './client-connection.ts';
import type { Clock } from './wire.ts';

export interface PoolLimits {
  /** Connections that are open or being opened. */
  readonly maxConnections: number;
  /** Idle connections that are kept; undefined: all. */
  readonly maxIdle?: number | undefined;
  /** Who waits for a connection that is not even being opened. */
  readonly maxQueued: number;
  /** Milliseconds of such a wait. */
  readonly queueMs: number;
  /** Milliseconds until an opened connection has to be ready. */
  readonly connectMs: number;
  /** Milliseconds that a connection is kept idle; less when the other side says so. */
  readonly idleMs: number;
}

/**
 * `full`, `waited`: no connection came free, at once or in time. `connect`, `connectTimeout`: one could not be opened. `closed`: the pool.
 */
export type PoolFailure = 'full' | 'waited' | 'connect' | 'connectTimeout' | 'closed';

export class PoolError extends Error {
  readonly kind: PoolFailure;

  constructor(kind: PoolFailure, message: string, cause?: Error) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'PoolError';
    this.kind = kind;
  }
}

/** A wish for a connection. */
export interface Waiting {
  /** Neither `give` nor `fail` will be called. Has no effect once one was. */
  cancel(): void;
}

/**
 * Begins to open a connection. Exactly one of the two is called, also inside of this, unless it was cancelled.
 * @returns cancels it
 */
export type OpenConnection = (
  ready: (connection: ClientConnection) => void,
  failed: (error: Error) => void,
) => () => void;

/** How much earlier than the other side an idle connection is closed, so that it does not close it while we send. */
const KEEP_ALIVE_MARGIN_MS = 1_000;

const NOT_WAITING: Waiting = { cancel: () => {} };

class Waiter implements Waiting {
  give: ((connection: ClientConnection) => void) | undefined;
  readonly fail: (error: PoolError) => void;
  readonly fresh: boolean;
  readonly sinceMs: number;
  readonly #pool: ConnectionPool;

  constructor(
    pool: ConnectionPool,
    give: (connection: ClientConnection) => void,
    fail: (error: PoolError) => void,
    fresh: boolean,
    sinceMs: number,
  ) {
    this.#pool = pool;
    this.give = give;
    this.fail = fail;
    this.fresh = fresh;
    this.sinceMs = sinceMs;
  }

  cancel(): void {
    if (this.give === undefined) return;
    this.give = undefined;
    this.#pool.forget(this);
  }
}

/** A connection, and whether somebody has it. */
interface Pooled {
  readonly connection: ClientConnection;
  busy: boolean;
}

/** A connection that is being opened. */
interface Attempt {
  sinceMs: number;
  over: boolean;
  cancel: () => void;
}

/**
 * The keep-alive connections to one origin. The one that was used last is used next, so that few are busy and the others grow old and go.
 * No timers: `sweep` is called from outside.
 */
export class ConnectionPool {
  readonly #open: OpenConnection;
  readonly #limits: PoolLimits;
  readonly #clock: Clock;
  /** The last one was used last. */
  readonly #idle: Pooled[] = [];
  #busy = 0;
  readonly #waiters: Waiter[] = [];
  readonly #attempts = new Set<Attempt>();
  #closed = false;
  #opening = false;

  constructor(open: OpenConnection, limits: PoolLimits, clock: Clock) {
    this.#open = open;
    this.#limits = limits;
    this.#clock = clock;
  }

  get busy(): number {
    return this.#busy;
  }

  get idle(): number {
    return this.#idle.length;
  }

  /** Who waits for a connection that is not even being opened. */
  get queued(): number {
    return Math.max(0, this.#waiters.length - this.#attempts.size);
  }

  /** An idle connection, at once; undefined when there is none. Nobody but for a fresh one waits while there is. */
  takeIdle(): ClientConnection | undefined {
    for (;;) {
      const pooled = this.#idle.pop();
      if (pooled === undefined) return undefined;
      const { connection } = pooled;
      if (this.#isFit(connection)) {
        pooled.busy = true;
        this.#busy += 1;
        return connection;
      }
      connection.abort();
    }
  }

  /**
   * One connection for one exchange. It comes back by its `onIdle`.
   * @param give may be called inside of this, as may `fail`; exactly one of them is
   * @param fresh one that has served nothing yet
   */
  take(
    give: (connection: ClientConnection) => void,
    fail: (error: PoolError) => void,
    fresh: boolean,
  ): Waiting {
    if (this.#closed) {
      fail(new PoolError('closed', 'the pool is closed'));
      return NOT_WAITING;
    }
    const connection = fresh ? undefined : this.takeIdle();
    if (connection !== undefined) {
      give(connection);
      return NOT_WAITING;
    }
    if (!this.#hasRoom() && fresh) this.#idle.shift()?.connection.abort();
    if (!this.#hasRoom() && this.queued >= this.#limits.maxQueued) {
      fail(new PoolError('full', 'too many requests wait for a connection'));
      return NOT_WAITING;
    }
    const waiter = new Waiter(this, give, fail, fresh, this.#clock.nowMs);
    this.#waiters.push(waiter);
    this.#openMore();
    return waiter;
  }

  /** Of a waiter that was cancelled. */
  forget(waiter: Waiter): void {
    const at = this.#waiters.indexOf(waiter);
    if (at !== -1) this.#waiters.splice(at, 1);
  }

  /** Closes what was idle for too long, and gives up what waits, or is being opened, for too long. */
  sweep(now: number): void {
    for (const attempt of this.#attempts) {
      if (now - attempt.sinceMs < this.#limits.connectMs) continue;
      attempt.cancel();
      this.#lost(attempt, new PoolError('connectTimeout', 'the connection was not ready in time'));
    }
    // Whoever has an attempt of its own waits for that; the others stand behind them.
    for (;;) {
      const waiter = this.#waiters[this.#attempts.size];
      if (waiter === undefined || now - waiter.sinceMs < this.#limits.queueMs) break;
      this.#waiters.splice(this.#attempts.size, 1);
      this.#refuse(waiter, new PoolError('waited', 'no connection came free in time'));
    }
    // Those that were used longest ago stand first, but the other side may have named a shorter time for any.
    const old = this.#idle.filter(({ connection }) => !this.#isFit(connection));
    for (const { connection } of old) connection.abort();
  }

  /** Closes what is idle, gives up what waits; connections that are busy end with their exchange. */
  close(): void {
    this.#closed = true;
    for (const attempt of this.#attempts) {
      attempt.over = true;
      attempt.cancel();
    }
    this.#attempts.clear();
    for (const waiter of this.#waiters.splice(0)) {
      this.#refuse(waiter, new PoolError('closed', 'the pool is closed'));
    }
    for (const { connection } of this.#idle.splice(0)) connection.abort();
  }

  #isFit(connection: ClientConnection): boolean {
    const limit = Math.min(this.#limits.idleMs, connection.keepAliveMs - KEEP_ALIVE_MARGIN_MS);
    return connection.phase === 'idle' && this.#clock.nowMs - connection.movedMs < limit;
  }

  #hasRoom(): boolean {
    const { size } = this.#attempts;
    return this.#busy + this.#idle.length + size < this.#limits.maxConnections;
  }

  /** Opens connections for those who wait and have none on its way. */
  #openMore(): void {
    // An attempt that fails at once comes back here; the loop that is running goes on with it.
    if (this.#opening) return;
    this.#opening = true;
    while (!this.#closed && this.queued > 0 && this.#hasRoom()) this.#attempt();
    this.#opening = false;
  }

  #attempt(): void {
    const attempt: Attempt = { sinceMs: this.#clock.nowMs, over: false, cancel: () => {} };
    this.#attempts.add(attempt);
    const cancel = this.#open(
      (connection) => {
        if (attempt.over) connection.abort();
        else this.#won(attempt, connection);
      },
      (error) => {
        if (!attempt.over) {
          this.#lost(attempt, new PoolError('connect', 'no connection could be opened', error));
        }
      },
    );
    attempt.cancel = cancel;
  }

  #won(attempt: Attempt, connection: ClientConnection): void {
    attempt.over = true;
    this.#attempts.delete(attempt);
    const pooled: Pooled = { connection, busy: false };
    connection.onIdle = (reusable) => {
      if (pooled.busy) this.#busy -= 1;
      pooled.busy = false;
      if (reusable) this.#offer(pooled);
      else this.#dropped(pooled);
    };
    this.#offer(pooled);
  }

  #lost(attempt: Attempt, error: PoolError): void {
    attempt.over = true;
    this.#attempts.delete(attempt);
    const [waiter] = this.#waiters;
    // Who came after whom it was opened for has not waited for all of that time.
    const early = error.kind === 'connectTimeout' && attempt.sinceMs < (waiter?.sinceMs ?? 0);
    if (waiter !== undefined && !early) {
      this.#waiters.shift();
      this.#refuse(waiter, error);
    }
    this.#openMore();
  }

  /** The connection goes to who waits longest and may have it, or becomes idle. */
  #offer(pooled: Pooled): void {
    const { connection } = pooled;
    if (this.#closed || connection.phase !== 'idle') {
      connection.abort();
      return;
    }
    const waiter = this.#waiters.length === 0 ? undefined : this.#nextFor(connection);
    if (waiter !== undefined) {
      pooled.busy = true;
      this.#busy += 1;
      const { give } = waiter;
      waiter.give = undefined;
      give?.(connection);
      return;
    }
    const full = this.#idle.length >= (this.#limits.maxIdle ?? Infinity);
    if (full || this.queued > 0 || !this.#isFit(connection)) {
      // Who waits for a fresh one needs its place more.
      connection.abort();
      this.#openMore();
      return;
    }
    this.#idle.push(pooled);
  }

  /** Takes who waits longest, and may have this connection, off the queue. */
  #nextFor(connection: ClientConnection): Waiter | undefined {
    const at = this.#waiters.findIndex((waiter) => !waiter.fresh || connection.served === 0);
    return at === -1 ? undefined : this.#waiters.splice(at, 1)[0];
  }

  /** The connection is closed. */
  #dropped(pooled: Pooled): void {
    const at = this.#idle.indexOf(pooled);
    if (at !== -1) this.#idle.splice(at, 1);
    this.#openMore();
  }

  #refuse(waiter: Waiter, error: PoolError): void {
    waiter.give = undefined;
    waiter.fail(error);
  }
}
