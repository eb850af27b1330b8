import { X509Certificate, createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { OperatorError } from '../errors.ts';
import { parseJks } from './jks.ts';
import { parsePem } from './pem-file.ts';
import { parsePkcs12 } from './pkcs12.ts';
import { StoreProblem } from './store-entry.ts';
import type { StoreEntry } from './store-entry.ts';

/** Bytes of a store; Java's list of all public authorities has 0.2 MB. */
const MAX_BYTES = 8 * 1024 * 1024;

export interface StoreFile {
  readonly path: string;
  readonly bytes: Buffer;
}

/** @throws OperatorError ERR_KEY_STORE when the file is missing, unreadable or too large. */
export async function readStoreFile(path: string): Promise<StoreFile> {
  try {
    const found = await stat(path);
    if (!found.isFile()) throw new StoreProblem('is not a file');
    if (found.size > MAX_BYTES) throw new StoreProblem(`is larger than ${MAX_BYTES} bytes`);
    return { path, bytes: await readFile(path) };
  } catch (error) {
    throw storeError(path, error);
  }
}

/**
 * All entries of a store of any format; the content says which one it is, not the name.
 * @throws OperatorError ERR_KEY_STORE with the file and what is wrong; never the password.
 */
export function parseStore({ path, bytes }: StoreFile, password: string): StoreEntry[] {
  try {
    const entries = parserOf(bytes)(password);
    if (entries.length === 0) throw new StoreProblem('has neither a key nor a trusted certificate');
    return entries;
  } catch (error) {
    throw storeError(path, error);
  }
}

/** SHA-256 of what was read, to tell whether a file changed. */
export function digestOf({ bytes }: StoreFile): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The refusal of an alias, with the aliases there are. */
export function missingAlias(
  path: string,
  alias: string,
  aliases: readonly string[],
): OperatorError {
  const shown = aliases.slice(0, 20).map((one) => `"${one}"`);
  const more = aliases.length > 20 ? ` and ${aliases.length - 20} more` : '';
  return new OperatorError(
    'ERR_KEY_STORE',
    `has no alias "${alias}"; it has ${shown.join(', ')}${more}`,
    {
      file: path,
    },
  );
}

/** A warning for each certificate that is out of its validity at `now`. */
export function validityWarnings(
  path: string,
  entries: readonly Pick<StoreEntry, 'alias' | 'chain'>[],
  now = new Date(),
): string[] {
  return entries.flatMap(({ alias, chain }) =>
    chain.flatMap((certificate) => {
      if (certificate.validToDate < now) {
        return `${path}: the certificate of "${alias}" expired on ${certificate.validToDate.toISOString()}`;
      }
      if (certificate.validFromDate > now) {
        return `${path}: the certificate of "${alias}" is not valid before ${certificate.validFromDate.toISOString()}`;
      }
      return [];
    }),
  );
}

function parserOf(bytes: Buffer): (password: string) => StoreEntry[] {
  const magic = bytes.length < 4 ? 0 : bytes.readUInt32BE(0);
  if (magic === 0xfeedfeed) return (password) => parseJks(bytes, password);
  if (magic === 0xcececece) {
    throw new StoreProblem(
      'is a JCEKS store: convert it with keytool -importkeystore -deststoretype PKCS12',
    );
  }
  if (bytes.includes('-----BEGIN '))
    return (password) => parsePem(bytes.toString('utf8'), password);
  if (bytes[0] === 0x30) return parserOfDer(bytes);
  throw new StoreProblem('is not a key store or trust store (PKCS #12, JKS or PEM)');
}

/** PKCS #12 begins with its version number, a bare certificate with a sequence. */
function parserOfDer(bytes: Buffer): (password: string) => StoreEntry[] {
  const lengthByte = bytes[1] ?? 0;
  const inner = bytes[2 + (lengthByte > 0x80 ? lengthByte & 0x7f : 0)];
  if (inner !== 0x30) return (password) => parsePkcs12(bytes, password);
  return () => parsePem(new X509Certificate(bytes).toString(), '');
}

function storeError(path: string, error: unknown): OperatorError {
  if (error instanceof StoreProblem) {
    return new OperatorError('ERR_KEY_STORE', error.message, { file: path, cause: error.cause });
  }
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const reason =
    code === 'ENOENT'
      ? 'there is no such file: mend its path, or put it there'
      : code === 'EACCES' || code === 'EPERM'
        ? 'may not be read by this user'
        : `cannot be read${code === '' ? '' : ` (${code})`}`;
  return new OperatorError('ERR_KEY_STORE', reason, { file: path, cause: error });
}
