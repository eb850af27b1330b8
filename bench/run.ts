/**
 * `npm run bench`: the cost of one checked request, next to HAProxy doing the same, in the same run. Each program under test is pinned to
 * core 0, load and upstream to core 1; rounds alternate between the programs and medians are printed. `--rounds N`, `--seconds N`, `--warm-up N`,
 * `--write` (puts the table into docs/benchmarks.md).
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startProgram, type Program } from '../test/support/program.ts';
import { freePort } from '../test/support/free-port.ts';
import { ensurePackages } from '../tools/debian.ts';
import { cpuMicroseconds } from './cpu.ts';
import { writeHaproxy, writeLoad, writeNginx } from './peers.ts';
import { writeResults } from './results.ts';
import { makeTokens, type BenchTokens } from './tokens.ts';

const TOKENS = 5_000;
const REVOKED = 100_000;
const CONNECTIONS = 64;
/** Before the first round: every token verified once, every branch compiled. */
const WARM_UP_SECONDS = 10;
const root = join(import.meta.dirname, '..');

interface Target {
  readonly name: string;
  readonly pid: number;
  readonly port: number;
}

interface Measurement {
  readonly requestsPerSecond: number;
  readonly cpuPerRequest: number;
  readonly p99Ms: number;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? Number.NaN)
    : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2;
}

function pinned(core: number, command: string, args: readonly string[]): Program {
  return startProgram('taskset', ['-c', String(core), command, ...args]);
}

