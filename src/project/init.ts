import { randomUUID } from 'node:crypto';
import { mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { OperatorError } from '../errors.ts';
import { fetchApiDefinition, readApiDefinition } from './api-definition.ts';
import type { DownloadOptions } from './api-definition.ts';
import {
  API_DEFINITIONS,
  DEPLOYMENT_CONFIG_FILE,
  PROJECT_FILES,
  isProject,
  kindOf,
} from './project-folder.ts';

export interface InitOptions {
  /** Folder in which the project is made. */
  readonly parent: string;
  /** From {@link projectName}. */
  readonly name: string;
  /** Replace a project of that name. */
  readonly force: boolean;
  /** A file, or an http or https address, to begin with. */
  readonly apiDefinition?: string;
  readonly download: DownloadOptions;
  /** File to take as conf/deployment-config.toml. */
  readonly deploymentConfig?: string;
}

/**
 * Makes a new project. Everything is read and written beside the old project first, so that a failed download or a full disk loses
 * nothing; then the old one is deleted as a whole.
 * @throws OperatorError ERR_USAGE, ERR_PROJECT, ERR_DOWNLOAD
 */
export async function initProject(options: InitOptions): Promise<void> {
  const { parent, name } = options;
  const dir = join(parent, name);
  await refuseToOverwrite(dir, name, options.force);
  const files = new Map(PROJECT_FILES);
  if (options.deploymentConfig !== undefined) {
    files.set(
      DEPLOYMENT_CONFIG_FILE,
      await readDeploymentConfig(resolve(parent, options.deploymentConfig)),
    );
  }
  if (options.apiDefinition !== undefined) {
    const { apiDefinition } = options;
    const { fileName, text } = /^https?:\/\//i.test(apiDefinition)
      ? await fetchApiDefinition(apiDefinition, options.download)
      : await readApiDefinition(resolve(parent, apiDefinition), apiDefinition);
    files.set(`${API_DEFINITIONS}/${fileName}`, text);
  }
  const fresh = join(parent, `.${name}.${randomUUID()}`);
  try {
    for (const [file, text] of files) {
      const path = join(fresh, file);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, text);
    }
    await rm(dir, { recursive: true, force: true });
    await rename(fresh, dir);
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

async function refuseToOverwrite(dir: string, name: string, force: boolean): Promise<void> {
  const kind = await kindOf(dir);
  if (kind === 'absent') return;
  if (!force) {
    throw new OperatorError(
      'ERR_USAGE',
      `Project name \`${name}\` already exist. use -f or --force to forcefully update the project directory.`,
    );
  }
  // Deleting is for what a command like this one has made, and for nothing else.
  const empty = kind === 'folder' && (await readdir(dir)).length === 0;
  if (empty || (await isProject(dir))) return;
  throw new OperatorError(
    'ERR_PROJECT',
    `'${dir}' is not a project, so it is not deleted. Remove it yourself or take another name.`,
  );
}

async function readDeploymentConfig(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const message = `Error while reading the deployment config file. Probably the file path '${path}' is invalid.`;
    throw new OperatorError('ERR_PROJECT', message, { cause });
  }
}
