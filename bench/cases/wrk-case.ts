import { underLoad, LOAD_CORE, type Stage, type Target } from '../stage.ts';
import type { TargetName } from '../targets.ts';
import { writeWrkScript, wrk } from '../wrk.ts';
import {
  alternateWarm,
  cpuAim,
  measurementTable,
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

export function wrkCase(options: WrkCase): BenchCase {
  const { name, title, path, fields, secure } = options;
  return {
    name,
    title,
    async run(stage: Stage) {
      const { tokens, folder } = stage.around;
      const load = { path, fields, tokens: tokens.tokens, once: false };
      const script = writeWrkScript(folder, name, load);
      const { rounds = options.rounds } = stage.settings;
      const targets = await stage.targets(options.targets);
      const results = await alternateWarm(stage, targets, rounds, (target, seconds) =>
        underLoad(target, () =>
          wrk({ url: urlOf(target, secure), script, seconds, cores: LOAD_CORE }),
        ),
      );
      return {
        text: `${measurementTable(targets, results)}\n\n${options.notes}`.trimEnd(),
        aims: options.aims(results),
      };
    },
  };
}

/** What is aimed at with live tokens. */
export function liveAims(what: string, results: Rounds<Measurement>): Aim[] {
  return [
    cpuAim(`${what}: CPU, to HAProxy with JWT`, 0.45, results, 'haproxy-jwt'),
    cpuAim(`${what}: CPU, to HAProxy plain`, 1.8, results, 'haproxy-plain'),
  ];
}
