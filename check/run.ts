/**
 * `npm run check:faults`: gateways, a real broker, store and token service, traffic and faults; then validators over what happened. Exits 1
 * when one fails, or when one of the seeded bugs is not caught. docs/faults.md says more.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ensurePackages } from '../tools/debian.ts';
import { startCluster } from './cluster.ts';
import { FAULTS } from './faults.ts';
import type { Channel } from './history.ts';
import { whatIsPossible, type Possible } from './member.ts';
import { MUTANTS, type Mutant } from './mutants.ts';
import { Endings } from './owner.ts';
import { possibleFaults } from './plan.ts';
import { prove, type ProofOptions } from './prove.ts';
import { faultTotals, findings, summary } from './report.ts';
import { runRound, type Outcome } from './round.ts';
import { startServers, type Servers } from './servers.ts';
import { SNAPSHOT_UNSYNCED, tracedLife } from './unsynced.ts';

const ROOT = join(import.meta.dirname, '..');

const HELP = `Usage: npm run check:faults -- [options]

  --seed <n>             first seed (default 1)
  --seeds <n>            how many seeds (default 10)
  --duration <seconds>   of each (default 20)
  --max-staleness <ms>   of the gateways (default 2000)
  --soak <time>          seeds one after the other for so long: 90s, 30m, 1h
  --faults <kinds>       only these, separated by commas
  --mutant <name>        no seeds, but this seeded bug: exits 1 when it is caught, as for any bug
  --no-mutants           seeds only
  --out <folder>         where histories of failures go (default: under the system's temporary folder)
`;

const CHANNELS: readonly Channel[] = ['broker', 'etcd', 'service', 'operator', 'rule'];

const OPTIONS = {
  seed: { type: 'string', default: '1' },
  seeds: { type: 'string', default: '10' },
  duration: { type: 'string', default: '20' },
  'max-staleness': { type: 'string', default: '2000' },
  soak: { type: 'string' },
  faults: { type: 'string' },
  out: { type: 'string', default: join(tmpdir(), 'portcullis-faults') },
  mutant: { type: 'string' },
  'no-mutants': { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

const UNITS = { s: 1_000, m: 60_000, h: 3_600_000 } as const;

function whole(text: string, option: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new Error(`--${option} must be a whole number`);
  return Number(text);
}

/** Milliseconds of "90s", "30m" or "1h". */
function time(text: string, option: string): number {
  const [, count = '', unit = ''] = /^(\d{1,6})([smh])$/.exec(text) ?? [];
  if (count === '') throw new Error(`--${option} must be a number with s, m or h, such as 1h`);
  return Number(count) * UNITS[unit as keyof typeof UNITS];
}

/** What the command line asks for. */
interface Wanted {
  readonly first: number;
  readonly seeds: number;
  readonly durationMs: number;
  readonly maxStalenessMs: number;
  readonly soakMs: number | undefined;
  readonly kinds: readonly string[] | undefined;
  readonly out: string;
  /** Seeded bugs to be looked for, after the seeds. */
  readonly mutants: readonly Mutant[];
  /** One bug alone, which is to be reported like any other. */
  readonly only: Mutant | undefined;
}

function wantedOf(argv: readonly string[]): Wanted | undefined {
  const { values } = parseArgs({ args: [...argv], options: OPTIONS });
  if (values.help) return undefined;
  const only = MUTANTS.find(({ name }) => name === values.mutant);
  if (values.mutant !== undefined && only === undefined)
    throw new Error(`--mutant must be one of ${MUTANTS.map(({ name }) => name).join(', ')}`);
  const kinds = values.faults?.split(',');
  for (const kind of kinds ?? [])
    if (!FAULTS.some((fault) => fault.kind === kind))
      throw new Error(
        `--faults: there is no ${kind}, only ${FAULTS.map((f) => f.kind).join(', ')}`,
      );
  const soakMs = values.soak === undefined ? undefined : time(values.soak, 'soak');
  return {
    first: whole(values.seed, 'seed'),
    seeds: soakMs === undefined ? whole(values.seeds, 'seeds') : Infinity,
    durationMs: whole(values.duration, 'duration') * 1_000,
    maxStalenessMs: whole(values['max-staleness'], 'max-staleness'),
    soakMs,
    kinds,
    out: values.out,
    mutants: values['no-mutants'] ? [] : MUTANTS,
    only,
  };
}

