import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, mkdir, opendir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { OperatorError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import { FolderLock } from './folder-lock.ts';
import type { Damage, Identity } from './format.ts';

const SECRET = 'secret';
const SECRET_BYTES = 32;
const INSTALLATION = 'installation';
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** More files than this are not looked at: nobody needs them, and a folder of millions would hold up the start. */
const MOST_FILES = 100_000;
/** So many damaged files are kept for somebody to look at. */
const MOST_ASIDE = 16;
const ASIDE = 'damaged-';
/**
 * How a file is made, or what is left of an attempt made anew. Never through a link: in a folder that others may write, one with a name that
 * can be foreseen would have any file of this user overwritten.
 */
export const MAKE_ANEW =
  // Windows, which has no such links by default, has no name for it.
  constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | (constants.O_NOFOLLOW ?? 0);

/** The folder with everything that outlives the process, held against other gateways, and whose it is. */
export class StateFolder {
  readonly path: string;
  readonly secret: Uint8Array;
  readonly identity: Identity;
  #damage: readonly Damage[];
  /** Undefined while the folder is another gateway's. */
  #lock: FolderLock | undefined;

  private constructor(
    path: string,
    lock: FolderLock,
    secret: Uint8Array,
    installation: string,
    damage: readonly Damage[],
  ) {
    this.path = path;
    this.#lock = lock;
    // Copies with memory of their own: what goes to another thread takes all of the memory along that it is a part of.
    this.secret = new Uint8Array(secret);
    this.#damage = damage;
    const keyCheck = createHmac('sha256', secret).update('journal key check').digest();
    this.identity = {
      installation,
      installationBytes: new Uint8Array(Buffer.from(installation.replaceAll('-', ''), 'hex')),
      keyCheck: new Uint8Array(keyCheck.subarray(0, 16)),
    };
  }

  /**
   * Takes the folder; makes it, its secret and its id where they are not there yet.
   * @param waitMs how long to wait for another gateway to let go of it, milliseconds
   * @throws OperatorError ERR_STATE_FOLDER
   */
  static async open(path: string, waitMs: number, log: Log): Promise<StateFolder> {
    let lock: FolderLock | undefined;
    try {
      await mkdir(path, { recursive: true, mode: 0o700 });
      lock = await FolderLock.acquire(path, waitMs);
      await warnOfReaders(path, log);
      const damage: Damage[] = [];
      const secret = await readOrMake(path, SECRET, randomBytes(SECRET_BYTES), isSecret, damage);
      const made = Buffer.from(`${randomUUID()}\n`);
      const id = await readOrMake(path, INSTALLATION, made, isInstallation, damage);
      return new StateFolder(path, lock, secret, id.toString('latin1').trim(), damage);
    } catch (error) {
      lock?.release();
      if (error instanceof OperatorError) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw new OperatorError('ERR_STATE_FOLDER', `cannot be used: ${reason}`, {
        file: path,
        cause: error,
      });
    }
  }

  /** What was wrong with the secret or the id of the installation when the folder was taken last. */
  get damage(): readonly Damage[] {
    return this.#damage;
  }

  file(name: string): string {
    return join(this.path, name);
  }

  /** False when the folder was removed or replaced under way. */
  get stands(): boolean {
    return this.#lock?.stands ?? false;
  }

  /**
   * Takes the folder once more: after it was removed, when it is made again with the same secret and id, and after {@link close}. Rejects when
   * it holds another secret: whose it is then is not for a running gateway to decide.
   * @returns false when another gateway has it
   */
  async retake(): Promise<boolean> {
    await mkdir(this.path, { recursive: true, mode: 0o700 });
    const lock = FolderLock.attempt(this.path);
    if (lock === undefined) return false;
    try {
      const installation = Buffer.from(`${this.identity.installation}\n`);
      for (const [name, content] of [
        [SECRET, Buffer.from(this.secret)],
        [INSTALLATION, installation],
      ] as const) {
        const found = await readBounded(this.file(name), content.length);
        if (found === undefined) await this.write(name, content);
        else if (!found.equals(content))
          throw new Error(`the state folder was replaced by one with another ${name}`);
      }
    } catch (error) {
      lock.release();
      throw error;
    }
    this.#lock?.release();
    this.#lock = lock;
    this.#damage = [];
    return true;
  }

  /** Names of everything in the folder, in no order. */
  async names(): Promise<string[]> {
    const names: string[] = [];
    for await (const entry of await opendir(this.path)) {
      names.push(entry.name);
      if (names.length === MOST_FILES) break;
    }
    return names;
  }

  /** Writes a file whole or not at all; once this resolves, it is on the disk. */
  async write(name: string, content: Uint8Array): Promise<void> {
    await writeWhole(this.path, name, content);
  }

  /** Gives a finished file its name, for good. */
  async publish(temporary: string, name: string): Promise<void> {
    await rename(this.file(temporary), this.file(name));
    await this.sync();
  }

  /** Makes new and changed names last. */
  async sync(): Promise<void> {
    await syncFolder(this.path);
  }

  async remove(name: string): Promise<void> {
    await rm(this.file(name), { force: true });
  }

  /** Keeps a damaged file for somebody to look at, out of the way. Of very many only the newest are kept. */
  async setAside(name: string): Promise<void> {
    const kept = (await this.names()).filter((each) => each.startsWith(ASIDE)).sort();
    for (const old of kept.slice(0, Math.max(0, kept.length + 1 - MOST_ASIDE)))
      await this.remove(old);
    try {
      await rename(this.file(name), this.file(`${ASIDE}${Date.now()}-${name}`));
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
    }
  }

  /** Lets go of it. */
  close(): void {
    this.#lock?.release();
    this.#lock = undefined;
  }
}

/** At most `most` bytes of a file, or undefined where there is none. One byte more than fits is a content of the wrong length, not an error. */
export async function readBounded(path: string, most: number): Promise<Buffer | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const bytes = Buffer.alloc(most + 1);
    return bytes.subarray(0, await readFully(file, bytes, 0));
  } finally {
    await file.close();
  }
}

