import { cpus } from 'node:os';
import { median, shown, table } from '../measurement.ts';
import { LOAD_CORES, LOAD_THREADS, underLoad, type Target } from '../stage.ts';
import { PETS_PATH, writeWrkScript, wrk } from '../wrk.ts';
import { alternateWarm, type BenchCase, type Load } from './case.ts';
import { FEW_FIELDS, urlOf } from './wrk-case.ts';

const ROUNDS = 3;

/** 1, 2, 4 and so on, and as many as there are processors. */
function counts(): number[] {
  const all: number[] = [];
  for (let count = 1; count < cpus().length; count *= 2) all.push(count);
  return [...all, cpus().length];
}

/** The same load on more and more threads. */
export const threads: BenchCase = {
  name: 'threads',
  title: 'From 1 thread to as many as there are processors',
  async run(stage) {
    const { around, settings } = stage;
    const { rounds = ROUNDS } = settings;
    const { tokens } = around.tokens;
    const load = { path: PETS_PATH, fields: FEW_FIELDS, tokens, once: false };
    const script = writeWrkScript(around.folder, 'threads', load);
    const send: Load = (target, seconds) =>
      underLoad(target, () =>
        wrk({
          url: urlOf(target, false),
          script,
          seconds,
          cores: LOAD_CORES,
          threads: LOAD_THREADS,
        }),
      );
    const names = (['haproxy-jwt', 'own'] as const).filter((name) => stage.isWanted(name));
    const base = new Map<string, number>();
    const rows: string[][] = [];
    for (const count of counts()) {
      const targets: Target[] = [];
      for (const name of names) targets.push(await stage.start(name, count, `0-${count - 1}`));
      const prefix = `${count} threads  `;
      const results = await alternateWarm(stage, targets, rounds, send, prefix);
      for (const target of targets) {
        const own = results.get(target.name) ?? [];
        const pace = median(own.map((m) => m.requestsPerSecond));
        if (count === 1) base.set(target.name, pace);
        rows.push([
          target.title,
          String(count),
          shown(median(own.map((m) => m.cpuPerRequest)), 1),
          shown(pace, 0),
          shown(pace / (base.get(target.name) ?? Number.NaN), 2),
          shown(median(own.map((m) => m.p99Ms)), 1),
        ]);
        await target.stop();
      }
    }
    rows.sort(([one = ''], [other = '']) => one.localeCompare(other));
    const header = [
      'program',
      'threads',
      'CPU us/request (median)',
      'requests/s (median)',
      'times that of 1 thread',
      'p99 ms (median)',
    ];
    return {
      text: `${table(header, rows)}\n\nThe first so many processors are the program's; load and upstream have the upper half of all ${cpus().length}, and share it with the program once it has more than the lower half.`,
      aims: [],
    };
  },
};
