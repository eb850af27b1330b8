import { createHash } from 'node:crypto';
import { open, readFile, stat } from 'node:fs/promises';
import { registerHooks } from 'node:module';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { withinDeadline } from './deadline.ts';
import { OperatorError } from './errors.ts';
import type { ExtensionFilter, RevocationExtension, StartupExtension } from './extension.ts';
import { type Api, type Route, WHEN_STALE } from './openapi/route.ts';
import { VERSION } from './version.ts';

/**
 * The one file that `micro-gw build` writes and `gateway` runs: an ES module whose first line says what it is and whose export `artifact`
 * holds the definitions as plain data and the project's own extensions. It imports nothing but Node's built-in modules.
 */
export interface Artifact {
  readonly format: number;
  /** Version of Portcullis that built it. */
  readonly portcullisVersion: string;
  readonly project: string;
  readonly apis: readonly Api[];
  /** Each only where the project has one of its own: an untouched template is left out. */
  readonly startup?: StartupExtension;
  readonly filter?: ExtensionFilter;
  readonly revocation?: RevocationExtension;
}

/** The name an extension has in the artifact. */
export type ExtensionName = 'startup' | 'filter' | 'revocation';

/** Raised when a gateway of this version could no longer read, or would misread, what the version before wrote. */
const ARTIFACT_FORMAT = 1;

/** How long the top level of the extensions may take, milliseconds. */
const LOAD_DEADLINE_MS = 30_000;

const BANNER = '// @portcullis-artifact format=';
/** Bytes that decide whether a file is an artifact, before anything in it is run. */
const HEAD_BYTES = 64;
const REMEDY = 'Give the file that `micro-gw build` named as its target.';

/** First line of every artifact. */
export const ARTIFACT_BANNER = `${BANNER}${ARTIFACT_FORMAT}`;

/**
 * The entry module of an artifact, for the bundler.
 * @param extensions module specifiers of the extensions that belong in it, by their name in the artifact
 */
export function artifactModule(
  project: string,
  apis: readonly Api[],
  extensions: Readonly<Partial<Record<ExtensionName, string>>>,
): string {
  const present = Object.entries(extensions);
  const data = { format: ARTIFACT_FORMAT, portcullisVersion: VERSION, project, apis };
  const members = Object.entries(data).map(
    ([key, value]) => `  ${key}: ${JSON.stringify(value, null, 2)},`,
  );
  return [
    ...present.map(([name, path]) => `import ${name} from ${JSON.stringify(path)};`),
    'export const artifact = {',
    ...members,
    ...present.map(([name]) => `  ${name},`),
    '};',
    '',
  ].join('\n');
}

/** An artifact as it was read once: the file may be another one a moment later. */
export interface ArtifactSource {
  /** Absolute path. */
  readonly file: string;
  readonly text: string;
}

/**
 * Reads the file of an artifact; nothing in it is run.
 * @throws OperatorError ERR_ARTIFACT: missing, not an artifact, of a newer format
 */
export async function readArtifact(path: string): Promise<ArtifactSource> {
  const file = resolve(path);
  const format = await readFormat(file);
  if (format > ARTIFACT_FORMAT) {
    const message = `has format ${format}, and this gateway (${VERSION}) reads up to format ${ARTIFACT_FORMAT}. Run it with a newer Portcullis, or build the project again with this one.`;
    throw new OperatorError('ERR_ARTIFACT', message, { file });
  }
  try {
    return { file, text: await readFile(file, 'utf8') };
  } catch (cause) {
    throw unreadable(file, cause);
  }
}

/**
 * Runs and checks an artifact. One that this thread has loaded before is not run again.
 * @throws OperatorError as {@link readArtifact}; ERR_ARTIFACT: damaged; ERR_EXTENSION: an extension's top level did not settle within
 * `deadlineMs` milliseconds
 */
