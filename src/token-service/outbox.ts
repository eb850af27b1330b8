import { randomUUID } from 'node:crypto';
import type { StatementSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../log.ts';
import type { OutgoingRevocation, RevocationPublisher } from '../revocation/source.ts';
import type { TokenDatabase } from './database.ts';

const LONGEST_PAUSE_MS = 30_000;
/** A publisher that answers nothing for this long is taken to have failed; the copy is sent again. */
const PUBLISH_DEADLINE_MS = 30_000;
/** How long `close` waits for a copy that is on its way. */
const CLOSE_GRACE_MS = 2000;

/**
 * Copies of revocations on their way out, one row per publisher, kept in the database until the other side accepted them. Each publisher
 * has its own queue and its own pace; within it the order is that of the revocations. At least once: a crash between acceptance and its
 * commit sends the same `eventId` again.
 */
export class Outbox {
  readonly #database: TokenDatabase;
  readonly #publishers: readonly RevocationPublisher[];
  readonly #firstPauseMs: number;
  readonly #log: Log;
  readonly #insert: StatementSync;
  readonly #next: StatementSync;
  readonly #delete: StatementSync;
  readonly #purge: StatementSync;
  readonly #stop = new AbortController();
  readonly #wakers = new Set<() => void>();
  #running: readonly Promise<void>[] = [];

  constructor(
    database: TokenDatabase,
    publishers: readonly RevocationPublisher[],
    firstPauseMs: number,
    log: Log,
  ) {
    const { sql } = database;
    this.#database = database;
    this.#publishers = publishers;
    this.#firstPauseMs = firstPauseMs;
    this.#log = log;
    this.#insert = sql.prepare(
      'INSERT INTO outbox (publisher, event_id, token, token_type, issuer, ends_at_ms) VALUES (?, ?, ?, ?, ?, ?)',
    );
    this.#next = sql.prepare('SELECT * FROM outbox WHERE publisher = ? ORDER BY id LIMIT 1');
    this.#delete = sql.prepare('DELETE FROM outbox WHERE id = ?');
    this.#purge = sql.prepare(
      'DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE ends_at_ms < ? LIMIT ?)',
    );
  }

  /** Within a commit: one row per publisher, all with one new `eventId`. */
  add(revocation: Omit<OutgoingRevocation, 'eventId'>): void {
    const eventId = randomUUID();
    for (const { name } of this.#publishers) {
      this.#insert.run(
        name,
        eventId,
        revocation.token,
        revocation.tokenType,
        revocation.issuer ?? '',
        revocation.expiresAtMs,
      );
    }
  }

  /** Starts sending, with what an earlier run left first. */
  start(): void {
    this.#running = this.#publishers.map((publisher) => this.#deliver(publisher));
    const names = new Set(this.#publishers.map(({ name }) => name));
    const rows = this.#database.sql
      .prepare('SELECT publisher, count(*) AS copies FROM outbox GROUP BY publisher')
      .all();
    for (const row of rows) {
      const name = String(row['publisher']);
      if (!names.has(name)) {
        this.#log.warn(
          'TokenService',
          `${Number(row['copies'])} revocations wait for publisher ${name}, which is not configured: they are dropped long after their tokens end`,
        );
      }
    }
  }

  /** Call after a commit that added rows. */
  wake(): void {
    for (const wake of this.#wakers) wake();
  }

  /**
   * Within a commit: drops up to `limit` copies about tokens that ended before `beforeMs`; answers how many. Only for copies that nobody
   * will ever take: that a token has ended is no reason to lose one.
   */
  purge(beforeMs: number, limit: number): number {
    return Number(this.#purge.run(beforeMs, limit).changes);
  }

  /** Stops sending, waits shortly for what is under way, and closes the publishers. What was not accepted stays in the database. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.wake();
    const grace = new AbortController();
    await Promise.race([
      Promise.all(this.#running),
      sleep(CLOSE_GRACE_MS, undefined, { signal: grace.signal }).catch(() => undefined),
    ]);
    grace.abort();
    const closed = await Promise.allSettled(this.#publishers.map((publisher) => publisher.close()));
    for (const result of closed) {
      if (result.status === 'rejected') {
        this.#log.warn('TokenService', `a publisher did not close: ${messageOf(result.reason)}`);
      }
    }
  }

  async #deliver(publisher: RevocationPublisher): Promise<void> {
    const { signal } = this.#stop;
    let failures = 0;
    while (!signal.aborted) {
      try {
        const row = this.#next.get(publisher.name);
        if (row === undefined) {
          await this.#woken();
          continue;
        }
        await inTime(
          publisher.publish({
            eventId: String(row['event_id']),
            token: String(row['token']),
            tokenType: row['token_type'] === 'opaque' ? 'opaque' : 'JWT',
            ...(row['issuer'] === '' ? {} : { issuer: String(row['issuer']) }),
            expiresAtMs: Number(row['ends_at_ms']),
          }),
        );
        await this.#database.commit(() => this.#delete.run(Number(row['id'])));
        if (failures > 0) {
          this.#log.info('TokenService', `publisher ${publisher.name} accepts revocations again`);
        }
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        const pauseMs = jittered(Math.min(this.#firstPauseMs * 2 ** failures, LONGEST_PAUSE_MS));
        failures = Math.min(failures + 1, 20);
        this.#log.warn(
          'TokenService',
          `publisher ${publisher.name} did not accept a revocation: ${messageOf(error)}; next try in ${pauseMs} ms`,
        );
        await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  /** Resolves at the next {@link wake}. Between the look into the queue and this call nothing else runs, so no wake is lost. */
  #woken(): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#wakers.delete(wake);
        resolve();
      };
      this.#wakers.add(wake);
    });
  }
}

/** Between half and all of it, so that services that lost the same broker do not come back in step. */
function jittered(pauseMs: number): number {
  return Math.ceil(pauseMs * (0.5 + Math.random() / 2));
}

async function inTime(work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer in time')), PUBLISH_DEADLINE_MS);
  });
  try {
    await Promise.race([work, deadline]);
  } finally {
    clearTimeout(timer);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
