import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Dispatcher } from 'undici';
import { MAX_INTERIM } from '../../http1/rules.ts';
import type { CallCount } from '../call-count.ts';
import { reason } from '../failure-reason.ts';
import type { Placed } from '../open-calls.ts';
import type { OpenCall, UpstreamAnswer, UpstreamFailure } from '../upstream-side.ts';
import { isStale } from './connector.ts';
import type { RequestBody } from './request-body.ts';
import { readUndiciHead } from './undici-head.ts';

const TIMEOUTS: ReadonlySet<string | undefined> = new Set([
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
]);

const NOTHING = Buffer.alloc(0);

/** What the calls of one origin share. */
export interface UndiciOutlet {
  /** In which an aborted call keeps its place for as long as undici has it. */
  readonly calls: CallCount;
  /** Milliseconds without a byte of a body. */
  readonly idleBodyMs: number;
  /** The call is over. */
  forget(call: UndiciCall): void;
}

/**
 * One call, as undici drives it: its raw handler interface, which gives header bytes and takes `false` for "pause". Every call ends exactly
 * once, in `onUpgrade`, `onComplete` or `onError`; an aborted one as well.
 */
export class UndiciCall implements Dispatcher.DispatchHandler, OpenCall, Placed {
  /** Among the calls of its origin; theirs to set. */
  place = 0;
  /** It is to have a connection that has served nothing yet. */
  readonly fresh: boolean;
  readonly #outlet: UndiciOutlet;
  readonly #answer: UpstreamAnswer;
  readonly #body: RequestBody | undefined;
  #abort: ((error?: Error) => void) | undefined;
  #resume: (() => void) | undefined;
  #aborted = false;
  #over = false;
  #started = false;
  #interim = 0;
  /** Something of the request was taken since the last look. */
  #moved = false;
  /** When that was seen last. Milliseconds. */
  #movedMs = 0;

  constructor(
    outlet: UndiciOutlet,
    answer: UpstreamAnswer,
    body: RequestBody | undefined,
    fresh: boolean,
  ) {
    this.fresh = fresh;
    this.#outlet = outlet;
    this.#answer = answer;
    this.#body = body;
  }

  resume(): void {
    this.#resume?.();
  }

  /** Before there is a connection undici keeps the call until it has one: so long it counts. */
  abort(): void {
    if (this.#aborted) return;
    this.#aborted = true;
    this.#body?.destroy();
    if (this.#over) return;
    this.#outlet.calls.own++;
    this.#abort?.(new Error('the client is gone'));
  }

  /** Looks for a request of which the upstream takes nothing: all else has deadlines of undici's. */
  sweep(nowMs: number): void {
    const body = this.#body;
    if (body === undefined || this.#aborted || this.#resume !== undefined) return;
    if (this.#moved || !body.isPaused()) {
      this.#moved = false;
      this.#movedMs = nowMs;
      return;
    }
    const { idleBodyMs } = this.#outlet;
    if (nowMs - this.#movedMs < idleBodyMs) return;
    this.abort();
    const detail = `nothing of the request was taken for ${idleBodyMs} ms`;
    this.#answer.onFailure({ kind: 'timeout', detail, replayable: false });
  }

  onConnect(abort: (error?: Error) => void): void {
    this.#abort = abort;
    if (this.#aborted) abort(new Error('the client is gone'));
  }

  onBodySent(): void {
    this.#moved = true;
  }

  onResponseStarted(): void {
    this.#started = true;
  }

  onUpgrade(_status: number, raw: Buffer[] | string[] | null, socket: Duplex): void {
    if (this.#end()) {
      socket.destroy();
      return;
    }
    try {
      const { fields } = readUndiciHead(raw as Buffer[]);
      this.#answer.onSwitch(fields, socket as Socket, NOTHING); // what came behind the head is in the socket again
    } catch (error) {
      socket.destroy();
      this.#fail(error as Error);
    }
  }

  onHeaders(status: number, raw: Buffer[], resume: () => void): boolean {
    if (status === 101) throw new Error('101 without Upgrade and Connection');
    if (status < 200) {
      if (++this.#interim > MAX_INTERIM) throw new Error('too many interim responses');
      return true;
    }
    this.#resume = resume;
    const { fields, length } = readUndiciHead(raw);
    return this.#answer.onHead(status, fields, length);
  }

  onData(chunk: Buffer): boolean {
    return this.#answer.onData(chunk);
  }

  onComplete(): void {
    if (this.#end()) return;
    this.#body?.destroy(); // an answer that came early ends the upload
    this.#answer.onEnd([]);
  }

  onError(error: Error): void {
    if (this.#end()) return;
    this.#fail(error);
  }

  /** @returns true when nobody wants to hear of it */
  #end(): boolean {
    if (!this.#over) {
      this.#over = true;
      this.#outlet.forget(this);
      if (this.#aborted) this.#outlet.calls.own--;
    }
    return this.#aborted;
  }

  #fail(error: Error): void {
    this.#body?.destroy();
    const failure: UpstreamFailure = {
      kind: kindOf(error),
      detail: reason(error),
      replayable: !this.#started && isStale(error),
      cause: error,
    };
    this.#answer.onFailure(failure);
  }
}

function kindOf(error: Error): UpstreamFailure['kind'] {
  const { code } = error as NodeJS.ErrnoException;
  if (TIMEOUTS.has(code)) return 'timeout';
  if (code === 'EMFILE' || code === 'ENFILE') return 'exhausted';
  if (code?.startsWith('HPE_') === true || code === 'UND_ERR_HEADERS_OVERFLOW') return 'malformed';
  return (error as NodeJS.ErrnoException).syscall === 'connect' ? 'connect' : 'broken';
}
