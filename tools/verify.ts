/**
 * `npm run verify`: all set-up and all tests, fastest first, real servers included. Stops at the first failure and exits 1. Where
 * the test vectors are missing, it says at its end what was not run; with CI=true that is a failure. `npm run verify -- <step>...` runs only the named steps.
 */
import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensurePackages, PackagesMissing } from './debian.ts';
import { closingWords, notRun } from './not-run.ts';

const root = join(import.meta.dirname, '..');

interface Step {
  readonly name: string;
  run(): void;
}

class StepFailed extends Error {}

function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): void {
  const { status, error } = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  if (error !== undefined) throw new StepFailed(`${command}: ${error.message}`);
  if (status !== 0) throw new StepFailed(`${command} ${args.join(' ')} exited with ${status}`);
}

/** Tests of all steps so far that were left out. */
const left: string[] = [];

function tests(pattern: string, concurrency: number, env: NodeJS.ProcessEnv = {}): void {
  const files = globSync(pattern, { cwd: root }).sort();
  if (files.length === 0) throw new StepFailed(`no test file matches ${pattern}`);
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-verify-'));
  const report = join(folder, 'report.tap');
  try {
    run(
      process.execPath,
      [
        '--disable-warning=ExperimentalWarning',
        '--test',
        `--test-concurrency=${concurrency}`,
        '--test-timeout=180000',
        '--test-reporter=spec',
        '--test-reporter-destination=stdout',
        '--test-reporter=tap',
        `--test-reporter-destination=${report}`,
        ...files,
      ],
      env,
    );
    left.push(...notRun(readFileSync(report, 'utf8')));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const sources = ['src', 'test', 'tools', 'bench', 'check', 'examples'];
const STEPS: readonly Step[] = [
  { name: 'format', run: () => run('oxfmt', ['--check', ...sources]) },
  { name: 'lint', run: () => run('oxlint', ['--type-aware', ...sources]) },
  {
    name: 'types',
    run: () => {
      run('tsc', ['-p', 'tsconfig.json']);
      run('tsc', ['-p', 'examples/tsconfig.json']);
    },
  },
  { name: 'dead-code', run: () => run('knip', []) },
  { name: 'build', run: () => run('npm', ['run', '--silent', 'build']) },
  {
    name: 'unit',
    run: () =>
      tests(
        'test/{*,{revocation,auth,config,openapi,project,http1,tls,net,admin,operations,telemetry,check,bench}/**/*}.test.ts',
        2,
      ),
  },
  {
    name: 'data-plane',
    run: () => {
      for (const engine of ['node', 'own'])
        tests('test/gateway/**/*.test.ts', 2, { PORTCULLIS_HTTP_ENGINE: engine });
    },
  },
  {
    name: 'servers',
    run: () =>
      ensurePackages([
        'rabbitmq-server',
        'etcd-server',
        'etcd-client',
        'redis-server',
        'openssl',
        'curl',
        'strace',
        'faketime',
        'slowhttptest',
        'wrk',
      ]),
  },
  { name: 'adapters', run: () => tests('test/{sources,token-service,crash}/**/*.test.ts', 2) },
  { name: 'end-to-end', run: () => tests('test/{cli,e2e,threads}/**/*.test.ts', 2) },
  {
    name: 'faults',
    // The seeded bugs take as long as half of the seeds: `npm run check:faults` looks for them too.
    run: () =>
      run(process.execPath, [
        '--disable-warning=ExperimentalWarning',
        'check/run.ts',
        '--no-mutants',
      ]),
  },
  { name: 'docs', run: () => tests('test/docs/**/*.test.ts', 2) },
  { name: 'package', run: () => tests('test/package/**/*.test.ts', 2) },
];

function main(only: readonly string[]): number {
  // Hundreds of processes load the same modules: each is compiled once in a run.
  const compiled = mkdtempSync(join(tmpdir(), 'portcullis-compiled-'));
  process.env['NODE_COMPILE_CACHE'] = compiled;
  try {
    return verify(only);
  } finally {
    rmSync(compiled, { recursive: true, force: true, maxRetries: 3 });
  }
}

function verify(only: readonly string[]): number {
  const unknown = only.filter((name) => !STEPS.some((step) => step.name === name));
  if (unknown.length > 0) {
    console.error(
      `No such step: ${unknown.join(', ')}. Steps: ${STEPS.map((s) => s.name).join(', ')}`,
    );
    return 1;
  }
  const began = performance.now();
  for (const step of STEPS) {
    if (only.length > 0 && !only.includes(step.name)) continue;
    const start = performance.now();
    console.log(`\n== ${step.name}`);
    try {
      step.run();
    } catch (error) {
      if (!(error instanceof StepFailed || error instanceof PackagesMissing)) throw error;
      console.error(`\nverify: ${step.name} failed: ${error.message}`);
      return 1;
    }
    console.log(`== ${step.name}: ${((performance.now() - start) / 1000).toFixed(1)} s`);
  }
  console.log(`\n${closingWords(left, (performance.now() - began) / 60_000)}`);
  return left.length > 0 && process.env['CI'] === 'true' ? 1 : 0;
}

process.exitCode = main(process.argv.slice(2));
