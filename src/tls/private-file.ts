import { randomBytes } from 'node:crypto';
import { link, open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

const PRIVATE = 0o600;
const PUBLIC = 0o644;

/**
 * Writes a file that only its owner may read, whole or not at all, unless there is one already.
 * @returns false when another process was first; its file stands.
 */
export async function createPrivateFile(path: string, content: string): Promise<boolean> {
  const temporary = await writeTemporary(path, content, PRIVATE);
  try {
    // Unlike a rename, a link does not replace what another process made meanwhile.
    await link(temporary, path);
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    if (!NO_LINKS.has(codeOf(error))) throw error;
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
  await syncFolder(path);
  return true;
}

/** File systems without hard links (FAT, some network and container mounts) answer one of these. */
const NO_LINKS: ReadonlySet<string> = new Set([
  'EPERM',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
  'EMLINK',
]);

/** Replaces a file as one step: readers see the old one or the new one. */
export async function replaceFile(
  path: string,
  content: string,
  visibility: 'private' | 'public',
): Promise<void> {
  const temporary = await writeTemporary(
    path,
    content,
    visibility === 'private' ? PRIVATE : PUBLIC,
  );
  try {
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
  await syncFolder(path);
}

/**
 * What is doubtful about who may read a private file. Warnings, not refusals: a Kubernetes volume with `fsGroup` is group-readable whatever
 * its maker wrote.
 */
export async function privacyWarnings(path: string): Promise<string[]> {
  if (process.platform === 'win32') return [];
  const { mode, uid } = await stat(path);
  const warnings: string[] = [];
  if ((mode & 0o077) !== 0) {
    const octal = (mode & 0o777).toString(8).padStart(4, '0');
    warnings.push(
      `${path}: others than its owner may read this private key (mode ${octal}); chmod it to 0600`,
    );
  }
  if (uid !== 0 && uid !== process.getuid?.()) {
    warnings.push(`${path}: this private key belongs to another user (uid ${uid})`);
  }
  return warnings;
}

async function writeTemporary(path: string, content: string, mode: number): Promise<string> {
  const suffix = randomBytes(6).toString('hex');
  const temporary = join(dirname(path), `.${basename(path)}.${suffix}.tmp`);
  const file = await open(temporary, 'wx', mode);
  try {
    await file.writeFile(content);
    await file.sync();
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  } finally {
    await file.close();
  }
  return temporary;
}

async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