export async function loadArtifact(
  from: string | ArtifactSource,
  deadlineMs = LOAD_DEADLINE_MS,
): Promise<Artifact> {
  const source = typeof from === 'string' ? await readArtifact(from) : from;
  const { file } = source;
  let module: unknown;
  try {
    module = await withinDeadline<unknown>(importText(source), deadlineMs, () => {
      const problem = `the top level of an extension did not finish within ${deadlineMs / 1_000} seconds: an \`await\` there never settles`;
      return new OperatorError('ERR_EXTENSION', problem, { file });
    });
  } catch (cause) {
    if (cause instanceof OperatorError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    const message = `cannot be loaded: ${reason}. Build the project again.`;
    throw new OperatorError('ERR_ARTIFACT', message, { file, cause });
  }
  const artifact = (module as { artifact?: unknown }).artifact;
  const complaint = shapeComplaint(artifact);
  if (complaint !== undefined) {
    const message = `is damaged: ${complaint}. Build the project again.`;
    throw new OperatorError('ERR_ARTIFACT', message, { file });
  }
  return artifact as Artifact;
}

/**
 * Imports what was read of a file, under a name of its content: modules are remembered by name for as long as the thread lives, and the
 * file may have been replaced meanwhile.
 */
async function importText({ file, text }: ArtifactSource): Promise<unknown> {
  const version = createHash('sha256').update(text).digest('hex').slice(0, 16);
  const name = `${pathToFileURL(file).href}?sha256=${version}`;
  const hooks = registerHooks({
    resolve: (specifier, context, next) =>
      specifier === name
        ? { url: name, format: 'module', shortCircuit: true }
        : next(specifier, context),
    load: (url, context, next) =>
      url === name ? { format: 'module', source: text, shortCircuit: true } : next(url, context),
  });
  try {
    return await import(name);
  } finally {
    hooks.deregister();
  }
}

function unreadable(file: string, cause: unknown): OperatorError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new OperatorError('ERR_ARTIFACT', `cannot be read: ${reason}`, { file, cause });
}

/** Reads the first line only. */
async function readFormat(file: string): Promise<number> {
  const isFile = await stat(file).then(
    (stats) => stats.isFile(),
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'EACCES') throw unreadable(file, error);
      return false;
    },
  );
  if (!isFile) {
    throw new OperatorError(
      'ERR_ARTIFACT',
      `Path to executable file is invalid: ${file}. ${REMEDY}`,
    );
  }
  let head: string;
  try {
    await using handle = await open(file);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
    head = buffer.toString('latin1', 0, bytesRead);
  } catch (cause) {
    throw unreadable(file, cause);
  }
  const format = /^(\d{1,6})\r?\n/.exec(head.slice(BANNER.length))?.[1];
  if (head.startsWith(BANNER) && format !== undefined) return Number(format);
  const what = head.startsWith('PK')
    ? 'is a jar or zip file, not a Portcullis artifact. Build the project with `micro-gw build`.'
    : `is not a Portcullis artifact. ${REMEDY}`;
  throw new OperatorError('ERR_ARTIFACT', what, { file });
}

type Plain = Readonly<Record<string, unknown>>;

/** What is wrong with the exported value, or undefined. */
function shapeComplaint(value: unknown): string | undefined {
  if (!isPlain(value)) return 'it exports no artifact';
  if (value['format'] !== ARTIFACT_FORMAT) return 'its format differs from its first line';
  if (typeof value['portcullisVersion'] !== 'string') return 'it names no version';
  if (typeof value['project'] !== 'string') return 'it names no project';
  if (!Array.isArray(value['apis']) || !value['apis'].every(isApi)) return 'an API is malformed';
  for (const name of ['startup', 'revocation']) {
    if (!isOptionalFunction(value[name])) return `the ${name} extension is no function`;
  }
  const { filter } = value;
  if (filter === undefined) return undefined;
  const parts = isPlain(filter) ? [filter['filterRequest'], filter['filterResponse']] : [null];
  return parts.every(isOptionalFunction) ? undefined : 'the filter extension is malformed';
}

function isApi(value: unknown): value is Api {
  if (!isPlain(value)) return false;
  const { title, version, basePath, file, routes } = value;
  const texts = [title, version, basePath, file];
  if (!texts.every((text) => typeof text === 'string')) return false;
  return Array.isArray(routes) && routes.every(isRoute);
}

function isRoute(value: unknown): value is Route {
  if (!isPlain(value)) return false;
  const { method, template, secured, scopes, production, sandbox, whenStale } = value;
  return (
    typeof method === 'string' &&
    typeof template === 'string' &&
    // Closed by default: anything but a boolean would be read as "open" somewhere.
    typeof secured === 'boolean' &&
    [scopes, production, sandbox].every(isTextList) &&
    (whenStale === undefined || WHEN_STALE.some((policy) => policy === whenStale)) &&
    [value['http2'], value['webSocket']].every(
      (flag) => flag === undefined || typeof flag === 'boolean',
    )
  );
}

function isTextList(value: unknown): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

function isOptionalFunction(value: unknown): boolean {
  return value === undefined || typeof value === 'function';
}

function isPlain(value: unknown): value is Plain {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
