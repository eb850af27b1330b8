import { median, ratio, shown, table, type Measurement } from '../measurement.ts';
import type { Stage, Target } from '../stage.ts';
import type { TargetName } from '../targets.ts';

/** What is aimed at: so many times what HAProxy takes, or so many of a unit. */
export interface Aim {
  readonly what: string;
  readonly atMost: string;
  /** NaN where it was not measured. */
  readonly own: number;
  readonly node: number;
}

export interface CaseResult {
  /** In Markdown: tables, and what has to be known of them. */
  readonly text: string;
  readonly aims: readonly Aim[];
}

/** One part of the benchmark. */
export interface BenchCase {
  /** For `--case`. */
  readonly name: string;
  readonly title: string;
  run(stage: Stage): Promise<CaseResult>;
}

/** What was measured of each program, round by round. */
export type Rounds<T> = ReadonlyMap<TargetName, readonly T[]>;

/** Rounds alternate between the programs, so that what the machine does besides hits all of them; what its host disturbs is done again. */
export async function alternate<T>(
  { disturbances }: Stage,
  targets: readonly Target[],
  rounds: number,
  measure: (target: Target) => Promise<T>,
  say: (measured: T) => string,
): Promise<Rounds<T>> {
  const results = new Map<TargetName, T[]>(targets.map(({ name }) => [name, []]));
  for (let round = 1; round <= rounds; round++)
    for (const target of targets) {
      const measured = await disturbances.least(() => measure(target));
      results.get(target.name)?.push(measured);
      console.log(`round ${round}  ${target.title.padEnd(34)} ${say(measured)}`);
    }
  return results;
}

/** How a program is loaded, and measured meanwhile, for so many seconds. */
export type Load = (target: Target, seconds: number) => Promise<Measurement>;

/** {@link alternate}, where each program is warmed up before the first round, and for a second before each measurement. */
export async function alternateWarm(
  stage: Stage,
  targets: readonly Target[],
  rounds: number,
  load: Load,
  prefix = '',
): Promise<Rounds<Measurement>> {
  const { seconds, warmUpSeconds } = stage.settings;
  for (const target of targets) if (warmUpSeconds > 0) await load(target, warmUpSeconds);
  const measure = async (target: Target): Promise<Measurement> => {
    if (warmUpSeconds > 0) await load(target, 1);
    return await load(target, seconds);
  };
  return alternate(
    stage,
    targets,
    rounds,
    measure,
    (measured) => prefix + sayMeasurement(measured),
  );
}

/** For the line of a round. */
export function sayMeasurement(measured: Measurement): string {
  const { cpuPerRequest, requestsPerSecond, p99Ms } = measured;
  return `${cpuPerRequest.toFixed(1)} us/request  ${requestsPerSecond.toFixed(0)} req/s  p99 ${p99Ms.toFixed(1)} ms`;
}

function cpuOf(results: Rounds<Measurement>, name: TargetName): readonly number[] | undefined {
  return results.get(name)?.map((measured) => measured.cpuPerRequest);
}

/** Median of the ratios of CPU time within one round; NaN where one was not measured. */
function cpuRatio(results: Rounds<Measurement>, name: TargetName, peer: TargetName): number {
  return ratio(cpuOf(results, name), cpuOf(results, peer));
}

/** One row for each program. */
export function measurementTable(targets: readonly Target[], results: Rounds<Measurement>): string {
  return table(
    [
      'program',
      'CPU us/request (median)',
      'min-max',
      'requests/s (median)',
      'p99 ms (median)',
      'ratio to HAProxy with JWT',
      'ratio to HAProxy plain',
    ],
    targets.map(({ name, title }) => {
      const own = results.get(name) ?? [];
      const cpu = cpuOf(results, name) ?? [];
      return [
        title,
        shown(median(cpu), 1),
        `${Math.min(...cpu).toFixed(1)}-${Math.max(...cpu).toFixed(1)}`,
        shown(median(own.map((m) => m.requestsPerSecond)), 0),
        shown(median(own.map((m) => m.p99Ms)), 1),
        shown(cpuRatio(results, name, 'haproxy-jwt'), 2),
        shown(cpuRatio(results, name, 'haproxy-plain'), 2),
      ];
    }),
  );
}

/** An aim for CPU time, as a ratio. */
export function cpuAim(
  what: string,
  atMost: number,
  results: Rounds<Measurement>,
  peer: TargetName,
): Aim {
  const [own, node] = (['own', 'node'] as const).map((name) => cpuRatio(results, name, peer));
  return { what, atMost: String(atMost), own: own ?? Number.NaN, node: node ?? Number.NaN };
}
