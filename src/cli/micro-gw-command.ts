import { OperatorError } from '../errors.ts';
import { nearest } from '../nearest.ts';
import { VERSION } from '../version.ts';
import { complaint } from './complaint.ts';
import { HELP } from './help.ts';
import { styled } from './io.ts';
import type { Io } from './io.ts';
import { parse, usage } from './words.ts';

type Command = (words: string[], io: Io, verbose: boolean) => Promise<number>;

const COMMANDS: Readonly<Record<string, Command>> = {
  init,
  build,
  'token-service': tokenService,
  revoke,
  revocations,
  explain,
  status,
  version,
  help,
};

/** WSO2's commands that are not there, with what to do instead. */
const NOT_BUILT: Readonly<Record<string, string>> = {
  import: 'Put the API definitions into api_definitions/ of the project.',
  reset: 'There is no client registration to reset.',
};

/**
 * Runs one `micro-gw` command.
 * @param argv words after the program's name
 * @returns the exit code: 0 when everything went well, 1 otherwise; 3 is `explain`'s for a token that would be refused
 */
export async function main(argv: readonly string[], io: Io): Promise<number> {
  const verbose = argv[0] === '--verbose' || (argv.includes('--verbose') && argv[0] !== TOKENS);
  const words = argv[0] === TOKENS ? [...argv] : argv.filter((word) => word !== '--verbose');
  const [name, ...rest] = words;
  if (verbose) io.err(`micro-gw: [verbose] Portcullis ${VERSION}, Node.js ${process.version}\n`);
  try {
    if (name === undefined) throw usage('Command not specified');
    if (name === '-h' || name === '--help' || name === '?') return await help([], io);
    if (name === '--version') return await version([], io);
    const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (command !== undefined) return await command(rest, io, verbose);
    const instead = Object.hasOwn(NOT_BUILT, name) ? NOT_BUILT[name] : undefined;
    if (instead === undefined)
      throw usage(`Unknown command '${name}'${didYouMean(name, Object.keys(COMMANDS))}`);
    throw new OperatorError(
      'ERR_NOT_BUILT_YET',
      `The command '${name}' is not built yet. ${instead}`,
    );
  } catch (error) {
    complain(error, name, verbose, io);
    return 1;
  }
}

const TOKENS = 'token-service';

/** Standard error in WSO2's shapes: the message, and how to go on where the words were wrong. */
function complain(error: unknown, command: string | undefined, verbose: boolean, io: Io): void {
  if (error instanceof OperatorError && error.code !== 'ERR_INTERNAL') {
    io.err(complaint('micro-gw', error));
    if (error.code === 'ERR_USAGE') {
      const topic =
        command !== undefined && command !== 'help' && HELP.has(command) ? ` ${command}` : '';
      io.err(`Run 'micro-gw help${topic}' for usage.\n`);
    }
  } else {
    io.err('micro-gw: Internal error occurred while executing command.\n');
    if (error instanceof OperatorError) io.err(complaint('micro-gw', error));
    else if (!verbose) io.err(`${error instanceof Error ? error.message : String(error)}\n`);
  }
  if (verbose) io.err(`${error instanceof Error ? (error.stack ?? '') : String(error)}\n`);
}

async function init(words: string[], io: Io): Promise<number> {
  const { values, positionals } = parse(words, {
    force: { type: 'boolean', short: 'f' },
    'deployment-config': { type: 'string', short: 'd' },
    'api-definition': { type: 'string', short: 'a' },
    headers: { type: 'string' },
    values: { type: 'string' },
    insecure: { type: 'boolean', short: 'k' },
    help: { type: 'boolean', short: 'h' },
  });
  if (values.help === true || positionals[0] === '?') return help(['init'], io);
  const { initProject } = await import('../project/init.ts');
  const { projectName } = await import('../project/project-folder.ts');
  const name = projectName(onlyProject(positionals));
  const insecure = values.insecure === true;
  const apiDefinition = values['api-definition'];
  const deploymentConfig = values['deployment-config'];
  const headers = headerFields(values.headers, values.values);
  if (insecure && apiDefinition !== undefined)
    io.err(
      'micro-gw: [WARN] -k: the server is not checked: make sure that the definition is the right one\n',
    );
  await initProject({
    parent: io.cwd,
    name,
    force: values.force === true,
    ...(apiDefinition === undefined ? {} : { apiDefinition }),
    ...(deploymentConfig === undefined ? {} : { deploymentConfig }),
    download: { headers, insecure },
  });
  io.out(`Project '${name}' is initialized successfully.\n\n`);
  io.out(
    `(Use "micro-gw build ${name}" ${apiDefinition === undefined ? 'after copying the api definitions' : 'to build it'})\n`,
  );
  return 0;
}

