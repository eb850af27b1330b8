import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../log.ts';
import { systemClock, type Clock } from './clock.ts';
import { Follower, type SourceStatus } from './follow.ts';
import type { SourcePolicy } from './revocation.ts';
import { RevocationList } from './revocation-list.ts';
import type { RevocationSource } from './source.ts';
import type { TokenIdentity } from './token-identity.ts';

/** Kept beyond an entry's end, on top of the clock skew: what the token check rounds and what a slow machine takes. */
const SPARE_MARGIN_MS = 60_000;
/** The token check allows for the skew three times at most: in `exp`, in `iat`, and in the longest life between them. */
const SKEWS = 3;
const SWEEP_EVERY_MS = 1_000;
const LOG_KEY = 'TokenRevocation';

/** A source with what it may say. */
export interface FollowedSource {
  readonly source: RevocationSource;
  readonly policy: SourcePolicy;
}

export interface RevocationsOptions {
  readonly sources: readonly FollowedSource[];
  /** What a call gets while it is not known whether its token was revoked (invariant 4). */
  readonly whenUnknown: 'deny' | 'allow';
  /** Milliseconds by which a token may outlive its `exp` here. */
  readonly clockSkewMs: number;
  readonly log: Log;
  readonly clock?: Clock;
  readonly firstPauseMs?: number;
}

/** The three things one can know of a token's revocation. */
export type RevocationAnswer = 'revoked' | 'clear' | 'unknown';

/** The revocation list with all that feeds it: what the request path asks, and what readiness tells. */
export class Revocations {
  readonly #list: RevocationList;
  readonly #followers: readonly Follower[];
  readonly #decisive: readonly Follower[];
  readonly #whenUnknown: 'deny' | 'allow';
  readonly #log: Log;
  #known: boolean;
  #sweeper: NodeJS.Timeout | undefined;

  constructor(options: RevocationsOptions) {
    const clock = options.clock ?? systemClock;
    this.#list = new RevocationList(clock, SKEWS * options.clockSkewMs + SPARE_MARGIN_MS);
    this.#whenUnknown = options.whenUnknown;
    this.#log = options.log;
    this.#followers = options.sources.map(
      ({ source, policy }) =>
        new Follower(source, this.#list, {
          policy,
          log: options.log,
          clock,
          ...(options.firstPauseMs === undefined ? {} : { firstPauseMs: options.firstPauseMs }),
          onComplete: () => this.#completed(source),
        }),
    );
    const stores = this.#followers.filter(({ status }) => status.kind === 'list');
    this.#decisive = stores.length > 0 ? stores : this.#followers;
    this.#known = this.#decisive.length === 0;
  }

  start(): void {
    for (const follower of this.#followers) follower.start();
    this.#sweeper ??= setInterval(() => this.#list.sweep(), SWEEP_EVERY_MS);
    this.#sweeper.unref();
  }

  /**
   * Resolves when every real-time source stands or has failed for the first time, after `deadlineMs` milliseconds in any case. Whoever opens
   * listeners only then hears of what is revoked from the first request on, where that can be had; where not, nobody is kept waiting.
   */
  async subscribed(deadlineMs: number): Promise<void> {
    const late = new AbortController();
    const events = this.#followers.filter(({ status }) => status.kind === 'events');
    await Promise.race([
      Promise.all(events.map(({ tried }) => tried)),
      sleep(deadlineMs, undefined, { signal: late.signal }).catch(() => undefined),
    ]);
    late.abort();
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeper);
    await Promise.all(this.#followers.map((follower) => follower.close()));
  }

  /** Asked on every request, after the verified-token cache; synchronous and without I/O. What is known revoked comes before unknown. */
  check(token: TokenIdentity): RevocationAnswer {
    if (this.#list.covers(token)) return 'revoked';
    return this.#known || this.#whenUnknown === 'allow' ? 'clear' : 'unknown';
  }

  /**
   * The time that tokens are checked against, epoch milliseconds: the wall clock, but never before the end of a revocation that was
   * already forgotten. So a clock that is set back revives nothing, and one that was fast at start and is then corrected harms nobody.
   */
  now(): number {
    return Math.max(Date.now(), this.#list.forgottenUntilMs);
  }

  /** Every store was read completely once; with real-time sources only, each subscription stood once. */
  get known(): boolean {
    return this.#known;
  }

  /** Whether secured calls are let through now. */
  get ready(): boolean {
    return this.#known || this.#whenUnknown === 'allow';
  }

  get sources(): readonly SourceStatus[] {
    return this.#followers.map(({ status }) => status);
  }

  /** Asks every store for a whole new read: what a real-time source may have missed is in there (invariant 3). */
  rereadStores(): void {
    for (const follower of this.#followers) if (follower.status.kind === 'list') follower.reread();
  }

  #completed(source: RevocationSource): void {
    if (source.kind === 'events') this.rereadStores();
    if (this.#known || !this.#decisive.every(({ status }) => status.completedOnce)) return;
    this.#known = true;
    this.#log.info(LOG_KEY, 'Revocations are known: calls to secured operations are served');
  }
}
