import { randomBytes } from 'node:crypto';
import { mkdir, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { OperatorError } from '../errors.ts';
import { createPrivateFile } from '../tls/private-file.ts';

/** Bytes of the file: a token has 43 characters; an operator's own may be longer. */
const MAX_BYTES = 1024;
/** RFC 6750 section 2.1, and at least as long as 24 random bytes in base64url. */
const TOKEN = /^[A-Za-z0-9._~+/-]{32,512}={0,2}$/;

/** The secret of the operator's API. */
export interface OperatorToken {
  readonly token: string;
  /** Made by this call. */
  readonly created: boolean;
  /** To be logged. */
  readonly warnings: readonly string[];
}

/**
 * The token in `path`; made first when there is none: 32 random bytes in base64url, mode 0600, whole or not at all. Of two gateways that
 * start at once one makes it and both use it.
 * @throws OperatorError ERR_OPERATOR_TOKEN: cannot be written or read, open to others, or no token in it
 */
export async function ensureOperatorToken(path: string): Promise<OperatorToken> {
  let created = false;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    if (!(await exists(path)))
      created = await createPrivateFile(path, `${randomBytes(32).toString('base64url')}\n`);
  } catch (cause) {
    throw refusal(path, `the operator's token cannot be written: ${codeOf(cause)}`, cause);
  }
  const { token, warnings } = await readOperatorToken(path);
  return { token, created, warnings: [...warnings, ...(await doubts(path))] };
}

/**
 * Who else could have put the token there, and so knows it. Warnings, not refusals: a token that is mounted into a container may belong to
 * whoever has it outside.
 */
async function doubts(path: string): Promise<string[]> {
  if (process.platform === 'win32') return [];
  const folder = dirname(path);
  const [file, around] = await Promise.all([stat(path), stat(folder)]);
  const found: string[] = [];
  if (file.uid !== 0 && file.uid !== process.getuid?.())
    found.push(`${path}: the operator's token belongs to another user (uid ${file.uid})`);
  const isSticky = (around.mode & 0o1000) !== 0;
  if ((around.mode & 0o022) !== 0 && !isSticky)
    found.push(
      `${folder}: others than its owner may replace the operator's token (mode ${(around.mode & 0o777).toString(8).padStart(4, '0')})`,
    );
  return found;
}

/**
 * Reads the token as the gateway that made it does.
 * @throws OperatorError ERR_OPERATOR_TOKEN
 */
export async function readOperatorToken(path: string): Promise<Omit<OperatorToken, 'created'>> {
  let text: string;
  let mode: number;
  try {
    const file = await open(path, 'r');
    try {
      // Of the file that is open, not of whatever has its name by now.
      ({ mode } = await file.stat());
      const { bytesRead, buffer } = await file.read(Buffer.alloc(MAX_BYTES + 1), 0, MAX_BYTES + 1);
      text = buffer.toString('latin1', 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw refusal(
      path,
      `the operator's token, which the first start of the gateway makes, cannot be read: ${codeOf(cause)}`,
      cause,
    );
  }
  const warnings: string[] = [];
  if (process.platform !== 'win32') {
    const octal = (mode & 0o777).toString(8).padStart(4, '0');
    if ((mode & 0o027) !== 0)
      throw refusal(path, `others than its owner may use the operator's token (mode ${octal})`);
    // A Kubernetes volume with fsGroup is group-readable whatever its maker wrote.
    if ((mode & 0o040) !== 0)
      warnings.push(`${path}: the group may read the operator's token (mode ${octal})`);
  }
  const token = text.replace(/\r?\n$/, '');
  if (!TOKEN.test(token)) throw refusal(path, "the file does not hold an operator's token");
  return { token, warnings };
}

async function exists(path: string): Promise<boolean> {
  try {
    await (await open(path, 'r')).close();
    return true;
  } catch (error) {
    // Anything else than its absence is said when it is read.
    return codeOf(error) !== 'ENOENT';
  }
}

function refusal(file: string, message: string, cause?: unknown): OperatorError {
  return new OperatorError('ERR_OPERATOR_TOKEN', message, {
    file,
    ...(cause === undefined ? {} : { cause }),
  });
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown reason';
}
