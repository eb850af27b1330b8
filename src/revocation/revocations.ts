import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../log.ts';
import { Basis } from './basis.ts';
import { systemClock, type Clock } from './clock.ts';
import { type Doubt, doubtsOf } from './doubts.ts';
import { Follower, longestPause, type SourceStatus } from './follow.ts';
import { agoOf, allKnownAsOf, momentOfWall, type Proofs } from './freshness.ts';
import { Gaps } from './gaps.ts';
import type { Journal } from './journal/journal.ts';
import { Overflow } from './overflow.ts';
import { Pace } from './pace.ts';
import { type Knowledge, RevocationReader } from './reader.ts';
import type { SourcePolicy } from './revocation.ts';
import { JOURNAL, RevocationList, type Tables } from './revocation-list.ts';
import type { RevocationSource } from './source.ts';

/** Kept beyond an entry's end, on top of the clock skew: what the token check rounds and what a slow machine takes. */
const SPARE_MARGIN_MS = 60_000;
/** The token check allows for the skew three times at most: in `exp`, in `iat`, and in the longest life between them. */
const SKEWS = 3;
const TICK_MS = 1_000;
/** Steps of the clean-up per tick, each below a millisecond. */
const SWEEPS_PER_TICK = 20;
const RULES_EVERY_TICKS = 60;
const LOG_KEY = 'TokenRevocation';

/** A source with what it may say and what depends on it. */
export interface FollowedSource {
  readonly source: RevocationSource;
  readonly policy: SourcePolicy;
  /** What is known is only as fresh as this source's last proof. */
  readonly required: boolean;
  /** `events` sources: names of the stores that hold everything it tells of. */
  readonly tellsOf: readonly string[];
}

export interface RevocationsOptions {
  readonly sources: readonly FollowedSource[];
  /** What a call gets while nothing is known yet. */
  readonly whenUnknown: 'deny' | 'allow';
  /** What a call gets when what is known is too old and its route says nothing else. */
  readonly whenStale: 'deny' | 'introspect' | 'allow';
  readonly maxStalenessMs: number;
  readonly denyOnUnclosedGap: boolean;
  readonly maxEntries: number;
  /** Milliseconds by which a token may outlive its `exp` here. */
  readonly clockSkewMs: number;
  readonly longestTokenLifeMs: number;
  /** Claims that hold a client id, beside those that always count. */
  readonly consumerKeyClaims: readonly string[];
  /** A digest of what is followed, and how: see {@link Basis}. Absent: what an earlier run has known counts in any case. */
  readonly basis?: string;
  /** What fingerprints are keyed with: the journal's, where there is one. */
  readonly secret: Uint8Array;
  /** Absent: nothing survives a restart. */
  readonly journal?: Journal;
  /** Has every other thread read from other tables; resolves when all do. */
  readonly replaceTables?: (tables: Tables) => Promise<void>;
  readonly log: Log;
  readonly clock?: Clock;
  readonly firstPauseMs?: number;
}

/** The revocation list with all that feeds it, in the control thread: the only place that writes it. */
export class Revocations {
  readonly list: RevocationList;
  /** This thread's own reading of the list. */
  readonly reader: RevocationReader;
  readonly #options: RevocationsOptions;
  readonly #followers: readonly Follower[];
  readonly #gaps: Gaps;
  #restoredWhole = false;
  readonly #basis: Basis;
  /** What was acknowledged is lost, and no required source is there to say it again: nothing counts as known until the next start. */
  #lost = false;
  readonly #overflow = new Overflow(JOURNAL);
  readonly #pace = new Pace();
  #knowledge: Knowledge = 'never';
  #ticker: NodeJS.Timeout | undefined;
  #ticks = 0;
  #savingGaps: Promise<void> | undefined;
  #shrinking = false;
  /** Why the last try to shrink the list failed, which was said. */
  #shrinkTrouble: string | undefined;

