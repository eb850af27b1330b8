import { firstOf, reason } from './failure-reason.ts';
import type { UpstreamAnswer, UpstreamFailure } from './upstream-side.ts';

/** What the calls of one origin share, over whatever protocol. Milliseconds. */
export interface CallOutlet<T> {
  /** From the sent request to the answer's head. */
  readonly headMs: number;
  /** Without a byte of a body. */
  readonly idleBodyMs: number;
  /** The call is over. */
  forget(call: T): void;
  /** Tells the log what nobody expected to be thrown. */
  report(error: unknown): void;
}

/** The end of a call to an upstream, which is told once, whatever happens meanwhile, and whatever the one throws who is told. */
export abstract class OriginCall<O extends CallOutlet<never>> {
  /** Among the calls of its origin; theirs to set. */
  place = 0;
  protected readonly outlet: O;
  protected readonly answer: UpstreamAnswer;
  protected over = false;

  constructor(outlet: O, answer: UpstreamAnswer) {
    this.outlet = outlet;
    this.answer = answer;
  }

  /** Takes it out of the calls of its origin. */
  protected abstract forget(): void;

  /** @returns whether it was not over yet */
  protected finish(): boolean {
    if (this.over) return false;
    this.over = true;
    this.forget();
    return true;
  }

  /** The answer is whole, after {@link finish}. */
  protected tellEnd(trailers: readonly string[]): void {
    try {
      this.answer.onEnd(trailers);
    } catch (error) {
      this.tell(refused(error));
    }
  }

  protected fail(failure: UpstreamFailure): void {
    if (this.finish()) this.tell(failure);
  }

  /** After {@link finish}. */
  protected tell(failure: UpstreamFailure): void {
    try {
      this.answer.onFailure(failure);
    } catch (error) {
      this.outlet.report(error);
    }
  }
}

/** What was thrown at an answer: the upstream's bytes are to blame. */
export function refused(error: unknown): UpstreamFailure {
  const cause = error instanceof Error ? error : new Error('not an Error');
  return { kind: 'malformed', detail: cause.message, replayable: false, cause };
}

/** This process, or the machine, has no descriptor left: nothing that the upstream could help. */
const NO_DESCRIPTORS: ReadonlySet<string | undefined> = new Set(['EMFILE', 'ENFILE']);

/** There is no connection to be had. */
export function connectFailure(kind: UpstreamFailure['kind'], cause: Error): UpstreamFailure {
  const { code } = firstOf(cause);
  const exhausted = NO_DESCRIPTORS.has(code);
  return { kind: exhausted ? 'exhausted' : kind, detail: reason(cause), replayable: false, cause };
}
