import { randomBytes, randomUUID } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { getStaticTOMLValue, parseTOML } from 'toml-eslint-parser';
import { OperatorError } from '../errors.ts';
import { type Credentials, credentialsOf } from './credentials.ts';

const MAX_BYTES = 1024 * 1024;

/**
 * Reads clients, admin and readers from a JSON file, or TOML when its name ends in `.toml`. A file with a secret in plain text must be
 * readable by its owner only. Throws OperatorError.
 */
export function readCredentials(file: string): Credentials {
  let text: string;
  let mode: number;
  try {
    const stat = statSync(file);
    if (stat.size > MAX_BYTES) throw new Error('it is larger than 1 MiB');
    mode = stat.mode;
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new OperatorError(
      'ERR_TOKEN_SERVICE_CREDENTIALS',
      `cannot be read: ${messageOf(error)}`,
      {
        file,
      },
    );
  }
  const credentials = credentialsOf(parse(text, file), file);
  if (!credentials.allHashed) refuseOpenMode(mode, file);
  return credentials;
}

/**
 * The credentials in `file`; made at random first when there is no such file: an `admin`, a reader `gateway`, a client `application`, and
 * a client `operator` that may revoke any token. `created` says whether that happened now.
 */
export function ensureCredentials(file: string): { credentials: Credentials; created: boolean } {
  const content = {
    admin: { username: 'admin', password: randomSecret() },
    readers: [{ username: 'gateway', password: randomSecret() }],
    clients: [
      { id: 'application', secret: randomSecret() },
      { id: 'operator', secret: randomSecret(), revokeAny: true, introspectAny: true },
    ],
  };
  return { created: createOnce(file, content), credentials: readCredentials(file) };
}

/** A link is made or refused whole: neither a crash nor a second start leaves half a file. */
function createOnce(file: string, content: unknown): boolean {
  if (statSync(file, { throwIfNoEntry: false }) !== undefined) return false;
  const draft = `${file}.${randomUUID()}`;
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    writeFileSync(draft, `${JSON.stringify(content, undefined, 2)}\n`, {
      mode: 0o600,
      flag: 'wx',
      flush: true,
    });
  } catch (error) {
    throw new OperatorError(
      'ERR_TOKEN_SERVICE_CREDENTIALS',
      `cannot be written: ${messageOf(error)}`,
      {
        file,
      },
    );
  }
  try {
    linkSync(draft, file);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw new OperatorError(
      'ERR_TOKEN_SERVICE_CREDENTIALS',
      `cannot be written: ${messageOf(error)}`,
      {
        file,
      },
    );
  } finally {
    unlinkSync(draft);
  }
}

/** Throws OperatorError ERR_TOKEN_SERVICE_FILE_MODE when others than the owner may read or write a file that holds secrets. */
export function refuseOpenMode(mode: number, file: string): void {
  if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
    throw new OperatorError(
      'ERR_TOKEN_SERVICE_FILE_MODE',
      `holds secrets, but others than its owner may use it (mode ${(mode & 0o777).toString(8)})`,
      { file },
    );
  }
}

function parse(text: string, file: string): unknown {
  try {
    return file.endsWith('.toml')
      ? getStaticTOMLValue(parseTOML(text))
      : (JSON.parse(text) as unknown);
  } catch (error) {
    // The parsers' own messages quote the text, and with it a secret.
    const line =
      error instanceof Error && 'lineNumber' in error && typeof error.lineNumber === 'number'
        ? { line: error.lineNumber }
        : {};
    throw new OperatorError(
      'ERR_TOKEN_SERVICE_CREDENTIALS',
      file.endsWith('.toml') ? 'is not valid TOML' : 'is not valid JSON',
      { file, ...line },
    );
  }
}

function randomSecret(): string {
  return randomBytes(32).toString('base64url');
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
