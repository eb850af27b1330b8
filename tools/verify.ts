/**
 * `npm run verify`: all set-up and all tests, fastest first, real servers included. Stops at the first failure and exits 1; nothing is
 * skipped. `npm run verify -- <step>...` runs only the named steps.
 */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { ensurePackages, PackagesMissing } from './debian.ts';

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

function tests(pattern: string, concurrency: number): void {
  const files = globSync(pattern, { cwd: root }).sort();
  if (files.length === 0) throw new StepFailed(`no test file matches ${pattern}`);
  run(process.execPath, [
    '--disable-warning=ExperimentalWarning',
    '--test',
    `--test-concurrency=${concurrency}`,
    '--test-timeout=180000',
    '--test-reporter=spec',
    ...files,
  ]);
}

const sources = ['src', 'test', 'tools', 'bench', 'examples'];
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
      tests('test/{*,{revocation,auth,config,openapi,project,gateway,tls,net}/**/*}.test.ts', 2),
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
      ]),
  },
  { name: 'adapters', run: () => tests('test/{sources,token-service}/**/*.test.ts', 2) },
  { name: 'end-to-end', run: () => tests('test/{cli,e2e}/**/*.test.ts', 2) },
  { name: 'docs', run: () => tests('test/docs/**/*.test.ts', 1) },
  { name: 'package', run: () => tests('test/package/**/*.test.ts', 1) },
];

function main(only: readonly string[]): number {
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
  console.log(
    `\nverify: everything passed in ${((performance.now() - began) / 60_000).toFixed(1)} min`,
  );
  return 0;
}

process.exitCode = main(process.argv.slice(2));
