import { FAULTS, type Fault } from './faults.ts';
import type { Stage } from './stage.ts';
import type { Possible } from './member.ts';
import type { Random } from './random.ts';
import { setTimeout as pause } from 'node:timers/promises';

/** A fault with its time. */
export interface PlannedFault {
  readonly fault: Fault;
  /** Milliseconds from the start of the run. */
  readonly at: number;
}

/** Milliseconds before the first fault, in which all is well. */
const WARM_UP_MS = 1_000;

/** Kinds that are possible here. */
export function possibleFaults(possible: Possible): Fault[] {
  return FAULTS.filter(({ needs }) => needs === undefined || possible[needs]);
}

/**
 * What goes wrong in the run of this seed: `count` faults spread over `lengthMs`. Neighbouring seeds take up where the one before left off, so that a
 * handful of them has every kind.
 */
export function planFaults(
  seed: number,
  random: Random,
  faults: readonly Fault[],
  count: number,
  lengthMs: number,
): PlannedFault[] {
  const chosen = Array.from(
    { length: count },
    (_none, index) => faults[(seed * count + index) % faults.length] as Fault,
  );
  const room = (lengthMs - WARM_UP_MS) / count;
  return random.shuffled(chosen).map((fault, index) => ({
    fault,
    at: Math.round(WARM_UP_MS + (index + random.between(0, 0.8)) * room),
  }));
}

/**
 * Carries the plan out; resolves when everything that was begun is put right again. Faults overlap, but for those that hit one target: these wait for
 * each other. Rejects with the first failure to make or mend one.
 */
export async function carryOut(
  plan: readonly PlannedFault[],
  stage: Stage,
  signal: AbortSignal,
): Promise<void> {
  const { history } = stage;
  const began = history.now();
  const lastOf = new Map<string, Promise<void>>();
  const running: Promise<void>[] = [];
  for (const { fault, at } of plan.toSorted((one, other) => one.at - other.at)) {
    await pause(Math.max(0, began + at - history.now()), undefined, { signal }).catch(
      () => undefined,
    );
    if (signal.aborted) break;
    const target = fault.target(stage);
    const queue = fault.waitsFor ?? target;
    const before = lastOf.get(queue) ?? Promise.resolve();
    const run = before
      .catch(() => undefined)
      .then(async () => {
        const tStart = history.now();
        try {
          await fault.run(stage, target);
        } catch (cause) {
          throw new Error(`fault ${fault.kind} at ${target} failed`, { cause });
        } finally {
          const tEnd = history.now();
          history.add({ type: 'fault', kind: fault.kind, target, tStart, tEnd });
        }
      });
    run.catch(() => undefined);
    lastOf.set(queue, run);
    running.push(run);
  }
  await Promise.all(running);
}