  constructor(options: RevocationsOptions) {
    const { clockSkewMs, secret, maxEntries, journal, sources } = options;
    const clock = options.clock ?? systemClock;
    this.#options = options;
    this.#basis = new Basis(options.basis);
    this.list = new RevocationList({
      clock,
      secret,
      marginMs: SKEWS * clockSkewMs + SPARE_MARGIN_MS,
      maxEntries,
      ...(journal === undefined ? {} : { journal }),
      onFull: (source, why) => this.#full(source, why),
    });
    this.reader = new RevocationReader(this.list.shared, {
      maxStalenessMs: options.maxStalenessMs,
      clockSkewMs,
      staleInGap: options.denyOnUnclosedGap,
      consumerKeyClaims: options.consumerKeyClaims,
      onOutlived: (prints, at, expiresAtMs) => this.list.prolong(prints, at, expiresAtMs),
    });
    this.#gaps = new Gaps(options.longestTokenLifeMs);
    this.#followers = sources.map(
      (followed) =>
        new Follower(followed.source, this.list, {
          policy: followed.policy,
          log: options.log,
          clock,
          ...(options.firstPauseMs === undefined ? {} : { firstPauseMs: options.firstPauseMs }),
          longestPauseMs: longestPause(options.maxStalenessMs),
          rest: () => this.#rest(),
          onComplete: (gapless) => {
            const { kind, name } = followed.source;
            if (kind !== 'events') return;
            this.rereadStores();
            if (this.#isInStores(followed)) return;
            if (gapless && (this.#gaps.hasStood(name) || this.#restoredWhole))
              this.#gaps.none(name);
            else this.#openGap(name);
          },
          onProof: () => this.#update(),
        }),
    );
    this.#update();
  }

  /** Takes in what the journal has. Call it before {@link start}. */
  async restore(): Promise<void> {
    const { journal, log } = this.#options;
    if (journal === undefined) return;
    const restored = await journal.restore(this.list.restoring, ({ whole }) => {
      if (!whole) this.#damagedMeanwhile();
      this.#basis.again();
      this.#saveGaps();
    });
    for (const note of restored.damage) log.warn(LOG_KEY, note);
    if (!restored.whole) this.#damaged();
    const knownAsOfMs = await this.#restoreGaps(journal, restored.knownAsOfWallMs);
    this.#restoredWhole &&= restored.whole;
    if (!restored.whole || knownAsOfMs === undefined || !this.#overflow.isEmpty) return;
    const moment = momentOfWall(knownAsOfMs);
    this.list.state.knownAsOf(
      moment?.monotonic ?? Number.NEGATIVE_INFINITY,
      moment?.wall ?? Number.NEGATIVE_INFINITY,
    );
    this.list.state.known = true;
    const age = moment === undefined ? 'of a time ahead of this clock' : agoOf(moment);
    log.info(
      LOG_KEY,
      `${this.list.size} revoked tokens and ${this.list.rulesSize} rules read from the journal, ${age}`,
    );
    this.#update();
  }

  /**
   * @param claimedMs up to when the last run claims to have missed nothing
   * @returns the same, where it followed what is followed now
   */
  async #restoreGaps(journal: Journal, claimedMs: number | undefined): Promise<number | undefined> {
    const { log } = this.#options;
    const kept = await journal.loadGaps();
    const knownAsOfMs = this.#basis.restore(kept, claimedMs);
    if (claimedMs !== undefined && kept === undefined)
      log.warn(LOG_KEY, 'The journal does not tell which gaps were open');
    else if (claimedMs !== knownAsOfMs)
      log.warn(
        LOG_KEY,
        'The sources were configured otherwise in the last run: what was known then does not count',
      );
    // A topic that has a store by now, or is followed no more, has none.
    const unbacked = this.#unbacked();
    const gaps =
      knownAsOfMs === undefined
        ? unbacked.map((name) => [name, Date.now()] as const)
        : [...(kept ?? [])].filter(([name]) => unbacked.includes(name));
    this.#gaps.restore(new Map(gaps));
    // What was never known cannot have been kept: a subscription may be older than this folder.
    this.#restoredWhole = kept !== undefined && knownAsOfMs !== undefined;
    // No moment is claimed before there is a file of gaps: so one that is missing later is known to be.
    if (knownAsOfMs === undefined || (kept === undefined && unbacked.length === 0))
      this.#saveGaps();
    return knownAsOfMs;
  }

  start(): void {
    for (const follower of this.#followers) follower.start();
    this.#ticker ??= setInterval(() => this.#tick(), TICK_MS);
    this.#ticker.unref();
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
    clearInterval(this.#ticker);
    await Promise.all(this.#followers.map((follower) => follower.close()));
    await this.#savingGaps;
  }

  /** Whether secured calls are let through now, routes with a policy of their own aside. */
  get ready(): boolean {
    const knowledge = this.reader.knowledge();
    if (knowledge === 'never') return this.#options.whenUnknown === 'allow';
    return knowledge === 'fresh' || this.#options.whenStale !== 'deny';
  }

  get sources(): readonly SourceStatus[] {
    return this.#followers.map(({ status }) => status);
  }

  /** Milliseconds since the moment up to which nothing was missed. */
  get stalenessMs(): number | undefined {
    return this.list.state.known ? this.list.state.stalenessMs() : undefined;
  }

  /** Everything that is not as it should be. */
  doubts(): readonly Doubt[] {
    return doubtsOf({
      proofs: this.#proofs(),
      troubleOf: (source) => this.sources.find(({ name }) => name === source)?.trouble,
      maxStalenessMs: this.#options.maxStalenessMs,
      gaps: this.#gaps.unclosed(),
      lost: this.#lost,
      journalTrouble: this.#options.journal?.trouble,
      overflow: this.#overflow.entries,
      forgottenUntilMs: this.list.state.forgottenUntilMs,
    });
  }

  /** Whether what a source published before its subscription may have been missed and could still matter. */
  inGap(source: string): boolean {
    return this.#gaps.unclosed().some((gap) => gap.source === source);
  }

  /** Asks every store for a whole new read: what a real-time source may have missed is in there (invariant 3). */
  rereadStores(): void {
    for (const follower of this.#followers) if (follower.status.kind === 'list') follower.reread();
  }

  /** The journal does not have all that was acknowledged. Where a required source does, what is known is known from there. */
  #damaged(): void {
    if (this.#options.sources.some(({ required }) => required)) return;
    this.#lost = true;
    this.list.state.known = false;
    this.#update();
  }

  /** The same of what another gateway has acknowledged while it had the journal: topics may have told that one, and it alone. */
  #damagedMeanwhile(): void {
    this.#restoredWhole = false;
    for (const name of this.#unbacked()) if (this.#gaps.hasStood(name)) this.#openGap(name);
    this.#damaged();
    this.#update();
  }

  /** Names of the topics whose past nobody says again. */
  #unbacked(): readonly string[] {
    return this.#options.sources
      .filter((each) => each.source.kind === 'events' && !this.#isInStores(each))
      .map(({ source }) => source.name);
  }

  /** Whether what a topic tells is in a store that is followed too. */
  #isInStores({ tellsOf }: FollowedSource): boolean {
    return this.#options.sources.some(
      ({ source }) => source.kind === 'list' && tellsOf.includes(source.name),
    );
  }

  #proofs(): readonly Proofs[] {
    return this.#options.sources.map(({ source, required, tellsOf }, i) => {
      const status = this.#followers[i]?.status;
      return {
        name: source.name,
        kind: source.kind,
        required,
        tellsOf,
        standingSince: status?.standingSince,
        lastProof: status?.lastProof,
      };
    });
  }

  /** Nobody is served better by a list that is late: only while it is fresh enough is there time for rests. */
  async #rest(): Promise<void> {
    const { stalenessMs } = this;
    if (stalenessMs !== undefined && stalenessMs < this.#options.maxStalenessMs / 2)
      await this.#pace.rest();
    else await nextTurn();
  }

  #tick(): void {
    for (let step = 0; step < SWEEPS_PER_TICK; step++) this.list.sweep();
    if (this.#ticks++ % RULES_EVERY_TICKS === 0) this.list.expireRules();
    void this.#shrink();
    this.#update();
  }

  /** Gives memory back after many entries have left. */
  async #shrink(): Promise<void> {
    if (this.#shrinking || !this.list.shrinkable) return;
    this.#shrinking = true;
    try {
      await this.list.shrink(async (tables) => {
        this.reader.replace(tables);
        await this.#options.replaceTables?.(tables);
      });
      this.#shrinkTrouble = undefined;
    } catch (error) {
      const why = error instanceof Error ? error.message : 'unknown failure';
      // It is tried again every second: what is wrong is said when it begins.
      if (why !== this.#shrinkTrouble)
        this.#options.log.warn(LOG_KEY, `The list could not be rewritten into less memory: ${why}`);
      this.#shrinkTrouble = why;
    } finally {
      this.#shrinking = false;
    }
  }

  /** Says to every thread up to when nothing was missed. */
  #update(): void {
    const { state } = this.list;
    state.gap = this.#gaps.unclosed().length > 0;
    const moment = allKnownAsOf(this.#proofs());
    if (moment !== undefined) this.#overflow.settle(this.#proofs(), moment);
    if (moment !== undefined && this.#overflow.isEmpty && !this.#lost) {
      state.knownAsOf(moment.monotonic, moment.wall);
      state.known = true;
      this.#options.journal?.knownAsOf(moment.wall);
    }
    this.#say();
  }

  #openGap(source: string, isNews = true): void {
    this.#gaps.open(source, isNews ? this.#options.log : undefined);
    // A restart does not close it.
    this.#saveGaps();
  }

  /** What keeps them from being written is said by the journal, which tries again. */
  #saveGaps(): void {
    const kept = this.#basis.keptWith(this.#gaps.ends());
    this.#savingGaps = this.#options.journal?.saveGaps(kept).catch(() => undefined);
  }

  #full(source: string, why: string): void {
    const { log, sources } = this.#options;
    if (this.#overflow.isEmpty)
      log.error(LOG_KEY, `Not all that ${source} says is in the revocation list: ${why}`);
    const first = this.#overflow.note(source);
    // A store says it again with its next reading; a topic does not.
    const events = sources.find((each) => each.source.name === source);
    if (events?.source.kind !== 'events') return;
    if (!this.#isInStores(events)) this.#openGap(source, first);
    else if (first) this.rereadStores();
  }

  #say(): void {
    const knowledge = this.reader.knowledge();
    if (knowledge === this.#knowledge) return;
    const { log, whenStale } = this.#options;
    const first = this.#knowledge === 'never';
    this.#knowledge = knowledge;
    if (knowledge === 'fresh')
      log.info(
        LOG_KEY,
        first
          ? 'Revocations are known: calls to secured operations are served'
          : 'Revocations are known again: nothing is missing any more',
      );
    else
      log.warn(
        LOG_KEY,
        `Knowledge of revocations is stale (whenStale is "${whenStale}"): ${this.doubts()
          .map(({ message }) => message)
          .join('; ')}`,
      );
  }
}
