import { Worker } from 'node:worker_threads';
import { withinDeadline } from '../deadline.ts';
import { describeError } from '../errors.ts';
import type { QuestionName, Question, Questions, ToControl, ToThread } from './messages.ts';
import { OpenQuestions } from './open-questions.ts';
import { errorOf } from './refusal.ts';

/** What a thread says that is for others than its supervisor. */
export type Report = Extract<ToControl, { kind: 'log' | 'accessLines' | 'prolong' | 'renew' }>;

export interface DataPlaneThreadOptions {
  /** The module that the thread runs. */
  readonly entry: URL;
  /** For debuggers and process lists. */
  readonly name: string;
  /** What it starts with; structured-cloneable. */
  readonly data: unknown;
  readonly onReport: (report: Report, thread: DataPlaneThread) => void;
}

/** A thread that will not answer any more. */
export class ThreadGone extends Error {}

/** One data-plane thread as the control thread sees it, from its start to its end. */
export class DataPlaneThread {
  readonly #worker: Worker;
  readonly #open = new OpenQuestions();
  readonly #ready = Promise.withResolvers<void>();
  /** Resolves with the reason when the thread is gone. */
  readonly gone: Promise<string>;
  #isGone = false;
  #failure: string | undefined;

  constructor({ entry, name, data, onReport }: DataPlaneThreadOptions) {
    this.#ready.promise.catch(() => undefined);
    this.#worker = new Worker(entry, { name, workerData: data });
    this.#worker.on('message', (message: ToControl) => {
      switch (message.kind) {
        case 'ready':
          this.#ready.resolve();
          break;
        case 'refused':
          this.#ready.reject(errorOf(message.refusal));
          break;
        case 'answer':
          this.#open.answered(message.id, message.value);
          break;
        case 'refusal':
          this.#open.refused(message.id, errorOf(message.refusal));
          break;
        case 'log':
        case 'accessLines':
        case 'prolong':
        case 'renew':
          onReport(message, this);
          break;
      }
    });
    this.#worker.on('error', (error) => {
      this.#failure = describeError(error);
    });
    this.gone = new Promise((resolve) => {
      // The last event of a worker: everything that it posted was delivered by then.
      this.#worker.once('exit', (code) => {
        this.#isGone = true;
        const reason = this.#failure ?? `it ended with code ${code}`;
        const error = new ThreadGone(reason);
        this.#ready.reject(error);
        this.#open.abandon(error);
        resolve(reason);
      });
    });
  }

  /** Resolves when the thread has all that it needs. @throws OperatorError as it refused to start, ThreadGone when it died */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** Does nothing for a thread that is gone. */
  post(message: ToThread): void {
    if (!this.#isGone) this.#worker.postMessage(message);
  }

  /**
   * @param deadlineMs milliseconds; the thread is terminated when it has not answered by then
   * @throws OperatorError as the thread refused, ThreadGone when it died first
   */
  async ask<Name extends QuestionName>(
    name: Name,
    ask: Questions[Name]['ask'],
    deadlineMs: number,
  ): Promise<Questions[Name]['answer']> {
    if (this.#isGone) throw new ThreadGone('it is gone');
    const question = { name, ask } as Question;
    const answer = this.#open.ask<Questions[Name]['answer']>((id) =>
      this.post({ kind: 'question', id, question }),
    );
    return this.within(answer, deadlineMs, `did not answer "${name}"`);
  }

  /** The result of work of this thread. One that takes longer than `deadlineMs` milliseconds is terminated, and gone when this rejects. */
  async within<T>(work: Promise<T>, deadlineMs: number, failure: string): Promise<T> {
    const reason = `it ${failure} within ${deadlineMs / 1_000} s`;
    const late = new ThreadGone(reason);
    try {
      return await withinDeadline(work, deadlineMs, () => late);
    } catch (error) {
      if (error === late) await this.terminate(reason);
      throw error;
    }
  }

  /** Ends it now, with everything that is under way in it. Resolves when it is gone. */
  async terminate(reason: string): Promise<void> {
    if (this.#isGone) return;
    this.#failure ??= reason;
    await this.#worker.terminate();
    await this.gone;
  }
}
