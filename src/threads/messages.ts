import type { KeySetReading } from '../auth/remote-key-set.ts';
import type { KeyRenewal } from '../auth/shared-key-ring.ts';
import type { OperatorErrorCode } from '../errors.ts';
import type { Bound, ListenAddress, Listening } from '../gateway/options.ts';
import type { Tables } from '../revocation/revocation-list.ts';

/**
 * Everything that the control thread and a data-plane thread say to each other. None of it is on the path of a request: what requests
 * read is in shared memory. Messages of one side arrive in the order in which they were sent.
 */

/** What the control thread asks, and what it is answered. */
export interface Questions {
  /** To open the listeners. */
  listen: { readonly ask: Listening; readonly answer: readonly Bound[] };
  /** To finish what is in flight, for `graceMs` milliseconds at most, and to let go of everything. */
  drain: { readonly ask: { readonly graceMs: number }; readonly answer: undefined };
  /** To read from these tables from now on: answered when nothing is read from the old ones any more. */
  replaceTables: { readonly ask: { readonly tables: Tables }; readonly answer: undefined };
  /** To make ready what requests are to be served with next. Refused when that cannot be; then nothing is ready. */
  prepare: { readonly ask: { readonly settings: unknown }; readonly answer: undefined };
  /** To serve with it from now on. */
  commit: { readonly ask: undefined; readonly answer: undefined };
  /** To forget it. */
  discard: { readonly ask: undefined; readonly answer: undefined };
  /** Whether the thread sees an entry with one of these fingerprints. */
  holds: { readonly ask: Fingerprints; readonly answer: boolean };
}

/** Fingerprints, three words each, and the table that they are meant for. */
export interface Fingerprints {
  readonly prints: Uint32Array;
  readonly table: 'tokens' | 'rules';
}

export type QuestionName = keyof Questions;

export type Question = {
  [Name in QuestionName]: { readonly name: Name; readonly ask: Questions[Name]['ask'] };
}[QuestionName];

export type ToThread =
  | { readonly kind: 'question'; readonly id: number; readonly question: Question }
  /** A JWK Set that was read. */
  | { readonly kind: 'keySet'; readonly issuer: string; readonly reading: KeySetReading }
  /** The answer to `renew`. */
  | { readonly kind: 'renewed'; readonly id: number; readonly answer: KeyRenewal };

export type ToControl =
  /** The thread has everything that it needs to serve, and waits to be told to listen. */
  | { readonly kind: 'ready' }
  /** It cannot start as things are configured. */
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'refusal'; readonly id: number; readonly refusal: Refusal }
  /** Finished lines for the log, and how many were dropped before them. */
  | { readonly kind: 'log'; readonly lines: string; readonly dropped: number }
  /** Lines of the access log. */
  | { readonly kind: 'accessLines'; readonly bytes: Uint8Array<ArrayBuffer> }
  /** A revoked token lives longer than the entry with this fingerprint: that is to be kept until then, epoch milliseconds. */
  | { readonly kind: 'prolong'; readonly print: Uint32Array; readonly expiresAtMs: number }
  /** A token names a key that is in no set of this issuer. */
  | { readonly kind: 'renew'; readonly id: number; readonly issuer: string };

/** An error as it crosses from one thread to another: classes do not. */
export type Refusal =
  | {
      readonly kind: 'operator';
      readonly code: OperatorErrorCode;
      readonly message: string;
    }
  | {
      readonly kind: 'listen';
      readonly address: ListenAddress;
      readonly reason: string;
    }
  | { readonly kind: 'other'; readonly message: string };
