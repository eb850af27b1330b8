import type { X509Certificate } from 'node:crypto';
import { randomBytes } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { OperatorError } from '../errors.ts';
import { issueCertificate } from './certificate.ts';
import type { IssuedCertificate } from './certificate.ts';
import { createPrivateFile, privacyWarnings, replaceFile } from './private-file.ts';
import { parseStore, readStoreFile } from './store-file.ts';

/**
 * A certificate authority of this installation alone, for whoever has no key store: made once, shared by everything under the same folder.
 *
 * Files: `local-ca-key.pem` (0600; key and certificate, the only truth), `local-ca.pem` (0644; the certificate, for clients) and one
 * `<name>.pem` (0600; key and certificate) per server.
 *
 * **Security**: whoever reads `local-ca-key.pem` can pass for any server at every client that trusts `local-ca.pem`.
 */
const AUTHORITY_KEY_FILE = 'local-ca-key.pem';
const AUTHORITY_FILE = 'local-ca.pem';
const AUTHORITY_NAME = 'Portcullis local authority';

const DAY_MS = 86_400_000;
const AUTHORITY_DAYS = 3_650;
/** The longest life of a server certificate that all platforms accept. */
const SERVER_DAYS = 825;
const RENEW_BEFORE_DAYS = 30;
/** Milliseconds by which a certificate begins earlier, for clients whose clock is behind. */
const CLOCK_SKEW_MS = 3_600_000;

export interface LocalAuthority {
  /** The authority's certificate, PEM. */
  readonly caPem: string;
  /** Where clients find it (`curl --cacert`). */
  readonly caFile: string;
  /** True when this call made it. */
  readonly created: boolean;
  /** To be logged: who else may read the key. */
  readonly warnings: readonly string[];
}

export interface ServerCertificate extends IssuedCertificate {
  /** Key and certificate in one PEM file. */
  readonly file: string;
  /** True when this call made it, for the first time or anew. */
  readonly created: boolean;
  readonly warnings: readonly string[];
}

/**
 * The authority of `folder`, made when there is none. Processes that start at once end with the same one.
 * @throws OperatorError ERR_LOCAL_AUTHORITY when the folder cannot be written, the files are damaged, or ten years are over.
 */
export async function ensureLocalAuthority(folder: string): Promise<LocalAuthority> {
  const { authority, created } = await atFolder(folder, () => openAuthority(folder));
  const keyFile = join(folder, AUTHORITY_KEY_FILE);
  const caFile = join(folder, AUTHORITY_FILE);
  await atFolder(folder, async () => {
    const shown = await readFile(caFile, 'utf8').catch(() => '');
    if (shown !== authority.cert) await replaceFile(caFile, authority.cert, 'public');
  });
  return { caPem: authority.cert, caFile, created, warnings: await privacyWarnings(keyFile) };
}

/**
 * A server certificate of the folder's authority for `localhost`, 127.0.0.1, ::1, this machine's name and `hosts` (names or addresses;
 * what is neither, and unspecified addresses, are passed over). Made anew when it has less than 30 days left, misses a host, or is of an earlier authority.
 * @param name of the file, lower case (`gateway`, `token-service`).
 * @throws OperatorError ERR_LOCAL_AUTHORITY as {@link ensureLocalAuthority}; also when `<name>.pem` is not one that was made here.
 */
export async function ensureServerCertificate(
  folder: string,
  name: string,
  hosts: readonly string[] = [],
): Promise<ServerCertificate> {
  if (!/^[a-z][a-z0-9-]*$/.test(name)) throw new TypeError(`not a certificate file name: ${name}`);
  const { authority, certificate: issuer } = await atFolder(folder, () => openAuthority(folder));
  const file = join(folder, `${name}.pem`);
  const wanted = serverHosts(hosts);

  const order = async (): Promise<IssuedCertificate> => {
    const now = Date.now();
    return issueCertificate({
      commonName: 'localhost',
      purpose: 'server',
      hosts: wanted,
      notBefore: new Date(now - CLOCK_SKEW_MS),
      notAfter: new Date(Math.min(now + SERVER_DAYS * DAY_MS, issuer.validToDate.getTime())),
      issuer: authority,
    });
  };
  return atFolder(folder, async () => {
    let created = false;
    let found = await readPair(file);
    if (found === undefined) {
      const made = await order();
      created = await createPrivateFile(file, made.key + made.cert);
      found = await readPair(file);
      if (found === undefined) throw new OperatorError('ERR_LOCAL_AUTHORITY', 'vanished', { file });
    }
    const { certificate } = found;
    if (!isOfALocalAuthority(certificate)) {
      throw new OperatorError(
        'ERR_LOCAL_AUTHORITY',
        'is not a certificate that was made here, and is left alone: configure it as a key store, or move it away',
        { file },
      );
    }
    if (!serves(certificate, issuer, wanted)) {
      const made = await order();
      await replaceFile(file, made.key + made.cert, 'private');
      found = { ...found, pair: made };
      created = true;
    }
    return { ...found.pair, file, created, warnings: await privacyWarnings(file) };
  });
}

