import { readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { OperatorError } from '../errors.ts';

/** Environment variables, `process.env` in the product. */
export type Env = Readonly<Record<string, string | undefined>>;

/** micro-gw.conf as found. */
export interface FoundFile {
  readonly path: string;
  readonly text: string;
}

/** Bytes of micro-gw.conf. */
const MAX_BYTES = 1024 * 1024;

const NAME = 'micro-gw.conf';

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown reason';
}

function isThere(path: string, kind: 'file' | 'folder'): boolean {
  try {
    const stat = statSync(path, { throwIfNoEntry: false });
    return stat !== undefined && (kind === 'file' ? stat.isFile() : stat.isDirectory());
  } catch (error) {
    if (codeOf(error) === 'ENOTDIR') return false;
    throw new OperatorError('ERR_CONFIG_UNREADABLE', `cannot be read: ${codeOf(error)}`, {
      file: path,
      cause: error,
    });
  }
}

/** `MGW_HOME`, absolute; `.portcullis` in the user's own folder when it is not set. */
export function findHome(env: Env, cwd: string): string {
  const home = env['MGW_HOME'];
  return home === undefined || home === '' ? join(homedir(), '.portcullis') : resolve(cwd, home);
}

function read(path: string): FoundFile {
  try {
    const bytes = readFileSync(path);
    if (bytes.length > MAX_BYTES)
      throw new OperatorError('ERR_CONFIG_UNREADABLE', 'larger than 1 MiB', { file: path });
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return { path, text };
  } catch (error) {
    if (error instanceof OperatorError) throw error;
    const reason =
      error instanceof TypeError && codeOf(error) === 'ERR_ENCODING_INVALID_ENCODED_DATA'
        ? 'not UTF-8 text'
        : `cannot be read: ${codeOf(error)}`;
    throw new OperatorError('ERR_CONFIG_UNREADABLE', reason, { file: path, cause: error });
  }
}

/**
 * Finds and reads micro-gw.conf: in `MGW_CONF_DIR` when that is set (it must be there then), else in `MGW_HOME/conf`, else in `./conf`.
 * @returns undefined when there is none: the built-in defaults hold
 * @throws OperatorError when `MGW_CONF_DIR` names no folder with the file in it, or the file cannot be read
 */
export function findFile(env: Env, cwd: string, home: string): FoundFile | undefined {
  const named = env['MGW_CONF_DIR'];
  if (named !== undefined && named !== '') {
    const folder = resolve(cwd, named);
    if (!isThere(folder, 'folder'))
      throw new OperatorError(
        'ERR_CONFIG_NOT_FOUND',
        `Provided Microgateway Config Directory: ${folder} is not available`,
      );
    const path = join(folder, NAME);
    if (!isThere(path, 'file'))
      throw new OperatorError(
        'ERR_CONFIG_NOT_FOUND',
        `MGW_CONF_DIR names ${dirname(path)}, which holds no ${NAME}`,
      );
    return read(path);
  }
  const path = [join(home, 'conf', NAME), join(cwd, 'conf', NAME)].find((candidate) =>
    isThere(candidate, 'file'),
  );
  return path === undefined ? undefined : read(path);
}
