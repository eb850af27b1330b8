import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../test/support/free-port.ts';
import { startProgram, type Program } from '../test/support/program.ts';
import { cpuMicroseconds } from './cpu.ts';
import type { Measurement } from './measurement.ts';
import { writeNginx } from './peers.ts';
import { isHere, prepare, TITLES, type Surroundings, type TargetName } from './targets.ts';
import { makeTokens, type BenchTokens } from './tokens.ts';
import { Disturbances } from './undisturbed.ts';
import { PETS_PATH, type Tally } from './wrk.ts';

const TOKENS = 5_000;
const REVOKED = 100_000;
const UP_MS = 30_000;
/** One program under test is loaded at a time. */
const PROGRAM_CORE = '0';
const root = join(import.meta.dirname, '..');

/** Load and upstream have the upper half of the processors: of two, the second. */
const LOAD_FROM = Math.floor(cpus().length / 2);
export const LOAD_THREADS = cpus().length - LOAD_FROM;
export const LOAD_CORES = `${LOAD_FROM}-${cpus().length - 1}`;
/** For a load that has one thread. */
export const LOAD_CORE = String(cpus().length - 1);

/** What the command line says. */
export interface Settings {
  /** Undefined: as many as the case has. */
  readonly rounds: number | undefined;
  /** Of load in each round of each program. */
  readonly seconds: number;
  /** Of load before the first round of a case. */
  readonly warmUpSeconds: number;
  /** Times that a measurement may be done again. */
  readonly again: number;
  readonly only: readonly TargetName[];
}

/** A program under test that answers. */
export interface Target {
  readonly name: TargetName;
  readonly title: string;
  readonly pid: number;
  readonly port: number;
  readonly securePort: number | undefined;
  /** Empties its log, so that a long run does not fill the disk. */
  emptyLog(): void;
  stop(): Promise<void>;
}

/** Everything around the programs under test, and those that are shared by the cases. */
export class Stage {
  readonly settings: Settings;
  readonly around: Surroundings;
  readonly disturbances: Disturbances;
  readonly #closers: (() => unknown)[];
  readonly #shared = new Map<TargetName, Target>();
  #started = 0;

  private constructor(settings: Settings, around: Surroundings, closers: (() => unknown)[]) {
    this.settings = settings;
    this.disturbances = new Disturbances(settings.again);
    this.around = around;
    this.#closers = closers;
  }

  /** Starts the upstream and WSO2's revoked list, builds the project. */
  static async open(settings: Settings): Promise<Stage> {
    const folder = mkdtempSync(join(tmpdir(), 'portcullis-bench-'));
    const remove = (): void => rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    // Also when somebody ends the run; the programs end with this process.
    process.once('exit', remove);
    const closers: (() => unknown)[] = [remove];
    try {
      console.log(`Making ${TOKENS} tokens and ${REVOKED} revoked ids`);
      const tokens = await makeTokens(TOKENS, REVOKED);
      const hub = await eventHub(tokens);
      closers.push(hub.close);
      const upstreamPort = await freePort();
      const nginx = writeNginx(folder, upstreamPort, LOAD_THREADS);
      const upstream = startProgram('taskset', ['-c', LOAD_CORES, 'nginx', '-c', nginx]);
      closers.push(() => upstream.stop());
      const certificate = writeCertificate(folder);
      const artifact = buildProject(folder, upstreamPort);
      return new Stage(
        settings,
        { folder, tokens, upstreamPort, certificate, hub: hub.url, artifact },
        closers,
      );
    } catch (error) {
      await closeAll(closers);
      throw error;
    }
  }

  get token(): string {
    return this.around.tokens.tokens[0] ?? '';
  }

  /** Those that are wanted and here, started when a case wants them first, and kept. */
  async targets(names: readonly TargetName[]): Promise<Target[]> {
    const targets: Target[] = [];
    for (const name of names.filter((name) => this.isWanted(name))) {
      const target = this.#shared.get(name) ?? (await this.start(name, 1, PROGRAM_CORE));
      this.#shared.set(name, target);
      targets.push(target);
    }
    return targets;
  }

  isWanted(name: TargetName): boolean {
    return this.settings.only.includes(name) && isHere(name);
  }

  /** One of its own, on these cores; whoever asked may stop it before the end. */
  async start(name: TargetName, threads: number, cores = PROGRAM_CORE): Promise<Target> {
    const id = `${name}-${this.#started++}`;
    const { command, args, env, port, securePort, log } = await prepare(
      name,
      id,
      threads,
      this.around,
    );
    const program = startProgram('taskset', ['-c', cores, command, ...args], { env });
    const stop = async (): Promise<void> => void (await program.stop());
    this.#closers.push(stop);
    await answers(port, this.token, program);
    const emptyLog = (): void => {
      if (log !== undefined && existsSync(log)) truncateSync(log);
    };
    const { pid } = program;
    return { name, title: TITLES[name], pid, port, securePort, emptyLog, stop };
  }

  async close(): Promise<void> {
    await closeAll(this.#closers);
  }
}

/** Programs first, their folder last; a program that was stopped before is stopped already. */
async function closeAll(closers: (() => unknown)[]): Promise<void> {
  const [folder, ...others] = closers.splice(0);
  await Promise.all(others.map((close) => close()));
  folder?.();
}

/** Puts a load on a program and divides its CPU time by the requests. */
export async function underLoad(target: Target, load: () => Promise<Tally>): Promise<Measurement> {
  const before = cpuMicroseconds(target.pid);
  try {
    const { requests, requestsPerSecond, p99Ms } = await load();
    const cpuPerRequest = (cpuMicroseconds(target.pid) - before) / requests;
    return { requestsPerSecond, cpuPerRequest, p99Ms };
  } catch (cause) {
    throw new Error(`${target.title} failed under load`, { cause });
  } finally {
    target.emptyLog();
  }
}

async function answers(port: number, token: string, what: Program): Promise<void> {
  const end = performance.now() + UP_MS;
  for (;;) {
    try {
      const response = await fetch(`http://127.0.0.1:${port}${PETS_PATH}`, {
        headers: { authorization: `Bearer ${token}` },
      });
      await response.arrayBuffer();
      if (response.status === 200) return;
    } catch {
      // Not up yet.
    }
    if (performance.now() > end)
      throw new Error(`no 200 on port ${port} within ${UP_MS / 1000} s:\n${what.output()}`);
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

/** One certificate for all; nobody checks it. */
function writeCertificate(folder: string): string {
  const [key, certificate, both] = ['key', 'certificate', 'both'].map((name) =>
    join(folder, `${name}.pem`),
  ) as [string, string, string];
  const words =
    'req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 2 -subj /CN=localhost';
  execFileSync('openssl', [...words.split(' '), '-keyout', key, '-out', certificate], {
    stdio: 'ignore',
  });
  writeFileSync(both, readFileSync(certificate, 'utf8') + readFileSync(key, 'utf8'));
  return both;
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