async function build(words: string[], io: Io, verbose: boolean): Promise<number> {
  const { values, positionals } = parse(words, {
    'allow-remote-refs': { type: 'boolean' },
    'deployment-config': { type: 'string', short: 'd' },
    docker: { type: 'boolean' },
    'docker-image': { type: 'string' },
    'docker-base-image': { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  });
  if (values.help === true || positionals[0] === '?') return help(['build'], io);
  for (const option of [
    'deployment-config',
    'docker',
    'docker-image',
    'docker-base-image',
  ] as const) {
    if (values[option] === undefined) continue;
    const message = `The option --${option} is not built yet. Build without it; \`gateway\` runs the artifact in any image that has Portcullis.`;
    throw new OperatorError('ERR_NOT_BUILT_YET', message);
  }
  const { buildProject } = await import('../project/build.ts');
  const { projectName } = await import('../project/project-folder.ts');
  const name = projectName(onlyProject(positionals));
  const allowRemoteRefs = values['allow-remote-refs'] === true;
  let open = false;
  try {
    const { target, warnings } = await buildProject(
      { parent: io.cwd, name, allowRemoteRefs },
      {
        begin(step) {
          io.out(step);
          open = true;
        },
        done() {
          io.out(` ${styled(io, 'bold', '[DONE]')}\n`);
          open = false;
        },
      },
    );
    for (const warning of warnings) io.out(`[WARN] : ${warning}\n`);
    io.out(`\n${styled(io, 'bold green', 'BUILD SUCCESSFUL')}\n`);
    io.out(`${styled(io, 'bold', `Target: ${target}`)}\n`);
    return 0;
  } catch (error) {
    if (open) io.out(` ${styled(io, 'bold', '[ERROR]')}\n`);
    complain(error, 'build', verbose, io);
    io.out(`\n${styled(io, 'bold red', 'BUILD FAILED')}\n`);
    return 1;
  }
}

async function tokenService(words: string[], io: Io): Promise<number> {
  const { run } = await import('./token-service.ts');
  return run(words, io);
}

async function revoke(words: string[], io: Io): Promise<number> {
  if (asksForHelp(words)) return help(['revoke'], io);
  const command = await import('./revoke.ts');
  return command.run(words, io);
}

async function revocations(words: string[], io: Io): Promise<number> {
  if (asksForHelp(words)) return help(['revocations'], io);
  const command = await import('./revocations.ts');
  return command.run(words, io);
}

async function explain(words: string[], io: Io): Promise<number> {
  if (asksForHelp(words)) return help(['explain'], io);
  const command = await import('./explain.ts');
  return command.run(words, io);
}

async function status(words: string[], io: Io): Promise<number> {
  if (asksForHelp(words)) return help(['status'], io);
  const command = await import('./status.ts');
  return command.run(words, io);
}

function asksForHelp(words: readonly string[]): boolean {
  return words[0] === '?' || words.includes('-h') || words.includes('--help');
}

function version(words: string[], io: Io): Promise<number> {
  parse(words, {});
  io.out(`${VERSION}\n`);
  return Promise.resolve(0);
}

function help(words: string[], io: Io): Promise<number> {
  const topic = words[0] ?? 'micro-gw';
  const text = HELP.get(topic);
  if (text === undefined) {
    const topics = [...HELP.keys()].slice(1);
    const meant = didYouMean(topic, topics);
    throw usage(
      `unknown help topic \`${topic}\`${meant === '' ? '.' : meant} There is help on ${topics.join(', ')}`,
    );
  }
  io.out(text);
  return Promise.resolve(0);
}

/** What is added to a message about a word that was most likely mistyped. */
function didYouMean(word: string, known: readonly string[]): string {
  const meant = nearest(word, known);
  return meant === undefined ? '' : `: did you mean '${meant}'?`;
}

function onlyProject(positionals: readonly string[]): string {
  const [project, surplus] = positionals;
  if (project === undefined) throw usage('Project name is not given');
  if (surplus !== undefined) throw usage(`Unexpected argument '${surplus}'`);
  return project;
}

/** `--headers a,b --values x,y`. A value is never repeated in a message: it is likely to be a credential. */
function headerFields(names = '', values = ''): Record<string, string> {
  const nameList = names === '' ? [] : names.split(',').map((name) => name.trim());
  const valueList = values === '' ? [] : values.split(',').map((value) => value.trim());
  if (nameList.length !== valueList.length) {
    throw usage('Provided number of header and number of values is different');
  }
  const fields: Record<string, string> = {};
  for (const [index, name] of nameList.entries()) {
    const value = valueList[index] ?? '';
    if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name)) throw usage(`'${name}' is not a header name`);
    if (!/^[\x20-\x7e]*$/.test(value)) throw usage(`The value of the header ${name} is malformed`);
    fields[name] = value;
  }
  return fields;
}
