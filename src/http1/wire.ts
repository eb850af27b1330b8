/**
 * A socket as the state machines of this room see it, so that they run without a network. Text is latin1: one character is one byte.
 * Nothing is called back inside of these. After `destroy` or `reset` the machine calls nothing more, and needs to hear nothing but `gone()`.
 */
export interface Wire {
  /** Bytes handed over that the network has not taken yet. */
  readonly backlog: number;
  /** Writes by the end of this turn of the event loop, in one system call where the network takes it. False: wait for `drained()` before more is written. */
  write(bytes: string | Uint8Array): boolean;
  /** Three pieces in one system call (writev). `first` and `last` may be empty. Otherwise as {@link write}. */
  writeAll(first: string, body: Uint8Array, last: string): boolean;
  /** Tells `who`, later, when all is received that was there to be read by now: one read may be followed by another at once. */
  settle(who: Settling): void;
  /** No `receive()` after the read in hand, until `resume()`. */
  pause(): void;
  resume(): void;
  /** Sends what is written, then FIN. Reading goes on. */
  end(): void;
  /** Closes without waiting for what is written. */
  destroy(): void;
  /** Closes with RST: the other side cannot take what it has for a whole message. */
  reset(): void;
}

/** Waits until what comes has come. */
export interface Settling {
  settled(): void;
}

/** Time for deadlines: one value for all connections of a thread, moved by its sweep, so that a change of phase costs one store. */
export interface Clock {
  /** Milliseconds of a clock that is never set back: of the next sweep, so that what is late by it has had all of its time. */
  readonly nowMs: number;
}

/** From this size on a chunk is given away with its memory; a smaller one may be lent, and then has to be copied before returning. */
export const GIVEN_AWAY_BYTES = 16_384;