/** Fills the buffer from a place in the file. @returns how many bytes there were */
export async function readFully(file: FileHandle, into: Buffer, position: number): Promise<number> {
  let filled = 0;
  while (filled < into.length) {
    const { bytesRead } = await file.read(into, filled, into.length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled;
}

/** Writes all of the buffers to a place in the file, one after another. */
export async function writeFully(
  file: FileHandle,
  buffers: readonly Uint8Array[],
  position: number,
): Promise<void> {
  let left = [...buffers];
  let at = position;
  while (left.length > 0) {
    const { bytesWritten } = await file.writev(left, at);
    if (bytesWritten === 0) throw new Error('the system wrote nothing');
    at += bytesWritten;
    left = without(left, bytesWritten);
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

function without(buffers: readonly Uint8Array[], written: number): Uint8Array[] {
  const left: Uint8Array[] = [];
  let skip = written;
  for (const buffer of buffers) {
    if (skip < buffer.length) left.push(buffer.subarray(skip));
    skip = Math.max(0, skip - buffer.length);
  }
  return left;
}

async function writeWhole(folder: string, name: string, content: Uint8Array): Promise<void> {
  const temporary = join(folder, `${name}.tmp`);
  const file = await open(temporary, MAKE_ANEW, 0o600);
  try {
    await writeFully(file, [content], 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, join(folder, name));
  await syncFolder(folder);
}

async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** The content of a small file; a new one where it is missing or not as it must be. */
async function readOrMake(
  folder: string,
  name: string,
  made: Buffer,
  good: (content: Buffer) => boolean,
  damage: Damage[],
): Promise<Buffer> {
  const found = await readBounded(join(folder, name), made.length);
  if (found !== undefined && good(found)) return found;
  if (found !== undefined) {
    damage.push({ file: name, kind: 'damaged', detail: 'is not what it was written as' });
    await rename(join(folder, name), join(folder, `${ASIDE}${Date.now()}-${name}`));
  }
  await writeWhole(folder, name, made);
  return made;
}

function isSecret(content: Buffer): boolean {
  return content.length === SECRET_BYTES;
}

function isInstallation(content: Buffer): boolean {
  return content.at(-1) === 0x0a && UUID.test(content.toString('latin1', 0, content.length - 1));
}

/** Warnings, not refusals: a Kubernetes volume with `fsGroup` is group-readable whatever its maker wrote. */
async function warnOfReaders(path: string, log: Log): Promise<void> {
  if (process.platform === 'win32') return;
  const secret = await stat(join(path, SECRET)).catch(() => undefined);
  for (const [file, mode] of [
    [path, (await stat(path)).mode],
    [join(path, SECRET), secret?.mode ?? 0],
  ] as const)
    if ((mode & 0o077) !== 0)
      log.warn(
        'Journal',
        `${file}: others than its owner may use it (mode ${(mode & 0o777).toString(8).padStart(4, '0')})`,
      );
}
