import { lstat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { ExtensionName } from '../artifact.ts';
import { OperatorError } from '../errors.ts';
import { installedTypes } from './installed-types.ts';
import {
  EXTENSION_FILTER,
  STARTUP_EXTENSION,
  TOKEN_REVOCATION_EXTENSION,
} from './templates/extensions.ts';
import { DEPLOYMENT_CONFIG, POLICIES, tsconfig } from './templates/settings.ts';

export const API_DEFINITIONS = 'api_definitions';
export const DEPLOYMENT_CONFIG_FILE = 'conf/deployment-config.toml';
export const POLICIES_FILE = 'policies.yaml';
export const EXTENSIONS = 'extensions';

/** One extension: its file below the project, the text it begins with, its type in `portcullis`. */
export interface ExtensionFile {
  readonly name: ExtensionName;
  readonly file: string;
  readonly template: string;
  readonly type: string;
}

export const EXTENSION_FILES: readonly ExtensionFile[] = [
  {
    name: 'startup',
    file: `${EXTENSIONS}/startup_extension.ts`,
    template: STARTUP_EXTENSION,
    type: 'StartupExtension',
  },
  {
    name: 'filter',
    file: `${EXTENSIONS}/extension_filter.ts`,
    template: EXTENSION_FILTER,
    type: 'ExtensionFilter',
  },
  {
    name: 'revocation',
    file: `${EXTENSIONS}/token_revocation_extension.ts`,
    template: TOKEN_REVOCATION_EXTENSION,
    type: 'RevocationExtension',
  },
];

/** Every file of a new project, by its path below the project. */
export const PROJECT_FILES: ReadonlyMap<string, string> = new Map([
  [`${API_DEFINITIONS}/.keep`, ''],
  [DEPLOYMENT_CONFIG_FILE, DEPLOYMENT_CONFIG],
  ...EXTENSION_FILES.map(({ file, template }): [string, string] => [file, template]),
  ['grpc_definitions/.keep', ''],
  ['interceptors/.keep', ''],
  ['lib/.keep', ''],
  [POLICIES_FILE, POLICIES],
  ['tsconfig.json', tsconfig(installedTypes())],
]);

/**
 * The project's name from what was typed: slashes around it do not count. A project is always a folder in the current one, so that no
 * command can touch anything else.
 * @throws OperatorError ERR_USAGE
 */
export function projectName(typed: string): string {
  const name = typed.replace(/^(?:\.\/+)+/, '').replace(/\/+$/, '');
  if (/^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$/.test(name)) return name;
  throw new OperatorError(
    'ERR_USAGE',
    `'${typed}' is not a project name: use letters, digits, '-', '_' and '.', and the folder's name only, without a path.`,
  );
}

/** What a path is, links not followed. */
export async function kindOf(path: string): Promise<'absent' | 'folder' | 'file' | 'other'> {
  const stats = await lstat(path).catch(() => undefined);
  if (stats === undefined) return 'absent';
  if (stats.isDirectory()) return 'folder';
  return stats.isFile() ? 'file' : 'other';
}

/** True for a folder that `micro-gw init` (or WSO2's) made. */
export async function isProject(dir: string): Promise<boolean> {
  return (
    (await kindOf(dir)) === 'folder' &&
    (await kindOf(join(dir, API_DEFINITIONS))) === 'folder' &&
    (await kindOf(join(dir, DEPLOYMENT_CONFIG_FILE))) === 'file'
  );
}

/**
 * Folder of an existing project below the current folder.
 * @throws OperatorError ERR_PROJECT with WSO2's texts
 */
export async function findProject(parent: string, name: string): Promise<string> {
  const dir = join(parent, name);
  if (await isProject(dir)) return dir;
  if (basename(parent) === name && (await isProject(parent))) {
    throw new OperatorError(
      'ERR_PROJECT',
      `Current directory: '${parent}' should have a project with name: '${name}'. Execute the build command from the directory where the project is initialized`,
    );
  }
  if ((await kindOf(dir)) === 'absent') {
    throw new OperatorError('ERR_PROJECT', `Project ${name} does not exist.`);
  }
  throw new OperatorError(
    'ERR_PROJECT',
    `'${dir}' is not a project: it needs ${API_DEFINITIONS}/ and ${DEPLOYMENT_CONFIG_FILE}. Make one with \`micro-gw init ${name}\`.`,
  );
}
