import { loadArtifact } from '../artifact.ts';
import { describeConfig } from '../config/describe.ts';
import { loadConfig } from '../config/load.ts';
import { OperatorError } from '../errors.ts';
import { createLog } from '../log-writer.ts';
import { startServer } from '../server.ts';
import { VERSION } from '../version.ts';
import { complaint } from './complaint.ts';
import type { Io } from './io.ts';

const USAGE = `Use: gateway <artifact> [--section.key=value ...]
     gateway version

Runs the file that \`micro-gw build\` made. The configuration is micro-gw.conf in $MGW_CONF_DIR, $MGW_HOME/conf or ./conf;
any of its keys can be overridden, for instance --b7a.log.level=DEBUG.
`;

/** The signals that end a gateway in peace. */
const ENDINGS = ['SIGTERM', 'SIGINT'] as const;

/**
 * Runs the gateway until it is told to end.
 * @param argv words after the program's name
 * @param ended resolves when the gateway is to drain and stop; by default at a signal
 * @returns the exit code: 0 after a drain, 1 when the start was refused
 */
export async function main(
  argv: readonly string[],
  io: Io,
  ended: () => Promise<string> = endingSignal,
): Promise<number> {
  const overrides = argv.filter((word) => word.startsWith('--') && word.includes('='));
  const [path, ...more] = argv.filter((word) => !overrides.includes(word));
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
    await run(path, overrides, io, ended());
    return 0;
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

async function run(
  path: string,
  overrides: readonly string[],
  io: Io,
  ended: Promise<string>,
): Promise<void> {
  const { config, notes, placeOf } = loadConfig({ argv: overrides, env: process.env, cwd: io.cwd });
  const artifact = await loadArtifact(path);
  const log = createLog({ ...config.log });
  try {
    for (const { level, message } of notes) log[level]('Configuration', message);
    for (const line of describeConfig(config)) log.debug('Configuration', line);
    const server = await startServer({ config, placeOf, artifact, log });
    const why = await ended;
    log.info('APIGateway', `Ending (${why}): no new connections, requests in flight are finished`);
    await server.close();
    log.info('APIGateway', 'Ended');
  } finally {
    await log.flush();
  }
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
