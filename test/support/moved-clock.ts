import type { Swept } from '../../src/gateway/sweep.ts';
import type { Clock } from '../../src/http1/wire.ts';

/** The clock of the parts of one test, which moves it as a sweep does. */
export class MovedClock implements Clock {
  nowMs = performance.now();

  /** @param nextMs what begins from then on is stamped with */
  sweep(part: Pick<Swept, 'sweep'>, nowMs: number, nextMs = nowMs): void {
    this.nowMs = nextMs;
    part.sweep(nowMs, 0);
  }
}
