import { setTimeout as pause } from 'node:timers/promises';
import { OperatorError } from '../errors.ts';
import type { Bound } from '../gateway/options.ts';
import type { Log } from '../log.ts';
import { DataPlaneThread, type Report, ThreadGone } from './data-plane-thread.ts';
import type { QuestionName, Questions, ToThread } from './messages.ts';

const LOG_KEY = 'DataPlane';

/** All in milliseconds. */
export interface SupervisorTimings {
  /** From a thread's start until it is ready; longer than the top level of an extension may take. */
  readonly readyMs: number;
  /** For an answer. */
  readonly answerMs: number;
  /** Before the first new attempt; doubles up to the longest, with jitter. */
  readonly firstPauseMs: number;
  readonly longestPauseMs: number;
  /** How long a thread has to serve before its deaths are forgotten. */
  readonly steadyMs: number;
}

const DEFAULT_TIMINGS: SupervisorTimings = {
  readyMs: 60_000,
  answerMs: 10_000,
  firstPauseMs: 100,
  longestPauseMs: 10_000,
  steadyMs: 10_000,
};

/** Deaths in a row, without a steady life between them, after which a place counts as hopeless. */
const HOPELESS_AFTER = 5;
/** Beyond the time that a drain may take, before a thread that does not come to its end is terminated. */
const DRAIN_SPARE_MS = 5_000;

export interface SupervisorOptions {
  /** The module that every thread runs. */
  readonly entry: URL;
  readonly threads: number;
  /** What a thread starts with, asked anew for each, as a replacement is to have what holds then. `place` counts from 0. */
  readonly dataFor: (place: number) => unknown;
  readonly onReport: (report: Report, thread: DataPlaneThread, place: number) => void;
  /** A thread is gone, whatever the reason. */
  readonly onGone?: (place: number) => void;
  readonly log: Log;
  readonly timings?: Partial<SupervisorTimings>;
}

