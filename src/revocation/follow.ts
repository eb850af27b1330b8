import type { Log } from '../log.ts';
import { systemClock, type Clock } from './clock.ts';
import { parseRevocation, type RevocationEvent, type SourcePolicy } from './revocation.ts';
import type { RevocationList } from './revocation-list.ts';
import type { RevocationSink, RevocationSource } from './source.ts';

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
/** How long a source has to stand before its failures are forgotten: one that comes up and breaks at once is to be left alone longer. */
const STEADY_MS = 30_000;
/** Between two WARN lines about dropped messages of one source. */
const DROP_REPORT_MS = 10_000;
const LOG_KEY = 'TokenRevocation';

/** What one source did so far: for readiness, logs and counters. */
export interface SourceStatus {
  readonly name: string;
  readonly kind: RevocationSource['kind'];
  /** It was read completely, or its subscription stood, at least once. */
  readonly completedOnce: boolean;
  /** It stands now: followed, and complete since it was last (re)connected. */
  readonly standing: boolean;
  /** Epoch milliseconds of the last proof that nothing was missed; undefined before the first. */
  readonly lastProofMs: number | undefined;
  readonly added: number;
  /** Messages and entries without a usable revocation, by reason. */
  readonly dropped: ReadonlyMap<string, number>;
  /** Attempts that failed since it last stood for half a minute. */
  readonly failures: number;
}

export interface FollowOptions {
  readonly policy: SourcePolicy;
  readonly log: Log;
  /** Called each time the source stands again: an `events` source has a gap behind it then. */
  readonly onComplete?: () => void;
  readonly clock?: Clock;
  /** Milliseconds before the first new attempt; doubles up to 30 s, with jitter. */
  readonly firstPauseMs?: number;
}

/** Keeps one source followed until it is closed: the only place that restarts an adapter. */
export class Follower {
  readonly #source: RevocationSource;
  readonly #list: RevocationList;
  readonly #options: FollowOptions;
  readonly #clock: Clock;
  readonly #stop = new AbortController();
  /** Resolves when the first attempt has stood or failed. */
  readonly tried: Promise<void>;
  #markTried: () => void = () => undefined;
  readonly #dropped = new Map<string, number>();
  /** One for all attempts: an adapter may resume where the same sink left off. */
  readonly #sink: RevocationSink = {
    add: (event) => this.#add(event),
    drop: (reason) => this.#drop(reason),
    complete: () => this.#completed(),
    alive: () => {
      this.#lastProofMs = this.#clock.latest();
    },
  };
  #done: Promise<void> | undefined;
  #completedOnce = false;
  #standing = false;
  #lastProofMs: number | undefined;
  #added = 0;
  #failures = 0;
  /** Monotonic milliseconds since when it stands. */
  #standingSince = 0;
  #unreportedDrops = new Map<string, number>();
  #dropTimer: NodeJS.Timeout | undefined;

  constructor(source: RevocationSource, list: RevocationList, options: FollowOptions) {
    this.#source = source;
    this.#list = list;
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
      completedOnce: this.#completedOnce,
      standing: this.#standing,
      lastProofMs: this.#lastProofMs,
      added: this.#added,
      dropped: this.#dropped,
      failures: this.#failures,
    };
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      let reason = 'ended without being asked to';
      try {
        await this.#source.follow(this.#sink, signal);
      } catch (error) {
        reason = error instanceof Error ? error.message : 'failed without saying why';
      }
      if (this.#standing && performance.now() - this.#standingSince >= STEADY_MS)
        this.#failures = 0;
      this.#standing = false;
      this.#markTried();
      if (signal.aborted) return;
      this.#failures++;
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
    const first = this.#options.firstPauseMs ?? FIRST_PAUSE_MS;
    const step = Math.min(first * 2 ** Math.min(this.#failures - 1, 20), LONGEST_PAUSE_MS);
    return step * (0.5 + Math.random() / 2);
  }

  #completed(): void {
    this.#lastProofMs = this.#clock.latest();
    const first = !this.#completedOnce;
    this.#completedOnce = true;
    this.#markTried();
    if (this.#standing) return;
    this.#standing = true;
    this.#standingSince = performance.now();
    if (first || this.#failures > 0) this.#options.log.info(LOG_KEY, this.#standingLine(first));
    this.#options.onComplete?.();
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
    this.#list.add(revocation);
    this.#added++;
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
