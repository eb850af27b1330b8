import { describeConfig } from '../config/describe.ts';
import { describeError, OperatorError } from '../errors.ts';
import { load } from '../loaded.ts';
import { createLog, type LogWriter } from '../log-writer.ts';
import { type Server, startServer } from '../server.ts';
import { VERSION } from '../version.ts';
import { complaint } from './complaint.ts';
import type { Io } from './io.ts';

const USAGE = `Use: gateway <artifact> [--takeover] [--section.key=value ...]
     gateway version

Runs the file that \`micro-gw build\` made. The configuration is micro-gw.conf in $MGW_CONF_DIR, $MGW_HOME/conf or ./conf;
any of its keys can be overridden, for instance --b7a.log.level=DEBUG.
SIGHUP reads configuration, artifact and certificates anew, and serves with them from then on; it also opens the file of the access log anew.
With --takeover it shares the ports of a gateway that runs already, until that one ends: start the new one, wait for it, end the old one.
`;

const TAKEOVER = '--takeover';

/** The signals that end a gateway in peace. */
const ENDINGS = ['SIGTERM', 'SIGINT'] as const;

/**
 * Runs the gateway until it is told to end.
 * @param argv words after the program's name
 * @param ended resolves when the gateway is to drain and stop; by default at a signal
 * @returns the exit code: 0 after a drain, 1 when the start was refused or the gateway could not go on
 */
export async function main(
  argv: readonly string[],
  io: Io,
  ended: () => Promise<string> = endingSignal,
): Promise<number> {
  const overrides = argv.filter((word) => word.startsWith('--') && word.includes('='));
  const takeover = argv.includes(TAKEOVER);
  const [path, ...more] = argv.filter((word) => word !== TAKEOVER && !overrides.includes(word));
  if (path === 'version' || path === '--version' || path === '-version') {
    io.out(`${VERSION}\n`);
    return 0;
  }
  if (path === 'help' || path === '--help' || path === '-h') {
    io.out(USAGE);
    return 0;
  }
  if (path === undefined) {
    io.err(USAGE);
    return 1;
  }
  const mistyped = separated(argv);
  if (mistyped !== undefined) {
    io.err(complaint('gateway', mistyped));
    return 1;
  }
  if (more.length > 0 || path.startsWith('-')) {
    const message = `not understood: ${more[0] ?? path}`;
    io.err(`${complaint('gateway', new OperatorError('ERR_USAGE', message))}${USAGE}`);
    return 1;
  }
  try {
    return await run(path, { overrides, takeover }, io, ended());
  } catch (error) {
    if (error instanceof OperatorError) io.err(complaint('gateway', error));
    else
      io.err(`gateway: Internal error.\n${error instanceof Error ? error.stack : String(error)}\n`);
    return 1;
  }
}

/** The refusal of `--section.key value`, which says how to write it. A value that may be a password is not repeated. */
function separated(argv: readonly string[]): OperatorError | undefined {
  const at = argv.findIndex((word) => /^--[^=.]+\.[^=]+$/.test(word));
  const [flag, value] = argv.slice(at, at + 2);
  if (at === -1 || flag === undefined) return undefined;
  const shown =
    value === undefined || value.startsWith('--') || /pass|secret|credential|url|key/i.test(flag)
      ? '...'
      : value;
  return new OperatorError('ERR_CONFIG_FLAG', `write ${flag}=${shown}, with an equals sign`);
}

/** What the words after the artifact say. */
interface Flags {
  readonly overrides: readonly string[];
  readonly takeover: boolean;
}

async function run(
  path: string,
  { overrides, takeover }: Flags,
  io: Io,
  ended: Promise<string>,
): Promise<number> {
  const loadAgain = () => load({ argv: overrides, env: process.env, cwd: io.cwd }, path);
  let written: LogWriter | undefined;
  let server: Server | undefined;
  let early = false;
  const onHangUp = (): void => {
    early = server === undefined;
    void server?.reload();
  };
  process.on('SIGHUP', onHangUp);
  try {
    const loaded = await loadAgain();
    const { config, notes } = loaded;
    const log = createLog({ ...config.log });
    written = log;
    for (const { level, message } of notes) log[level]('Configuration', message);
    for (const line of describeConfig(config)) log.debug('Configuration', line);
    server = await startServer({ ...loaded, loadAgain, takeover, log });
    if (early) onHangUp();
    const ending = await Promise.race([
      ended.then((signal) => ({ why: signal, code: 0 })),
      Promise.race([server.failed, uncaught()]).then((error) => {
        log.error('APIGateway', `The gateway cannot go on: ${describeError(error)}`);
        return { why: 'failure', code: 1 };
      }),
    ]);
    log.info(
      'APIGateway',
      `Ending (${ending.why}): no new connections, requests in flight are finished`,
    );
    await server.close();
    log.info('APIGateway', 'Ended');
    return ending.code;
  } finally {
    process.off('SIGHUP', onHangUp);
    await written?.flush();
  }
}

/** Resolves with the first error that nobody caught in this thread; the following ones change nothing any more. */
function uncaught(): Promise<unknown> {
  return new Promise((resolve) => {
    process.on('uncaughtException', resolve);
  });
}

/** Resolves with the first ending signal's name; a second one ends the process at once. */
function endingSignal(): Promise<string> {
  return new Promise((resolve) => {
    let count = 0;
    for (const signal of ENDINGS)
      process.on(signal, () => {
        count++;
        if (count > 1) process.exit(1);
        resolve(signal);
      });
  });
}
