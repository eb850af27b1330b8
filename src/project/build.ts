import { readFile, readdir, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { OperatorError } from '../errors.ts';
import { readApis } from '../openapi/load.ts';
import { Problems } from '../openapi/problems.ts';
import type { Api } from '../openapi/route.ts';
import { bundleArtifact } from './bundle.ts';
import {
  API_DEFINITIONS,
  EXTENSIONS,
  EXTENSION_FILES,
  findProject,
  kindOf,
} from './project-folder.ts';
import type { ExtensionFile } from './project-folder.ts';
import { checkTypes } from './type-check.ts';
import { refuseUnusedParts } from './unused-parts.ts';

export interface BuildOptions {
  /** Folder that holds the project. */
  readonly parent: string;
  /** From {@link projectName}. */
  readonly name: string;
  readonly allowRemoteRefs: boolean;
}

/** Told about each step when it begins and when it ended well. */
export interface BuildProgress {
  begin(step: string): void;
  done(): void;
}

export interface BuildResult {
  /** Absolute path of the artifact. */
  readonly target: string;
  readonly warnings: readonly string[];
}

/**
 * Builds a project into one file. An artifact of an earlier build is removed first: after a failed build there is none, rather than one
 * that is older than it looks.
 * @throws OperatorError naming everything that is wrong with the project, with file, line and remedy
 */
export async function buildProject(
  options: BuildOptions,
  progress: BuildProgress,
): Promise<BuildResult> {
  const { parent, name, allowRemoteRefs } = options;
  const project = await findProject(parent, name);
  const target = join(project, 'target', `${name}.mjs`);
  await removeOldArtifacts(dirname(target));

  progress.begin('Generating sources...');
  const { apis, warnings } = await readProject(project, allowRemoteRefs);
  const extensions = await ownExtensions(project);
  progress.done();

  if (extensions.length > 0) {
    progress.begin('Checking the types of the extensions...');
    const problems = new Problems();
    await checkTypes(project, extensions, problems);
    problems.throwIfAny();
    progress.done();
  }

  progress.begin('Bundling...');
  const { code, modules } = await bundleArtifact({ project, name, apis, extensions });
  await mkdir(dirname(target), { recursive: true });
  const unfinished = `${target}.${process.pid}`;
  try {
    await writeFile(unfinished, code);
    await rename(unfinished, target);
  } finally {
    await rm(unfinished, { force: true });
  }
  progress.done();
  return { target, warnings: [...warnings, ...(await unusedExtensions(project, modules))] };
}

/** Everything wrong with definitions, settings and folders together, so that one run shows all of it. */
async function readProject(
  project: string,
  allowRemoteRefs: boolean,
): Promise<{ apis: Api[]; warnings: string[] }> {
  const problems = new Problems();
  await refuseUnusedParts(project, problems);
  const apis = await readApis(join(project, API_DEFINITIONS), { allowRemoteRefs }, problems);
  problems.throwIfAny();
  if (apis.length > 0) return { apis, warnings: problems.warnings };
  const message = `Nothing to build. API definitions/ Grpc Service definitions does not exist. Put an OpenAPI definition into ${API_DEFINITIONS}/.`;
  throw new OperatorError('ERR_PROJECT', message);
}

/** The extensions that are there and say something else than their template. */
async function ownExtensions(project: string): Promise<ExtensionFile[]> {
  const own: ExtensionFile[] = [];
  for (const extension of EXTENSION_FILES) {
    const path = join(project, extension.file);
    if ((await kindOf(path)) === 'absent') continue;
    const text = (await readFile(path, 'utf8')).replaceAll('\r\n', '\n');
    if (text.trim() !== extension.template.trim()) own.push(extension);
  }
  return own;
}

/** Names TypeScript files beside the extensions that none of them imports, directly or indirectly. */
async function unusedExtensions(project: string, modules: readonly string[]): Promise<string[]> {
  const used = new Set(modules.map((path) => relative(project, path).split(sep).join('/')));
  for (const { file } of EXTENSION_FILES) used.add(file);
  const folder = join(project, EXTENSIONS);
  if ((await kindOf(folder)) !== 'folder') return [];
  const names = (await readdir(folder)).map((name) => `${EXTENSIONS}/${name}`).sort();
  return names
    .filter((file) => /\.[cm]?[jt]s$/.test(file) && !file.endsWith('.d.ts') && !used.has(file))
    .map((file) => `${file}: no extension imports it: not used`);
}

async function removeOldArtifacts(folder: string): Promise<void> {
  if ((await kindOf(folder)) !== 'folder') return;
  for (const name of await readdir(folder)) {
    if (/\.(?:mjs|jar)$/.test(name)) await rm(join(folder, name), { force: true });
  }
}
