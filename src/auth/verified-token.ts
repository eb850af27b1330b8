import type { Caller } from './caller.ts';
import type { KeyRing } from './key-ring.ts';

/** A token whose signature or introspection was checked. May be cached; whether it was revoked never is. */
export interface VerifiedToken {
  readonly caller: Caller;
  /** Whether it has a `jti`, for the DEBUG trace. */
  readonly hasJti: boolean;
  /** When it was checked and until when that counts, epoch milliseconds. */
  readonly verifiedAtMs: number;
  readonly countsUntilMs: number;
  /** JWTs only: the keys it was verified with, and their generation then. */
  readonly ring?: KeyRing;
  readonly generation: number;
}
