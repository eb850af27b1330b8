import { spawn, execFile, type ChildProcess } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { until } from './until.ts';

/** Debian's scripts behind the wrappers in /usr/sbin, which insist on a system user. */
const SCRIPTS = '/usr/lib/rabbitmq/bin';
const START_DEADLINE_MS = 120_000;

export interface RabbitmqUser {
  readonly name: string;
  readonly password: string;
  /** Regular expressions by virtual host; default: everything on every virtual host. */
  readonly permissions?: Readonly<
    Record<string, { readonly configure: string; readonly write: string; readonly read: string }>
  >;
}

export interface RabbitmqOptions {
  /** Default: any free one. */
  readonly port?: number;
  /** Plugins beside the core, e.g. `rabbitmq_amqp1_0`. */
  readonly plugins?: readonly string[];
  /** Default: guest with password guest, who may do everything. */
  readonly users?: readonly RabbitmqUser[];
  /** Virtual hosts beside `/`. */
  readonly vhosts?: readonly string[];
  /** Further lines of rabbitmq.conf. */
  readonly conf?: readonly string[];
  /** PEM files; with them a TLS listener is opened too. */
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string };
}

export interface Rabbitmq {
  readonly port: number;
  /** Present when started with `tls`. */
  readonly tlsPort: number | undefined;
  /** `rabbitmqctl` on this broker; resolves with its output. */
  ctl(...args: string[]): Promise<string>;
  /** Ends the broker as a power cut would; ports and data stay. */
  kill(): Promise<void>;
  /** Starts it again after {@link kill}. */
  start(): Promise<void>;
  /** Ends everything and removes its files. */
  stop(): Promise<void>;
}

