import type { Caller } from '../auth/caller.ts';
import type { Degraded, Outcome } from './observe.ts';
import type { Trace } from './trace-context.ts';

/** What is known of a request when it is over: all that is counted and written of it. An exchange is one, so nothing is made for it. */
export interface Finished {
  readonly id: string;
  readonly method: string;
  /** As it came, query included: whoever shows it takes the path only. */
  readonly target: string;
  readonly version: '1.0' | '1.1' | '2.0';
  /** Of the answer; 0: there was none. */
  readonly status: number;
  readonly outcome: Outcome;
  /** Milliseconds of `performance.now()`. */
  readonly startedAt: number;
  /** Bytes of the bodies: of the request as far as it was read, of the answer as far as it was given away. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Milliseconds from the start of the upstream's call to the head of its answer; -1: it gave none, or was not asked. */
  readonly upstreamMs: number;
  /** When the upstream was called last, milliseconds of `performance.now()`; 0: never. */
  readonly calledAt: number;
  /** Where it stands in a trace, once it was to go upstream and traces are passed on. */
  readonly trace: Trace | undefined;
  /** The operation that it was for, once that is known. */
  readonly operation: FinishedOperation | undefined;
  readonly caller: Pick<Caller, 'issuer' | 'clientId'> | undefined;
  /** How its token was let through, where revocations may have been missed. */
  readonly degraded: Degraded | undefined;
  readonly connection: { readonly peer: string };
  readonly head:
    | { readonly forwardedFor: string | undefined; readonly fields: readonly string[] }
    | undefined;
  readonly site: { readonly scheme: 'http' | 'https' };
}

/** An operation, as it is named where requests are counted and written down. */
export interface FinishedOperation {
  /** Base path and path template. */
  readonly name: string;
  /** Of its figures; see route-metrics.ts. */
  readonly place: number;
}