async function answers(port: number, token: string, what: Program): Promise<void> {
  const end = performance.now() + 30_000;
  for (;;) {
    try {
      const response = await fetch(
        `http://127.0.0.1:${port}/petstore/v1/pet/findByStatus?status=available`,
        { headers: { authorization: `Bearer ${token}` } },
      );
      await response.arrayBuffer();
      if (response.status === 200) return;
    } catch {
      // Not up yet.
    }
    if (performance.now() > end)
      throw new Error(`no 200 on port ${port} within 30 s:\n${what.output()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** WSO2's revoked list, as the gateway reads it at start. */
async function eventHub(tokens: BenchTokens): Promise<{ url: string; close: () => void }> {
  const expiry = Date.now() + 86_400_000;
  const body = JSON.stringify(
    tokens.revokedIds.map((id) => ({ jwt_signature: id, expiry_time: expiry })),
  );
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/internal/data/v1`,
    close: () => void server.close(),
  };
}

/** A project with the petstore's definition, built by the real command; returns the artifact's path. */
function buildProject(folder: string, upstreamPort: number): string {
  const microGw = (...args: string[]): void => {
    execFileSync(process.execPath, [join(root, 'dist/cli/micro-gw.js'), ...args], {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  };
  microGw('init', 'petstore');
  const definition = readFileSync(join(root, 'examples/petstore/petstore.yaml'), 'utf8');
  writeFileSync(
    join(folder, 'petstore/api_definitions/petstore.yaml'),
    definition.replace('127.0.0.1:8080', `127.0.0.1:${upstreamPort}`),
  );
  microGw('build', 'petstore');
  return join(folder, 'petstore/target/petstore.mjs');
}

/** A home of its own, with the engine that it is to run. */
function writeGatewayHome(
  home: string,
  engine: 'own' | 'node',
  port: number,
  hub: string,
  tokens: BenchTokens,
): void {
  mkdirSync(join(home, 'conf'), { recursive: true });
  writeFileSync(join(home, 'issuer.pem'), tokens.publicKeyPem);
  writeFileSync(
    join(home, 'conf/micro-gw.conf'),
    `[listenerConfig]
  host = "127.0.0.1"
  httpPort = ${port}
  httpsPort = 0
  tokenListenerPort = 0
[operatorConfig]
  enable = false
[server]
  threads = 1
  httpEngine = "${engine}"
[b7a.http.accesslog]
  path = "${home}/access.log"
[[jwtTokenConfig]]
  issuer = "${tokens.issuer}"
  certificatePath = "${home}/issuer.pem"
[tokenRevocationConfig]
  maxStaleness = "1d"
[tokenRevocationConfig.persistent]
  enablePersistentStorageRetrieval = true
  type = "default"
  endpointURL = "${hub}"
  username = "admin"
  password = "bench"
  reconcileInterval = "1h"
`,
  );
}

async function load(target: Target, script: string, seconds: number): Promise<Measurement> {
  const before = cpuMicroseconds(target.pid);
  const wrk = startProgram('taskset', [
    '-c',
    '1',
    'wrk',
    '-t1',
    `-c${CONNECTIONS}`,
    `-d${seconds}s`,
    '--latency',
    '-s',
    script,
    `http://127.0.0.1:${target.port}`,
  ]);
  await wrk.ended(seconds * 1000 + 30_000);
  const result = /RESULT (\d+) (\d+) (\d+) (\d+) (\d+)/.exec(wrk.output());
  if (result === null) throw new Error(`wrk did not report:\n${wrk.output()}`);
  const [requests, durationUs, refused, broken, p99] = result.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
    number,
  ];
  if (refused > 0 || broken > 0)
    throw new Error(`${target.name}: ${refused} requests refused, ${broken} broken`);
  return {
    requestsPerSecond: requests / (durationUs / 1e6),
    cpuPerRequest: (cpuMicroseconds(target.pid) - before) / requests,
    p99Ms: p99 / 1000,
  };
}

function version(command: string, args: readonly string[], pattern: RegExp): string {
  try {
    // nginx tells its version on standard error.
    return (
      pattern.exec(
        execFileSync('sh', ['-c', `${command} ${args.join(' ')} 2>&1`]).toString(),
      )?.[1] ?? 'unknown'
    );
  } catch {
    return 'unknown';
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '9' },
      seconds: { type: 'string', default: '3' },
      'warm-up': { type: 'string', default: String(WARM_UP_SECONDS) },
      write: { type: 'boolean', default: false },
    },
  });
  if (cpus().length < 2) throw new Error('the benchmark needs two cores');
  ensurePackages(['haproxy', 'nginx-light', 'wrk']);
  console.log('Building');
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: 'inherit' });

  const folder = mkdtempSync(join(tmpdir(), 'portcullis-bench-'));
  const programs: Program[] = [];
  const start = (core: number, command: string, args: readonly string[]): Program => {
    const program = pinned(core, command, args);
    programs.push(program);
    return program;
  };
  console.log(`Making ${TOKENS} tokens and ${REVOKED} revoked ids`);
  const tokens = makeTokens(TOKENS, REVOKED);
  const hub = await eventHub(tokens);
  try {
    const upstreamPort = await freePort();
    start(1, 'nginx', ['-c', writeNginx(folder, upstreamPort)]);
    const artifact = buildProject(folder, upstreamPort);
    const targets: Target[] = [];
    const add = async (name: string, port: number, program: Program): Promise<void> => {
      await answers(port, tokens.tokens[0] ?? '', program);
      targets.push({ name, port, pid: program.pid });
    };
    for (const kind of ['plain', 'jwt'] as const) {
      const port = await freePort();
      const file = writeHaproxy(folder, kind, port, upstreamPort, tokens);
      const name = kind === 'plain' ? 'HAProxy, plain proxy' : 'HAProxy, jwt_verify + map';
      await add(name, port, start(0, 'haproxy', ['-db', '-f', file]));
    }
    for (const engine of ['own', 'node'] as const) {
      const port = await freePort();
      const home = join(folder, engine);
      writeGatewayHome(home, engine, port, hub.url, tokens);
      const gateway = startProgram(
        'taskset',
        ['-c', '0', process.execPath, join(root, 'dist/cli/gateway.js'), artifact],
        { env: { MGW_HOME: home } },
      );
      programs.push(gateway);
      await add(`Portcullis, engine "${engine}"`, port, gateway);
    }

    const results = await measure(
      targets,
      folder,
      tokens,
      Number(values.rounds),
      Number(values.seconds),
      Number(values['warm-up']),
    );
    const table = report(targets, results, Number(values.rounds), Number(values.seconds));
    console.log(`\n${table}`);
    if (values.write) writeResults('npm run bench -- --write', table);
  } finally {
    hub.close();
    await Promise.all(programs.map((program) => program.stop()));
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measure(
  targets: readonly Target[],
  folder: string,
  tokens: BenchTokens,
  rounds: number,
  seconds: number,
  warmUpSeconds: number,
): Promise<Map<Target, Measurement[]>> {
  const script = writeLoad(folder, tokens);
  const results = new Map<Target, Measurement[]>(targets.map((target) => [target, []]));
  console.log(`Warming up, ${warmUpSeconds} s each`);
  for (const target of targets) await load(target, script, warmUpSeconds);
  for (let round = 1; round <= rounds; round++)
    for (const target of targets) {
      await load(target, script, 1);
      const measured = await load(target, script, seconds);
      results.get(target)?.push(measured);
      console.log(
        `round ${round}  ${target.name.padEnd(28)} ${measured.cpuPerRequest.toFixed(1)} us/request  ${measured.requestsPerSecond.toFixed(0)} req/s  p99 ${measured.p99Ms.toFixed(1)} ms`,
      );
    }
  return results;
}

function report(
  targets: readonly Target[],
  results: ReadonlyMap<Target, readonly Measurement[]>,
  rounds: number,
  seconds: number,
): string {
  const [plain, jwt] = targets.map((target) => results.get(target) ?? []);
  const ratios = (own: readonly Measurement[], peer: readonly Measurement[] | undefined): string =>
    median(
      own.map((m, round) => m.cpuPerRequest / (peer?.[round]?.cpuPerRequest ?? Number.NaN)),
    ).toFixed(2);
  const rows = targets.map((target) => {
    const own = results.get(target) ?? [];
    const cpu = own.map((m) => m.cpuPerRequest);
    return `| ${target.name} | ${median(cpu).toFixed(1)} | ${Math.min(...cpu).toFixed(1)}-${Math.max(...cpu).toFixed(1)} | ${median(own.map((m) => m.requestsPerSecond)).toFixed(0)} | ${median(own.map((m) => m.p99Ms)).toFixed(1)} | ${ratios(own, jwt)} | ${ratios(own, plain)} |`;
  });
  return [
    `${new Date().toISOString().slice(0, 10)}, Node ${process.versions.node}, HAProxy ${version('haproxy', ['-v'], /version (\S+)/)}, nginx ${version('nginx', ['-v'], /nginx\/(\S+)/)}, ${cpus()[0]?.model.trim() ?? 'unknown processor'}; ${rounds} rounds of ${seconds} s, ${CONNECTIONS} connections, ${TOKENS} tokens, ${REVOKED} revoked`,
    '',
    '| program | CPU us/request (median) | min-max | requests/s (median) | p99 ms (median) | ratio to HAProxy with JWT | ratio to HAProxy plain |',
    '|---|---|---|---|---|---|---|',
    ...rows,
  ].join('\n');
}

await main();
