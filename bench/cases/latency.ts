import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startProgram } from '../../test/support/program.ts';
import { median, ratio, shown, table } from '../measurement.ts';
import type { Latencies, OpenLoop } from '../open-loop-client.ts';
import { underLoad, LOAD_CORE, type Target } from '../stage.ts';
import { PETS_PATH, writeWrkScript, wrk } from '../wrk.ts';
import { alternate, type BenchCase } from './case.ts';
import { FEW_FIELDS, urlOf } from './wrk-case.ts';

const ROUNDS = 5;
const CONNECTIONS = 256;

/** The 99th percentile at half of what each program can do. */
export const latency: BenchCase = {
  name: 'latency',
  title: 'Latency at half of the saturation load',
  async run(stage) {
    const { around, settings } = stage;
    const { seconds, rounds = ROUNDS } = settings;
    const { folder } = around;
    const { tokens } = around.tokens;
    const script = writeWrkScript(folder, 'latency', {
      path: PETS_PATH,
      fields: FEW_FIELDS,
      tokens,
      once: false,
    });
    const list = join(folder, 'latency-list.txt');
    writeFileSync(list, tokens.join('\n'));
    const targets = await stage.targets(['haproxy-jwt', 'own', 'node', 'fastify']);
    const half = new Map<Target, number>();
    for (const target of targets) {
      const url = urlOf(target, false);
      const full = await underLoad(target, () => wrk({ url, script, seconds, cores: LOAD_CORE }));
      half.set(target, Math.round(full.requestsPerSecond / 2));
    }
    const peer = targets.find(({ name }) => name === 'haproxy-jwt');
    const pace = (peer === undefined ? undefined : half.get(peer)) ?? Number.NaN;
    // Where that is well below what it can do: an open loop beyond that has no latency, only a queue.
    const keepsPace = (target: Target): boolean =>
      target.name === 'own' && pace < 1.6 * (half.get(target) ?? 0);
    const at = (target: Target, perSecond: number): Promise<Latencies> =>
      openLoop(target, {
        port: target.port,
        path: PETS_PATH,
        tokens: list,
        perSecond,
        seconds,
        connections: CONNECTIONS,
      });
    const results = await alternate(
      stage,
      targets,
      rounds,
      async (target) => ({
        half: await at(target, half.get(target) ?? 0),
        same: keepsPace(target) ? await at(target, pace) : undefined,
      }),
      (measured) =>
        `p99 ${measured.half.p99Ms.toFixed(2)} ms${measured.same === undefined ? '' : `, at HAProxy's pace ${measured.same.p99Ms.toFixed(2)} ms`}`,
    );
    const halves = (target: Target): Latencies[] =>
      (results.get(target.name) ?? []).map((measured) => measured.half);
    const sames = (target: Target): Latencies[] =>
      (results.get(target.name) ?? []).flatMap((measured) => measured.same ?? []);
    const p99 = (all: readonly Latencies[]): number[] => all.map(({ p99Ms }) => p99Ms);
    const peers = peer === undefined ? undefined : p99(halves(peer));
    const row = (title: string, perSecond: number, all: readonly Latencies[]): string[] => [
      title,
      shown(perSecond, 0),
      shown(median(all.map(({ p50Ms }) => p50Ms)), 2),
      shown(median(p99(all)), 2),
      shown(ratio(p99(all), peers), 2),
    ];
    const rows = targets.flatMap((target) => [
      row(target.title, half.get(target) ?? Number.NaN, halves(target)),
      ...(sames(target).length === 0 ? [] : [row(target.title, pace, sames(target))]),
    ]);
    const found = (name: 'own' | 'node'): number => {
      const target = targets.find((target) => target.name === name);
      return target === undefined ? Number.NaN : ratio(p99(halves(target)), peers);
    };
    const header = ['program', 'requests/s', 'p50 ms', 'p99 ms', 'p99, ratio to HAProxy with JWT'];
    return {
      text: `${table(header, rows)}\n\nAt half of what wrk got from it; Portcullis also at half of what wrk got from HAProxy. Arrivals are a Poisson process on ${CONNECTIONS} connections, and count from when they were due. The client and the upstream share a processor: the faster the program, the more of the figure is theirs.`,
      aims: [
        {
          what: 'p99 at half of the saturation load, to HAProxy with JWT',
          atMost: '1.5',
          own: found('own'),
          node: found('node'),
        },
      ],
    };
  },
};

async function openLoop(target: Target, order: OpenLoop): Promise<Latencies> {
  const file = join(import.meta.dirname, '../open-loop-client.ts');
  const client = startProgram('taskset', [
    '-c',
    LOAD_CORE,
    process.execPath,
    file,
    JSON.stringify(order),
  ]);
  const code = await client.ended(order.seconds * 1_000 + 30_000);
  target.emptyLog();
  if (code !== 0)
    throw new Error(`${target.title}: the client ended with ${code}: ${client.output()}`);
  return JSON.parse(client.output()) as Latencies;
}
