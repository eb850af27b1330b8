import { underLoad, LOAD_CORE, type Stage, type Target } from '../stage.ts';
import type { TargetName } from '../targets.ts';
import { writeWrkScript, wrk } from '../wrk.ts';
import {
  alternate,
  measurementTable,
  sayMeasurement,
  type Aim,
  type BenchCase,
  type Rounds,
} from './case.ts';
import type { Measurement } from '../measurement.ts';

/** `Host` and `Authorization` make three of it. */
export const FEW_FIELDS = { Accept: 'application/json' } as const;

/** A case that is nothing but a load of wrk's on some programs. */
export interface WrkCase {
  readonly name: string;
  readonly title: string;
  readonly targets: readonly TargetName[];
  readonly rounds: number;
  readonly path: string;
  readonly fields: Readonly<Record<string, string>>;
  readonly secure: boolean;
  /** In Markdown, below the table. */
  readonly notes: string;
  aims(results: Rounds<Measurement>): readonly Aim[];
}

/** Where a program is asked for; @throws Error when it has no TLS here */
export function urlOf(target: Target, secure: boolean): string {
  if (!secure) return `http://127.0.0.1:${target.port}`;
  if (target.securePort === undefined) throw new Error(`${target.title} has no TLS here`);
  return `https://127.0.0.1:${target.securePort}`;
}

/** Each program is warmed up before the first round, and for a second before each measurement. */
export function wrkCase(options: WrkCase): BenchCase {
  const { name, title, path, fields, secure } = options;
  return {
    name,
    title,
    async run(stage: Stage) {
      const { tokens, folder } = stage.around;
      const load = { path, fields, tokens: tokens.tokens, once: false };
      const script = writeWrkScript(folder, name, load);
      const { seconds, warmUpSeconds, rounds = options.rounds } = stage.settings;
      const targets = await stage.targets(options.targets);
      const send = (target: Target, seconds: number): Promise<Measurement> =>
        underLoad(target, () =>
          wrk({ url: urlOf(target, secure), script, seconds, cores: LOAD_CORE }),
        );
      for (const target of targets) if (warmUpSeconds > 0) await send(target, warmUpSeconds);
      const results = await alternate(
        targets,
        rounds,
        async (target) => {
          if (warmUpSeconds > 0) await send(target, 1);
          return await send(target, seconds);
        },
        sayMeasurement,
      );
      return {
        text: `${measurementTable(targets, results)}\n\n${options.notes}`.trimEnd(),
        aims: options.aims(results),
      };
    },
  };
}
