/** What is kept among the open calls of its origin. */
export interface Placed {
  /** Among them; theirs to set. */
  place: number;
  /**
   * Looks for what is past its deadline.
   * @param nowMs milliseconds of a clock that is never set back
   */
  sweep(nowMs: number): void;
}

/**
 * The calls of one origin that are under way, in no order. No `Set`: one that many come into and leave soon keeps those that it had when it
 * made itself anew alive, by a chain of its former tables that only the collection of the old generation ends.
 */
export class OpenCalls<T extends Placed> {
  readonly #calls: T[] = [];

  add(call: T): void {
    call.place = this.#calls.push(call) - 1;
  }

  /** The call is over; it was added once, and is taken out once. */
  remove(call: T): void {
    const last = this.#calls.pop();
    if (last === undefined || last === call) return;
    this.#calls[call.place] = last;
    last.place = call.place;
  }

  sweep(nowMs: number): void {
    // From behind, as one that is over leaves its place to the last.
    for (let at = this.#calls.length - 1; at >= 0; at--) this.#calls[at]?.sweep(nowMs);
  }
}
