import { execFileSync } from 'node:child_process';
import { accessSync, constants, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { freePort } from '../test/support/free-port.ts';
import { writeGatewayHome } from './gateway-home.ts';
import type { FastifyOrder } from './fastify-gateway.ts';
import { writeHaproxy, writeKrakend, type HaproxyKind } from './peers.ts';
import type { BenchTokens } from './tokens.ts';

/** The programs that are measured, by the names that `--only` takes, in the order of the tables' rows. */
export const TITLES = {
  'haproxy-plain': 'HAProxy, plain proxy',
  'haproxy-jwt': 'HAProxy, jwt_verify + map',
  'haproxy-log': 'HAProxy, jwt_verify + map, log',
  own: 'Portcullis, engine "own"',
  node: 'Portcullis, engine "node"',
  fastify: '@fastify/http-proxy + @fastify/jwt',
  krakend: 'KrakenD, auth/validator',
  copier: 'Node, bytes copied between sockets',
} as const;

export type TargetName = keyof typeof TITLES;

export const TARGET_NAMES = Object.keys(TITLES) as readonly TargetName[];

/** What a program needs to know to be started. */
export interface Surroundings {
  readonly folder: string;
  readonly tokens: BenchTokens;
  readonly upstreamPort: number;
  /** PEM, certificate and private key. */
  readonly certificate: string;
  /** URL of WSO2's revoked list. */
  readonly hub: string;
  /** Built by `micro-gw build`. */
  readonly artifact: string;
}

/** How a program is started. */
export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly port: number;
  /** Of TLS; undefined where the program has none here. */
  readonly securePort: number | undefined;
  /** A file that grows with each request. */
  readonly log: string | undefined;
}

const root = join(import.meta.dirname, '..');

/** Whether the program is there: KrakenD is not in Debian. */
export function isHere(name: TargetName): boolean {
  if (name !== 'krakend') return true;
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, 'krakend'), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** What of a launch differs from program to program. */
type Part = Omit<Launch, 'port' | 'env' | 'securePort' | 'log'> & Partial<Launch>;

interface Wanted extends Surroundings {
  readonly id: string;
  readonly threads: number;
  readonly port: number;
  readonly securePort: number;
}

function portcullis(engine: 'own' | 'node', wanted: Wanted): Part {
  const home = join(wanted.folder, wanted.id);
  const log = join(home, 'access.log');
  writeGatewayHome(home, { ...wanted, engine, log });
  const args = [join(root, 'dist/cli/gateway.js'), wanted.artifact];
  return { command: process.execPath, args, env: { MGW_HOME: home }, log };
}

function haproxy(kind: HaproxyKind, wanted: Wanted): Part {
  const file = writeHaproxy(wanted.id, { ...wanted, kind });
  if (kind !== 'haproxy-log') return { command: 'haproxy', args: ['-db', '-f', file] };
  const log = join(wanted.folder, `${wanted.id}.log`);
  // To a file, as the gateway does: a pipe would have to be read by somebody.
  const args = ['-c', 'exec haproxy -db -f "$0" >> "$1" 2>&1', file, log];
  return { command: 'sh', args, log };
}

function fastify(wanted: Wanted): Part {
  const { port, securePort, upstreamPort, certificate } = wanted;
  const { issuer, publicKeyPem, revokedIds } = wanted.tokens;
  const file = join(wanted.folder, `${wanted.id}.json`);
  const order: FastifyOrder = {
    port,
    securePort,
    upstreamPort,
    certificate,
    issuer,
    publicKeyPem,
    revokedIds,
  };
  writeFileSync(file, JSON.stringify(order));
  return {
    command: process.execPath,
    args: [join(import.meta.dirname, 'fastify-gateway.ts'), file],
  };
}

/** It has one listener, and that has no TLS here. */
function krakend(wanted: Wanted): Part {
  const args = ['run', '-c', writeKrakend(wanted.id, wanted)];
  return { command: 'krakend', args, securePort: undefined };
}

/** No proxy: what is left of one when it looks at nothing. */
function copier({ port, upstreamPort }: Wanted): Part {
  const args = [join(import.meta.dirname, 'byte-copier.ts'), String(port), String(upstreamPort)];
  return { command: process.execPath, args, securePort: undefined };
}

const PREPARE: Readonly<Record<TargetName, (wanted: Wanted) => Part>> = {
  own: (wanted) => portcullis('own', wanted),
  node: (wanted) => portcullis('node', wanted),
  'haproxy-plain': (wanted) => haproxy('haproxy-plain', wanted),
  'haproxy-jwt': (wanted) => haproxy('haproxy-jwt', wanted),
  'haproxy-log': (wanted) => haproxy('haproxy-log', wanted),
  fastify,
  krakend,
  copier,
};

/** Writes the configuration of a program, in files of `id`, and says how it is started. */
export async function prepare(
  name: TargetName,
  id: string,
  threads: number,
  around: Surroundings,
): Promise<Launch> {
  const ports = { port: await freePort(), securePort: await freePort() };
  const part = PREPARE[name]({ ...around, ...ports, id, threads });
  return { env: {}, log: undefined, ...ports, ...part };
}

/** The version that a program tells of itself. */
export function version(command: string, args: readonly string[], pattern: RegExp): string {
  try {
    // nginx and others tell it on standard error.
    const said = execFileSync('sh', ['-c', `${command} ${args.join(' ')} 2>&1`]).toString();
    return pattern.exec(said)?.[1] ?? 'unknown';
  } catch {
    return 'unknown';
  }
}
