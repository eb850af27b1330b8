import { execFile } from 'node:child_process';
import { cpSync, symlinkSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';

/** The repository's folder. */
export const ROOT = join(import.meta.dirname, '../..');

/** What a clone does not have. */
const NOT_CLONED = new Set(['.git', '.node', '.work', 'dist', 'node_modules']);

/**
 * Copies the repository to a folder that must not be there yet, as fresh as a clone: nothing built, nothing installed.
 * @param installed true links the packages that are installed here
 */
export function copyCheckout(folder: string, installed = false): void {
  cpSync(ROOT, folder, {
    recursive: true,
    filter: (path) => dirname(path) !== ROOT || !NOT_CLONED.has(basename(path)),
  });
  if (installed) symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
}

/** Variables that would change what a command does; npm's own are those of the `npm run` around the tests. */
const NOT_KEPT = /^(?:npm_|NODE_TEST_|MGW_|ETCDCTL_|RABBITMQ_|INIT_CWD$)/;

/**
 * Environment for npm and for programs that are found by name.
 * @param home a folder of the test's own
 * @param nodeFolder where `node` is found; default: this one
 */
export async function plainEnvironment(
  home: string,
  nodeFolder = dirname(process.execPath),
): Promise<Record<string, string>> {
  const setting = async (name: string): Promise<string> =>
    (await promisify(execFile)('npm', ['config', 'get', name])).stdout.trim();
  const kept = Object.entries(process.env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && !NOT_KEPT.test(entry[0]),
  );
  return {
    ...Object.fromEntries(kept),
    PATH: `${nodeFolder}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    HOME: home,
    // Packages that were fetched once need no network again; and npm looks for these two beside its Node and in its home.
    npm_config_cache: await setting('cache'),
    npm_config_globalconfig: await setting('globalconfig'),
    npm_config_userconfig: await setting('userconfig'),
    npm_config_update_notifier: 'false',
    npm_config_audit: 'false',
    npm_config_fund: 'false',
  };
}

/** Node of that version, brought through npm into an empty folder; answers the folder of its program. */
export async function bringNode(folder: string, version: string): Promise<string> {
  const name = `node-${process.platform}-${process.arch}`;
  await writeFile(join(folder, 'package.json'), '{ "private": true }\n');
  await promisify(execFile)('npm', ['install', '--no-save', `${name}@${version}`], {
    cwd: folder,
    env: await plainEnvironment(folder),
  });
  return join(folder, 'node_modules', name, 'bin');
}