/** A RabbitMQ of its own on free ports of 127.0.0.1, gone with the process that asked for it. */
export async function startRabbitmq(options: RabbitmqOptions = {}): Promise<Rabbitmq> {
  if (!existsSync(join(SCRIPTS, 'rabbitmq-server')))
    throw new Error('rabbitmq-server is not installed: apt-get install rabbitmq-server');
  const [freePort, distPort, epmdPort, tlsPort] = await freePorts(4);
  const port = options.port ?? freePort;
  const dir = await mkdtemp(join(tmpdir(), 'rabbitmq-'));
  await writeFile(join(dir, 'enabled_plugins'), `[${(options.plugins ?? []).join(',')}].\n`);
  await writeFile(join(dir, 'definitions.json'), JSON.stringify(definitions(options)));
  await writeFile(
    join(dir, 'rabbitmq.conf'),
    [
      `listeners.tcp.1 = 127.0.0.1:${port}`,
      `load_definitions = ${join(dir, 'definitions.json')}`,
      'log.file = false',
      'log.console = true',
      'log.console.level = warning',
      ...(options.conf ?? []),
      ...(options.tls === undefined
        ? []
        : [
            `listeners.ssl.1 = 127.0.0.1:${tlsPort}`,
            `ssl_options.cacertfile = ${options.tls.ca}`,
            `ssl_options.certfile = ${options.tls.cert}`,
            `ssl_options.keyfile = ${options.tls.key}`,
            'ssl_options.verify = verify_peer',
            'ssl_options.fail_if_no_peer_cert = false',
          ]),
      '',
    ].join('\n'),
  );
  const env = {
    PATH: process.env['PATH'],
    HOME: dir,
    LANG: 'C.UTF-8',
    RABBITMQ_NODENAME: `t${port}@localhost`,
    RABBITMQ_DIST_PORT: String(distPort),
    RABBITMQ_MNESIA_BASE: join(dir, 'mnesia'),
    RABBITMQ_LOG_BASE: join(dir, 'log'),
    RABBITMQ_GENERATED_CONFIG_DIR: join(dir, 'generated'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(dir, 'enabled_plugins'),
    RABBITMQ_CONFIG_FILE: join(dir, 'rabbitmq'),
    RABBITMQ_CONF_ENV_FILE: join(dir, 'none'),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none',
    ERL_EPMD_PORT: String(epmdPort),
    ERL_EPMD_ADDRESS: '127.0.0.1',
  };
  // Erlang would start a port mapper that outlives it: one of our own can be ended.
  const epmd = spawn('epmd', ['-port', String(epmdPort), '-address', '127.0.0.1'], {
    env,
    stdio: 'ignore',
  });
  let server: ChildProcess | undefined;

  const endAtOnce = (): void => {
    killGroup(server);
    epmd.kill('SIGKILL');
    rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
  };
  const onSignal = (): void => process.exit(1);
  process.once('exit', endAtOnce);
  process.once('SIGTERM', onSignal);
  process.once('SIGINT', onSignal);

  const kill = async (): Promise<void> => {
    const ending = server;
    server = undefined;
    if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return;
    const ended = once(ending, 'exit');
    killGroup(ending);
    await ended;
  };
  const stop = async (): Promise<void> => {
    process.off('exit', endAtOnce);
    process.off('SIGTERM', onSignal);
    process.off('SIGINT', onSignal);
    await kill();
    const ended = epmd.exitCode === null ? once(epmd, 'exit') : undefined;
    epmd.kill('SIGKILL');
    await ended;
    rmSync(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  };
  const start = async (): Promise<void> => {
    server = spawn(join(SCRIPTS, 'rabbitmq-server'), [], {
      env,
      detached: true, // a process group of its own, so that the script's children end with it
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    await started(server);
  };
  try {
    await start();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    port,
    tlsPort: options.tls === undefined ? undefined : tlsPort,
    ctl: async (...args) => {
      const run = promisify(execFile);
      const { stdout } = await run(join(SCRIPTS, 'rabbitmqctl'), ['-q', ...args], { env });
      return stdout;
    },
    kill,
    start,
    stop,
  };
}

function killGroup(server: ChildProcess | undefined): void {
  if (server?.pid === undefined) return;
  try {
    process.kill(-server.pid, 'SIGKILL');
  } catch {
    // it is gone already
  }
}

async function started(server: ChildProcess): Promise<void> {
  let output = '';
  const listen = (chunk: unknown): void => {
    output = (output + String(chunk)).slice(-20_000);
  };
  server.stdout?.on('data', listen);
  server.stderr?.on('data', listen);
  await until(
    () => {
      if (server.exitCode !== null) throw new Error(`rabbitmq-server ended:\n${output}`);
      return /completed with \d+ plugins/.test(output);
    },
    'rabbitmq-server is up',
    START_DEADLINE_MS,
  ).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${output}`, { cause: error });
  });
}

/** Users, virtual hosts and permissions, loaded at start: quicker than `rabbitmqctl` by seconds each. */
function definitions(options: RabbitmqOptions): object {
  const users = options.users ?? [{ name: 'guest', password: 'guest' }];
  const vhosts = ['/', ...(options.vhosts ?? [])];
  const everything = { configure: '.*', write: '.*', read: '.*' };
  return {
    rabbit_version: '3.10.8',
    users: users.map(({ name, password }) => ({
      name,
      password_hash: passwordHash(password),
      hashing_algorithm: 'rabbit_password_hashing_sha256',
      tags: [],
    })),
    vhosts: vhosts.map((name) => ({ name })),
    permissions: users.flatMap(({ name, permissions }) =>
      permissions === undefined
        ? vhosts.map((vhost) => ({ user: name, vhost, ...everything }))
        : Object.entries(permissions).map(([vhost, allowed]) => ({
            user: name,
            vhost,
            ...allowed,
          })),
    ),
  };
}

function passwordHash(password: string): string {
  const salt = randomBytes(4);
  const hash = createHash('sha256').update(salt).update(password, 'utf8').digest();
  return Buffer.concat([salt, hash]).toString('base64');
}

/** Ports that were free a moment ago: Erlang cannot be told to choose. */
async function freePorts(count: 4): Promise<[number, number, number, number]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports as [number, number, number, number];
}
