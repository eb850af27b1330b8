import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Log } from '../log.ts';
import { systemClock, type Clock } from './clock.ts';
import { type Moment, momentOf } from './freshness.ts';
import { parseRule } from './parse-rule.ts';
import {
  parseRevocation,
  type Revocation,
  type RevocationEvent,
  type SourcePolicy,
} from './revocation.ts';
import type { Lift, Rule } from './rule.ts';
import type { RuleEvent } from './rule-event.ts';
import type { RevocationSink, RevocationSource } from './source.ts';

const FIRST_PAUSE_MS = 500;
/** Bounds of the longest pause between two attempts. */
const [SHORTEST_LONGEST_PAUSE_MS, LONGEST_PAUSE_MS] = [1_000, 30_000];
/** How long a source has to stand before its failures are forgotten: one that comes up and breaks at once is to be left alone longer. */
const STEADY_MS = 30_000;
/** Between two WARN lines about dropped messages of one source. */
const DROP_REPORT_MS = 10_000;
const NO_ROOM_FOR_LIFT = 'no room for another lift: its rule stays';
const LOG_KEY = 'TokenRevocation';
const NO_ROOM = 'the list has no room for all of it (tokenRevocationConfig.maxEntries)';

/** Where a follower puts what its source says. */
export interface RevocationTarget {
  /** `full`: it found no room; so for the others. */
  addToken(revocation: Revocation, source: string): unknown;
  addRule(rule: Rule, source: string): unknown;
  addLift(lift: Lift, source: string): unknown;
  /** Resolves when everything added so far is on disk; rejects while the disk fails. Absent: nothing is kept on disk. */
  readonly durable?: () => Promise<void>;
}

/** What one source did so far: for readiness, logs and counters. */
export interface SourceStatus {
  readonly name: string;
  readonly kind: RevocationSource['kind'];
  /** Since when it stands: followed, and complete since it was last (re)connected. Undefined while it does not. */
  readonly standingSince: Moment | undefined;
  /** Up to when it last proved that nothing was missed; undefined before the first time. */
  readonly lastProof: Moment | undefined;
  readonly added: number;
  /** Messages and entries without a usable revocation, by reason. */
  readonly dropped: ReadonlyMap<string, number>;
  /** Attempts that failed since it last stood for half a minute. */
  readonly failures: number;
  /** Attempts that failed since the start. */
  readonly failuresEver: number;
  /** Why it does not stand; undefined while it does, and before the first failure. */
  readonly trouble: string | undefined;
}

export interface FollowOptions {
  readonly policy: SourcePolicy;
  readonly log: Log;
  /**
   * Called each time the source stands again. `gapless`: it says itself that nothing was missed since it last stood; an `events` source
   * that does not has a gap behind it.
   */
  readonly onComplete?: (gapless: boolean) => void;
  /** Called after each proof, and when the source stands no more. */
  readonly onProof?: () => void;
  readonly clock?: Clock;
  /** Milliseconds before the first new attempt; doubles up to {@link longestPauseMs}, with jitter. */
  readonly firstPauseMs?: number;
  /** Milliseconds. Default: 30 s. */
  readonly longestPauseMs?: number;
  /** See {@link RevocationSink.rest}. Default: until the others on this thread had their turn. */
  readonly rest?: () => Promise<void>;
}

/**
 * Milliseconds between two attempts at most, half of `maxStaleness` within bounds: a source that is well again must not be left alone for so
 * long that it is stale for that alone.
 */
export function longestPause(maxStalenessMs: number): number {
  return Math.min(Math.max(maxStalenessMs / 2, SHORTEST_LONGEST_PAUSE_MS), LONGEST_PAUSE_MS);
}

/** Keeps one source followed until it is closed: the only place that restarts an adapter. */
export class Follower {
  readonly #source: RevocationSource;
  readonly #target: RevocationTarget;
  readonly #options: FollowOptions;
  readonly #clock: Clock;
  readonly #stop = new AbortController();
  /** Ends one attempt, and not all of them. */
  #attempt = new AbortController();
  /** Something that was said in this attempt found no room. */
  #full = false;
  /** Resolves when the first attempt has stood or failed. */
  readonly tried: Promise<void>;
  #markTried: () => void = () => undefined;
  readonly #dropped = new Map<string, number>();
  /** One for all attempts: an adapter may resume where the same sink left off. */
  readonly #sink: RevocationSink = {
    add: (event) => this.#add(event),
    rule: (event) => this.#rule(event),
    drop: (reason) => this.#drop(reason),
    complete: (gapless) => this.#completed(gapless === true),
    alive: (sinceMs) => {
      if (!this.#short()) this.#proved(momentOf(sinceMs));
    },
    durable: () => this.#target.durable?.() ?? Promise.resolve(),
    rest: () => this.#options.rest?.() ?? nextTurn(),
  };
  #done: Promise<void> | undefined;
  #completedOnce = false;
  #attemptedAt = momentOf();
  #standingSince: Moment | undefined;
  #lastProof: Moment | undefined;
  #added = 0;
  #failures = 0;
  #failuresEver = 0;
  #trouble: string | undefined;
  #unreportedDrops = new Map<string, number>();
  #dropTimer: NodeJS.Timeout | undefined;

  constructor(source: RevocationSource, target: RevocationTarget, options: FollowOptions) {
    this.#source = source;
    this.#target = target;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.tried = new Promise((resolve) => (this.#markTried = resolve));
  }

  start(): void {
    this.#done ??= this.#run();
  }

  /** Ends the following; resolves when the adapter has let go of everything. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#attempt.abort();
    await this.#done;
    if (this.#dropTimer !== undefined) {
      clearTimeout(this.#dropTimer);
      this.#reportDrops();
    }
  }

  /** Asks for a whole new read, where the source can. */
  reread(): void {
    this.#source.reread?.();
  }