interface OpenAuthority {
  readonly authority: IssuedCertificate;
  readonly certificate: X509Certificate;
  readonly created: boolean;
}

async function openAuthority(folder: string): Promise<OpenAuthority> {
  const file = join(folder, AUTHORITY_KEY_FILE);
  let created = false;
  let found = await readPair(file);
  if (found === undefined) {
    // Readable, as the certificate of the authority is for everybody; and nobody else's to write, whatever the umask is.
    await mkdir(folder, { recursive: true, mode: 0o755 });
    const now = Date.now();
    const made = await issueCertificate({
      // A name of its own, so that clients which still trust an earlier authority of this folder do not take one for the other.
      commonName: `${AUTHORITY_NAME} ${randomBytes(4).toString('hex')}`,
      purpose: 'authority',
      notBefore: new Date(now - CLOCK_SKEW_MS),
      notAfter: new Date(now + AUTHORITY_DAYS * DAY_MS),
    });
    created = await createPrivateFile(file, made.key + made.cert);
    found = await readPair(file);
  }
  if (found === undefined) throw new OperatorError('ERR_LOCAL_AUTHORITY', 'vanished', { file });
  const { certificate } = found;
  if (!certificate.ca) {
    throw new OperatorError('ERR_LOCAL_AUTHORITY', 'is not a certificate authority', { file });
  }
  if (certificate.validToDate.getTime() <= Date.now()) {
    throw new OperatorError(
      'ERR_LOCAL_AUTHORITY',
      `expired on ${certificate.validToDate.toISOString()}: delete it, a new one is made, and clients must be given the new ${AUTHORITY_FILE}`,
      { file },
    );
  }
  return { authority: found.pair, certificate, created };
}

interface Pair {
  readonly pair: IssuedCertificate;
  readonly certificate: X509Certificate;
}

/** Undefined when there is no such file. */
async function readPair(file: string): Promise<Pair | undefined> {
  try {
    const [entry] = parseStore(await readStoreFile(file), '');
    if (entry?.key === undefined) {
      throw new OperatorError('ERR_KEY_STORE', 'has no private key', { file });
    }
    const [certificate] = entry.chain;
    const key = entry.key.export({ type: 'pkcs8', format: 'pem' }).toString();
    return { pair: { key, cert: certificate.toString() }, certificate };
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    if (hasCode(error.cause, 'ENOENT')) return undefined;
    // What may not be read may be whole, and clients may trust it.
    const remedy = hasCode(error.cause, 'EACCES') ? '' : '; delete it, and a new one is made';
    throw new OperatorError('ERR_LOCAL_AUTHORITY', `${error.message}${remedy}`, { cause: error });
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

function isOfALocalAuthority(certificate: X509Certificate): boolean {
  return certificate.issuer.split('\n').some((line) => line.startsWith(`CN=${AUTHORITY_NAME} `));
}

function serves(
  certificate: X509Certificate,
  issuer: X509Certificate,
  hosts: readonly string[],
): boolean {
  return (
    certificate.checkIssued(issuer) &&
    certificate.verify(issuer.publicKey) &&
    certificate.validFromDate.getTime() <= Date.now() &&
    certificate.validToDate.getTime() > Date.now() + RENEW_BEFORE_DAYS * DAY_MS &&
    hosts.every((host) =>
      isIP(host) === 0
        ? certificate.checkHost(host, { subject: 'never' }) !== undefined
        : certificate.checkIP(host) !== undefined,
    )
  );
}

const HOST_NAME = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;

function serverHosts(given: readonly string[]): string[] {
  const hosts = ['localhost', '127.0.0.1', '::1', hostname(), ...given].map((host) =>
    host.toLowerCase(),
  );
  return [...new Set(hosts)].filter((host) =>
    isIP(host) === 0 ? HOST_NAME.test(host) : host !== '0.0.0.0' && host !== '::',
  );
}

/** What the file system refuses becomes a refusal that names the folder. */
async function atFolder<Value>(folder: string, work: () => Promise<Value>): Promise<Value> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof OperatorError || !(error instanceof Error) || !('code' in error)) {
      throw error;
    }
    throw new OperatorError(
      'ERR_LOCAL_AUTHORITY',
      `the local certificate authority cannot be kept here (${String(error.code)})`,
      { file: folder, cause: error },
    );
  }
}