/**
 * Keeps a number of data-plane threads alive. A thread that dies is replaced, after a pause that grows with each death in a row, while the
 * others go on; it listens only once it has said that it has everything it needs. When no thread serves and every place has seen too
 * many deaths in a row, {@link hopeless} resolves: the process is to end then.
 */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #timings: SupervisorTimings;
  readonly #threads = new Set<DataPlaneThread>();
  readonly #serving = new Set<DataPlaneThread>();
  readonly #failures: number[];
  readonly #closing = new AbortController();
  /** Resolves with whether several may have one address, once the threads are to listen. */
  readonly #opening = Promise.withResolvers<boolean>();
  readonly #hopeless = Promise.withResolvers<OperatorError>();
  readonly #refused = Promise.withResolvers<never>();
  /** First attempts, settled when the thread serves or has died once. */
  readonly #firstAttempts: PromiseWithResolvers<void>[];
  #places: readonly Promise<void>[] = [];
  /** What the first thread that listened got: the others take the same ports. */
  #bound: readonly Bound[] | undefined;
  readonly #firstBound = Promise.withResolvers<void>();
  #isRefused = false;
  #replaced = 0;
  #finding: Promise<unknown> | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#timings = { ...DEFAULT_TIMINGS, ...options.timings };
    this.#failures = Array.from({ length: options.threads }, () => 0);
    this.#firstAttempts = this.#failures.map(() => Promise.withResolvers());
    this.#refused.promise.catch(() => undefined);
  }

  /** Resolves when no thread can live. */
  get hopeless(): Promise<OperatorError> {
    return this.#hopeless.promise;
  }

  /** Threads that listen now. */
  get serving(): number {
    return this.#serving.size;
  }

  /** Threads that died while they served or on their way there, and were replaced. */
  get replaced(): number {
    return this.#replaced;
  }

  /** Starts the threads: they make themselves ready, and wait for {@link listen}. */
  start(): void {
    this.#places = this.#failures.map((_, place) => this.#keep(place));
  }

  /**
   * Lets every thread listen as soon as it is ready. Resolves when each has served or died once, and one serves.
   * @param shared whether several may have one address; without it there must be one thread only
   * @throws OperatorError what a thread refused its start with, or that none stays alive
   */
  async listen(shared: boolean): Promise<readonly Bound[]> {
    this.#opening.resolve(shared);
    const hopeless = this.hopeless.then((error) => Promise.reject(error));
    hopeless.catch(() => undefined);
    const attempted = Promise.all(this.#firstAttempts.map(({ promise }) => promise));
    const served = Promise.all([attempted, this.#firstBound.promise]);
    await Promise.race([served, hopeless, this.#refused.promise]);
    return this.#bound ?? [];
  }

  /** Tells every thread that has been started, also those that are not ready yet. */
  broadcast(message: ToThread): void {
    for (const thread of this.#threads) thread.post(message);
  }

  /**
   * Asks every thread. Resolves with the answers when each has answered or is gone: one that replaces it starts with what holds by then.
   * A thread that does not answer in time is taken for dead.
   * @param among `started`: also those that are not ready yet; they are asked before they are told to listen
   * @param onAnswer called with each answer as it comes
   */
  async askAll<Name extends QuestionName>(
    name: Name,
    ask: Questions[Name]['ask'],
    among: 'started' | 'serving',
    onAnswer?: (answer: Questions[Name]['answer']) => void,
  ): Promise<Questions[Name]['answer'][]> {
    const { answerMs, readyMs } = this.#timings;
    const threads = [...(among === 'started' ? this.#threads : this.#serving)];
    const answers = await Promise.allSettled(
      threads.map(async (thread) => {
        const withinMs = this.#serving.has(thread) ? answerMs : readyMs + answerMs;
        const answer = await thread.ask(name, ask, withinMs);
        onAnswer?.(answer);
        return answer;
      }),
    );
    return answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  }

  /**
   * Asks every thread that has been started, and those that start meanwhile. Resolves when all have answered: whoever starts after that is
   * to be given what they have agreed to.
   * @throws what one of them refused with, or ThreadGone for one that did not live to answer; the others have answered by then
   */
  async askEach<Name extends QuestionName>(name: Name, ask: Questions[Name]['ask']): Promise<void> {
    const { answerMs, readyMs } = this.#timings;
    const asked = new Set<DataPlaneThread>();
    for (;;) {
      const threads = [...this.#threads].filter((thread) => !asked.has(thread));
      if (threads.length === 0) return;
      for (const thread of threads) asked.add(thread);
      const answers = await Promise.allSettled(
        threads.map((thread) => thread.ask(name, ask, readyMs + answerMs)),
      );
      for (const answer of answers) if (answer.status === 'rejected') throw answer.reason;
    }
  }

  /** Drains every thread, for `graceMs` milliseconds at most; resolves when all are gone. */
  async close(graceMs: number): Promise<void> {
    this.#closing.abort();
    await Promise.all(
      [...this.#threads].map(async (thread) => {
        if (this.#serving.has(thread))
          await thread
            .ask('drain', { graceMs }, graceMs + DRAIN_SPARE_MS)
            .catch((error: unknown) => this.#sayUndrained(error));
        await thread.terminate('it was told to end');
      }),
    );
    await Promise.all(this.#places);
  }

  /** Keeps one place filled. Never rejects. */
  async #keep(place: number): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      const reason = await this.#live(place);
      this.#options.onGone?.(place);
      this.#firstAttempts[place]?.resolve();
      if (signal.aborted || this.#isRefused) return;
      this.#replaced++;
      const failures = this.#failures[place] ?? 0;
      const { firstPauseMs, longestPauseMs } = this.#timings;
      const longMs = Math.min(longestPauseMs, firstPauseMs * 2 ** (failures - 1));
      const pauseMs = longMs * (0.5 + Math.random() / 2);
      this.#options.log.error(
        LOG_KEY,
        `Data-plane thread ${place + 1} has ended: ${reason}. ${this.#serving.size} go on; a new one starts in ${(pauseMs / 1_000).toFixed(1)} s`,
      );
      if (this.#serving.size === 0 && this.#failures.every((count) => count >= HOPELESS_AFTER)) {
        const message = `no data-plane thread stays alive; the last one has ended: ${reason}`;
        this.#hopeless.resolve(new OperatorError('ERR_DATA_PLANE', message));
      }
      await pause(pauseMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** One thread from its start to its end. Resolves with the reason of the end. */
  async #live(place: number): Promise<string> {
    const { entry, dataFor, onReport, log } = this.#options;
    const { readyMs, steadyMs } = this.#timings;
    const thread = new DataPlaneThread({
      entry,
      name: `data-plane-${place + 1}`,
      data: dataFor(place),
      onReport: (report) => onReport(report, thread, place),
    });
    this.#threads.add(thread);
    let servesSince = Number.POSITIVE_INFINITY;
    try {
      await thread.within(thread.ready, readyMs, 'was not ready');
      await this.#listenWith(thread);
      servesSince = performance.now();
      this.#serving.add(thread);
      this.#firstAttempts[place]?.resolve();
      if ((this.#failures[place] ?? 0) > 0)
        log.info(LOG_KEY, `Data-plane thread ${place + 1} serves again`);
    } catch (error) {
      // While nothing has ever listened, what a thread refuses is how things are configured.
      if (error instanceof OperatorError && this.#bound === undefined) {
        this.#isRefused = true;
        this.#refused.reject(error);
      }
      await thread.terminate(error instanceof Error ? error.message : String(error));
    }
    const reason = await thread.gone;
    this.#threads.delete(thread);
    this.#serving.delete(thread);
    const steady = performance.now() - servesSince >= steadyMs;
    this.#failures[place] = steady ? 1 : (this.#failures[place] ?? 0) + 1;
    return reason;
  }

  /** Until one thread has listened, one tries at a time: a port 0 is settled by the first one that gets it. */
  async #listenWith(thread: DataPlaneThread): Promise<void> {
    const ended = thread.gone.then((reason) => Promise.reject(new ThreadGone(reason)));
    ended.catch(() => undefined);
    const shared = await Promise.race([this.#opening.promise, ended]);
    while (this.#bound === undefined && this.#finding !== undefined) await this.#finding;
    const ports = Object.fromEntries((this.#bound ?? []).map(({ kind, port }) => [kind, port]));
    const listening = thread.ask('listen', { ports, shared }, this.#timings.answerMs);
    if (this.#bound !== undefined) {
      await listening;
      return;
    }
    this.#finding = listening.then(
      (bound) => {
        this.#bound = bound;
        this.#firstBound.resolve();
      },
      () => undefined,
    );
    await this.#finding;
    this.#finding = undefined;
    await listening;
  }

  #sayUndrained(error: unknown): void {
    const why = error instanceof Error ? error.message : String(error);
    this.#options.log.warn(LOG_KEY, `A data-plane thread did not end in peace: ${why}`);
  }
}