async function main(argv: readonly string[]): Promise<number> {
  const wanted = wantedOf(argv);
  if (wanted === undefined) {
    console.log(HELP);
    return 0;
  }
  ensurePackages(['rabbitmq-server', 'etcd-server', 'etcd-client', 'faketime', 'strace']);
  console.log('Building');
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: ROOT, stdio: 'inherit' });
  const scratch = mkdtempSync(join(tmpdir(), 'portcullis-check-'));
  // Everything that is started writes below it, so that nothing stays behind whatever ends this process.
  process.env['TMPDIR'] = scratch;
  const endings = new Endings(() =>
    rmSync(scratch, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }),
  );
  const stop = (): void => process.exit(130);
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  try {
    const possible = whatIsPossible(endings, scratch);
    const missing = notPossible(possible);
    for (const line of missing) console.log(line);
    // Where nobody reads what was not run, that is a failure.
    if (missing.length > 0 && process.env['CI'] === 'true') return 1;
    const servers = await startServers(endings);
    const proofs = {
      servers,
      endings,
      possible,
      channels: CHANNELS,
      maxStalenessMs: wanted.maxStalenessMs,
      seed: wanted.first,
      folder: scratch,
    };
    if (wanted.only !== undefined) {
      const { outcome } = await prove(wanted.only, proofs);
      console.log(summary(outcome));
      return verdict(outcome, join(wanted.out, wanted.only.name));
    }
    if (!(await runSeeds(wanted, servers, endings, possible, scratch))) return 1;
    for (const mutant of wanted.mutants) if (!(await isCaught(mutant, wanted, proofs))) return 1;
    if (wanted.mutants.length > 0 && !(await isOrderWatched(scratch))) return 1;
    return 0;
  } finally {
    await endings.close();
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
  }
}

/** Every seed in turn on the same gateways; false at the first that fails. */
async function runSeeds(
  { first, seeds, soakMs, kinds, durationMs, maxStalenessMs, out }: Wanted,
  servers: Servers,
  endings: Endings,
  possible: Possible,
  scratch: string,
): Promise<boolean> {
  if (seeds === 0) return true;
  const cluster = await startCluster(servers, endings, possible, { maxStalenessMs });
  const faults = possibleFaults(possible).filter(({ kind }) => kinds?.includes(kind) ?? true);
  const end = performance.now() + (soakMs ?? Infinity);
  const plans: Outcome['plan'][] = [];
  try {
    for (let seed = first; seed < first + seeds && performance.now() < end; seed++) {
      const path = join(scratch, `seed-${seed}.jsonl`);
      const outcome = await runRound(servers, cluster, {
        seed,
        durationMs,
        channels: CHANNELS,
        faults,
        path,
      });
      console.log(summary(outcome));
      if (verdict(outcome, join(out, `seed-${seed}`)) !== 0) return false;
      plans.push(outcome.plan);
      rmSync(path);
    }
    console.log(`faults: ${faultTotals(plans)}`);
    return true;
  } finally {
    await cluster.close();
  }
}

async function isCaught(mutant: Mutant, { out }: Wanted, options: ProofOptions): Promise<boolean> {
  const { outcome, caughtBy, control } = await prove(mutant, options);
  if (control !== undefined && control.violations.length > 0) {
    console.log(`seeded bug ${mutant.name}: FAILED, the same run without it is not good`);
    verdict(control, join(out, `${mutant.name}-control`));
    return false;
  }
  if (caughtBy.length > 0) {
    console.log(`seeded bug ${mutant.name}: caught by ${caughtBy.join(', ')} (${mutant.bug})`);
    return true;
  }
  console.log(`seeded bug ${mutant.name}: NOT CAUGHT (${mutant.bug})`);
  console.log(summary(outcome));
  verdict(outcome, join(out, mutant.name));
  return false;
}

/** A power cut cannot be had here: the order of the calls to the file system is judged in its place. */
async function isOrderWatched(scratch: string): Promise<boolean> {
  const { name, bug, replacement } = SNAPSHOT_UNSYNCED;
  const good = await tracedLife(mkdtempSync(join(scratch, 'order-')), []);
  const bad = await tracedLife(mkdtempSync(join(scratch, 'order-')), [replacement]);
  if (good.violations.length > 0) {
    console.log(`seeded bug ${name}: FAILED, the same without it is not good`);
    for (const violation of good.violations) console.log(`  ${violation}`);
    return false;
  }
  const caught = bad.violations.length > 0;
  console.log(
    `seeded bug ${name}: ${caught ? 'caught by the order of syncs' : 'NOT CAUGHT'} (${bug})`,
  );
  return caught;
}

function notPossible({ diskFull, clockStep }: Possible): string[] {
  return [
    ...(diskFull ? [] : ['NOT RUN: disk-full, because this user may not mount a tmpfs']),
    ...(clockStep ? [] : ["NOT RUN: clock-step, because Debian's package faketime is missing"]),
  ];
}

/** Prints what failed and keeps what shows it. @returns the exit code */
function verdict({ violations, history, members }: Outcome, folder: string): number {
  if (violations.length === 0) return 0;
  console.log(findings(violations));
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    join(folder, 'history.jsonl'),
    history.entries.map((entry) => `${JSON.stringify(entry)}\n`).join(''),
  );
  for (const member of members) writeFileSync(join(folder, `${member.name}.log`), member.output());
  console.log(`  history and logs: ${folder}`);
  return 1;
}

process.exitCode = await main(process.argv.slice(2));