  get status(): SourceStatus {
    return {
      name: this.#source.name,
      kind: this.#source.kind,
      standingSince: this.#standingSince,
      lastProof: this.#lastProof,
      added: this.#added,
      dropped: this.#dropped,
      failures: this.#failures,
      failuresEver: this.#failuresEver,
      trouble: this.#standingSince === undefined ? this.#trouble : undefined,
    };
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      let reason = 'ended without being asked to';
      this.#attemptedAt = momentOf();
      this.#attempt = new AbortController();
      // It may resume where it left off, and what found no room is behind that.
      if (this.#full) this.reread();
      this.#full = false;
      try {
        await this.#source.follow(this.#sink, this.#attempt.signal);
        if (this.#full) reason = NO_ROOM;
      } catch (error) {
        reason = error instanceof Error ? error.message : 'failed without saying why';
      }
      const since = this.#standingSince?.monotonic;
      if (since !== undefined && momentOf().monotonic - since >= STEADY_MS) this.#failures = 0;
      this.#standingSince = undefined;
      this.#trouble = reason;
      this.#markTried();
      this.#options.onProof?.();
      if (signal.aborted) return;
      this.#failures++;
      this.#failuresEver++;
      const pause = this.#pauseMs();
      this.#options.log.warn(
        LOG_KEY,
        `Source ${this.#source.name} is not followed: ${reason}. Next attempt in ${(pause / 1000).toFixed(1)} s`,
      );
      await sleep(pause, signal);
    }
  }

  /** Exponential, between half and the whole of the step, so that a fleet does not come back in step. */
  #pauseMs(): number {
    const { firstPauseMs = FIRST_PAUSE_MS, longestPauseMs = LONGEST_PAUSE_MS } = this.#options;
    const step = Math.min(firstPauseMs * 2 ** Math.min(this.#failures - 1, 20), longestPauseMs);
    return step * (0.5 + Math.random() / 2);
  }

  #proved(moment: Moment): void {
    if (this.#lastProof === undefined || moment.monotonic > this.#lastProof.monotonic)
      this.#lastProof = moment;
    this.#options.onProof?.();
  }

  /**
   * Whether a store said more than there is room for: then it proves nothing, however lively it is, until a whole new reading of it fits. The
   * attempt ends once the reading has, so that what does fit is taken. A topic cannot be read again: it goes on.
   */
  #short(): boolean {
    if (!this.#full || this.#source.kind === 'events') return false;
    this.#attempt.abort();
    return true;
  }

  #completed(gapless: boolean): void {
    if (this.#short()) return;
    const now = momentOf();
    const stood = this.#standingSince !== undefined;
    this.#standingSince ??= now;
    const first = !this.#completedOnce;
    this.#completedOnce = true;
    this.#markTried();
    if (!stood && (first || this.#failures > 0))
      this.#options.log.info(LOG_KEY, this.#standingLine(first));
    if (!stood) this.#options.onComplete?.(gapless);
    // What it has said by now was asked for later than the attempt's begin. Its own `alive` says so more exactly.
    this.#proved(this.#attemptedAt);
  }

  #standingLine(first: boolean): string {
    const { name, kind } = this.#source;
    const again = first ? '' : ' again';
    const after =
      this.#failures === 0
        ? ''
        : ` after ${this.#failures} failed attempt${this.#failures === 1 ? '' : 's'}`;
    const entries =
      first && kind === 'list'
        ? `, ${this.#added} ${this.#added === 1 ? 'entry' : 'entries'} so far`
        : '';
    return `Source ${name} is followed${again}${after}${entries}`;
  }

  #add(event: RevocationEvent): void {
    const revocation = parseRevocation(event, this.#options.policy, this.#clock.latest());
    if (typeof revocation === 'string') {
      this.#drop(revocation);
      return;
    }
    if (this.#target.addToken(revocation, this.#source.name) === 'full') this.#full = true;
    else this.#added++;
  }

  #rule(event: RuleEvent): void {
    const parsed = parseRule(event, this.#options.policy, this.#clock.latest());
    const { name } = this.#source;
    let full = false;
    switch (parsed.action) {
      case 'revoke':
        for (const rule of parsed.rules) {
          const outcome = this.#target.addRule(rule, name);
          full ||= outcome === 'full' || outcome === 'too many shapes';
        }
        break;
      case 'lift':
        for (const lift of parsed.lifts)
          if (this.#target.addLift(lift, name) === 'full') this.#drop(NO_ROOM_FOR_LIFT);
        break;
      case 'refuse':
        this.#drop(parsed.refused);
        return;
      case 'ended':
        return;
    }
    if (full) this.#full = true;
    else this.#added++;
  }

  #drop(reason: string): void {
    this.#dropped.set(reason, (this.#dropped.get(reason) ?? 0) + 1);
    this.#unreportedDrops.set(reason, (this.#unreportedDrops.get(reason) ?? 0) + 1);
    if (this.#dropTimer !== undefined) return;
    this.#reportDrops();
    this.#dropTimer = setTimeout(() => {
      this.#dropTimer = undefined;
      this.#reportDrops();
    }, DROP_REPORT_MS);
    this.#dropTimer.unref();
  }

  #reportDrops(): void {
    if (this.#unreportedDrops.size === 0) return;
    const reasons = [...this.#unreportedDrops].map(([reason, count]) => `${count} x ${reason}`);
    this.#unreportedDrops = new Map();
    this.#options.log.warn(LOG_KEY, `Source ${this.#source.name} dropped: ${reasons.join(', ')}`);
  }
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const finish = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', finish);
      resolve();
    };
    const timer = setTimeout(finish, ms);
    signal.addEventListener('abort', finish, { once: true });
  });
}
