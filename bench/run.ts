/**
 * `npm run bench`: the cost of a checked request, next to HAProxy and others doing the same, in the same run. The program under test is pinned to
 * the first processor, load and upstream to the upper half; rounds alternate between the programs and medians are printed.
 */
import { execFileSync } from 'node:child_process';
import { cpus, loadavg } from 'node:os';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ensurePackages } from '../tools/debian.ts';
import { browser } from './cases/browser.ts';
import type { Aim, BenchCase } from './cases/case.ts';
import { http2 } from './cases/http2.ts';
import { idle } from './cases/idle.ts';
import { largeAnswers } from './cases/large-answers.ts';
import { latency } from './cases/latency.ts';
import { live } from './cases/live.ts';
import { newTokens } from './cases/new-tokens.ts';
import { threads } from './cases/threads.ts';
import { tls } from './cases/tls.ts';
import { shown, table } from './measurement.ts';
import { writeResults } from './results.ts';
import { Stage, type Settings } from './stage.ts';
import { isHere, TARGET_NAMES, version } from './targets.ts';

/** In the order in which they run. */
const CASES: readonly BenchCase[] = [
  live,
  browser,
  newTokens,
  tls,
  http2,
  latency,
  threads,
  idle,
  largeAnswers,
];

const HELP = `Usage: npm run bench -- [options]

  --case <a,b>       cases: ${CASES.map(({ name }) => name).join(', ')} (default: all)
  --only <a,b>       programs: ${TARGET_NAMES.join(', ')} (default: all)
  --rounds <n>       rounds (default: 5 of what is aimed at, 3 of the others)
  --seconds <n>      of load in each round of each program (default 2)
  --warm-up <n>      seconds of load before the first round of a case (default 2); 0: none before any
  --again <n>        times that a measurement may be done again which the machine's host disturbed (default 2)
  --write            puts the results into docs/benchmarks.md; only of a whole run
`;

const root = join(import.meta.dirname, '..');

class BadWords extends Error {}

function chosen<T extends string>(words: string | undefined, all: readonly T[], what: string): T[] {
  if (words === undefined) return [...all];
  return words.split(',').map((word) => {
    const found = all.find((known) => known === word);
    if (found === undefined) throw new BadWords(`no ${what} ${word}; there are ${all.join(', ')}`);
    return found;
  });
}

function whole(word: string | undefined, least: number, name: string): number | undefined {
  if (word === undefined) return undefined;
  const number = Number(word);
  if (!Number.isInteger(number) || number < least)
    throw new BadWords(`--${name} takes a whole number from ${least} on`);
  return number;
}

interface Order {
  readonly cases: readonly BenchCase[];
  readonly settings: Settings;
  readonly write: boolean;
}

/** @throws BadWords */
function read(): Order | 'help' {
  const { values } = parseArgs({
    options: {
      case: { type: 'string' },
      only: { type: 'string' },
      rounds: { type: 'string' },
      seconds: { type: 'string', default: '2' },
      'warm-up': { type: 'string', default: '2' },
      again: { type: 'string', default: '2' },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  if (values.write && (values.case !== undefined || values.only !== undefined))
    throw new BadWords('--write takes a whole run, without --case and --only');
  const names = chosen(
    values.case,
    CASES.map(({ name }) => name),
    'case',
  );
  return {
    cases: CASES.filter(({ name }) => names.includes(name)),
    settings: {
      rounds: whole(values.rounds, 1, 'rounds'),
      seconds: whole(values.seconds, 1, 'seconds') ?? 2,
      warmUpSeconds: whole(values['warm-up'], 0, 'warm-up') ?? 2,
      again: whole(values.again, 0, 'again') ?? 2,
      only: chosen(values.only, TARGET_NAMES, 'program'),
    },
    write: values.write,
  };
}

function packageVersion(name: string): string {
  const require = createRequire(import.meta.url);
  return (require(`${name}/package.json`) as { version: string }).version;
}

/** What ran where: figures of another machine or version are not comparable. */
function circumstances(load: number | undefined): string {
  const parts = [
    new Date().toISOString().slice(0, 10),
    `Node ${process.versions.node}`,
    `HAProxy ${version('haproxy', ['-v'], /version (\S+)/)}`,
    ...['@fastify/http-proxy', '@fastify/jwt'].map((name) => `${name} ${packageVersion(name)}`),
    isHere('krakend')
      ? `KrakenD ${version('krakend', ['version'], /(\d+\.\d+\.\d+)/)}`
      : 'without KrakenD, which was not on the path',
    `upstream nginx ${version('nginx', ['-v'], /nginx\/(\S+)/)}`,
    `h2load ${version('h2load', ['--version'], /nghttp2\/(\S+)/)}`,
    `${cpus().length} processors, ${cpus()[0]?.model.trim() ?? 'unknown'}`,
    `load average of the machine before the run ${load?.toFixed(1)}`,
  ];
  return parts.join(', ');
}

function aimTable(aims: readonly Aim[]): string {
  return table(
    ['aim', 'at most', 'Portcullis, engine "own"', 'Portcullis, engine "node"'],
    aims.map(({ what, atMost, own, node }) => [what, atMost, shown(own, 2), shown(node, 2)]),
  );
}

async function bench({ cases, settings, write }: Order): Promise<void> {
  if (cpus().length < 2) throw new BadWords('the benchmark needs two processors');
  ensurePackages(['haproxy', 'nginx-light', 'wrk', 'nghttp2-client', 'openssl']);
  const load = loadavg()[0];
  console.log('Building');
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: 'inherit' });
  const stage = await Stage.open(settings);
  try {
    const aims: Aim[] = [];
    const sections: string[] = [];
    for (const one of cases) {
      console.log(`\n== ${one.name}: ${one.title}`);
      const result = await one.run(stage);
      aims.push(...result.aims);
      sections.push(`### ${one.title}`, result.text);
    }
    const summary = aims.length === 0 ? [] : ['### What is aimed at', aimTable(aims)];
    const text = [circumstances(load), String(stage.disturbances), ...summary, ...sections].join(
      '\n\n',
    );
    console.log(`\n${text}`);
    if (write) writeResults('npm run bench -- --write', text);
  } finally {
    await stage.close();
  }
}

// An end like any other: what was started is ended, what was written is removed.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

try {
  const order = read();
  if (order === 'help') console.log(HELP);
  else await bench(order);
} catch (error) {
  if (!(error instanceof BadWords)) throw error;
  console.error(`${error.message}\n\n${HELP}`);
  process.exitCode = 2;
}
