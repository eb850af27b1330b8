import { execFile } from 'node:child_process';
import { cpSync, symlinkSync } from 'node:fs';
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

/** Environment for npm and for programs that are found by name: this Node and Debian's own programs, nothing of a test run's. */
export async function plainEnvironment(
  home: string,
  nodeFolder = dirname(process.execPath),
): Promise<Record<string, string>> {
  const { stdout } = await promisify(execFile)('npm', ['config', 'get', 'cache']);
  return {
    PATH: `${nodeFolder}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    HOME: home,
    // Packages that were fetched once need no network again.
    npm_config_cache: stdout.trim(),
    npm_config_update_notifier: 'false',
    npm_config_audit: 'false',
    npm_config_fund: 'false',
  };
}
