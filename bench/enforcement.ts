/** What the processes and threads of `publish-to-enforced.ts` say to each other. All moments are milliseconds of the system's monotonic clock. */
import { type EventEmitter, on } from 'node:events';
import { opaqueIdentity, type TokenIdentity } from '../src/revocation/token-identity.ts';

/** Who receives: the gateway's control thread, or nothing but amqplib. */
export const SUBJECTS = ['Portcullis', 'amqplib'] as const;
export type Subject = (typeof SUBJECTS)[number];

/** Each subject has a topic of its own, so that only one of them has something to do at a time. */
export function topicOf(subject: Subject): string {
  return `bench.${subject}`;
}

export interface Round {
  readonly subject: Subject;
  readonly number: number;
  /** Revocations whose way is timed. */
  readonly count: number;
  readonly perSecond: number;
  /** Revocations of other tokens between them. */
  readonly othersPerSecond: number;
  /** Microseconds of look-ups of other tokens between two pauses of a watching thread: as if it served requests. */
  readonly workUs: number;
}

/** A receiver's side of a round: moments by number of the revocation, per thread; NaN where it was not seen. */
export interface Received {
  readonly seen: readonly (readonly number[])[];
  /** Milliseconds between two looks of the watching threads, median and 99th percentile. */
  readonly pauses: readonly [median: number, p99: number];
}

export function tokenOf({ subject, number }: Round, index: number): string {
  return `${subject}-${number}-${index}`;
}

export function identityOf(token: string): TokenIdentity {
  return opaqueIdentity({ token, expiresAtMs: Date.now() + 3_600_000 });
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** Messages of a process or thread, one after the other, also those that come before anybody asks. Rejects once it has ended. */
export function messagesOf(sender: EventEmitter): () => Promise<unknown> {
  const messages = on(sender, 'message', { close: ['exit'] });
  return async () => {
    const next: IteratorResult<unknown[], undefined> = await messages.next();
    if (next.done === true) throw new Error('a part of the benchmark ended too early');
    return next.value[0];
  };
}
