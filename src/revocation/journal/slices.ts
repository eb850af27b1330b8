import { setImmediate as nextTurn } from 'node:timers/promises';

/** Milliseconds of work at a time. Two of them may come in one turn of the event loop, with what reads the next piece between them. */
const SLICE_MS = 2;

/** Long work on the control thread in slices, so that events are not held up by it. */
export class Slices {
  #began = performance.now();

  /** Whether it is time to {@link pause}. */
  get over(): boolean {
    return performance.now() - this.#began > SLICE_MS;
  }

  async pause(): Promise<void> {
    await nextTurn();
    this.#began = performance.now();
  }
}
