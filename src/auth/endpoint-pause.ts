/** How long nobody is asked after a failure, milliseconds. */
const PAUSE_MS = 1_000;

/**
 * Keeps calls from an endpoint that fails: after the first failure there is none for a while, then one at a time, until one succeeds. What
 * was under way when a pause began or ended begins none by its own failure, so that calls that time out one after the other are one failure.
 */
export class EndpointPause {
  /** Undefined: there is none. Without end while a call tries. */
  #untilMs: number | undefined;
  /** Grows with each beginning and end of a pause. */
  #turn = 0;

  /** @returns the turn that the call belongs to; undefined: it may not be made now */
  begin(nowMs: number): number | undefined {
    if (this.#untilMs === undefined) return this.#turn;
    if (nowMs < this.#untilMs) return undefined;
    this.#untilMs = Number.POSITIVE_INFINITY;
    return this.#turn;
  }

  succeeded(): void {
    if (this.#untilMs === undefined) return;
    this.#untilMs = undefined;
    this.#turn += 1;
  }

  failed(turn: number, nowMs: number): void {
    if (turn !== this.#turn) return;
    this.#untilMs = nowMs + PAUSE_MS;
    this.#turn += 1;
  }

  /** After {@link succeeded}, {@link failed} or neither of them: then nothing is known of the endpoint, and the next call may try. */
  ended(turn: number): void {
    if (this.#untilMs !== undefined && turn === this.#turn)
      this.#untilMs = Number.NEGATIVE_INFINITY;
  }
}
