import { existsSync, statSync } from 'node:fs';
import { extname, join } from 'node:path';
import { getCACertificates } from 'node:tls';
import type { Log, LogLevel } from './log.ts';
import { createLog } from './log-writer.ts';
import { createHttpClient, type HttpClient } from './net/http-client.ts';
import type { RevocationPublisher } from './revocation/source.ts';
import { loadKeyStore } from './tls/key-store.ts';
import { ensureLocalAuthority, ensureServerCertificate } from './tls/local-authority.ts';
import { loadTrustStore } from './tls/trust-store.ts';
import { securityFolder } from './trust.ts';
import { plainHost } from './token-service/credentials.ts';
import { ensureCredentials, readCredentials } from './token-service/credentials-file.ts';
import type { TokenServiceOptions } from './token-service/options.ts';
import {
  createTokenService,
  type TokenService,
  type TokenServiceAddress,
} from './token-service/token-service.ts';

export { hashSecret } from './token-service/secret.ts';
export { SIGNING_ALGORITHMS, type SigningAlgorithm } from './token-service/options.ts';

/** A key store file (PKCS12, JKS or PEM) and what opens it. */
export interface KeyStoreFile {
  readonly path: string;
  readonly password: string;
  readonly alias?: string;
}

type Passed =
  | 'host'
  | 'port'
  | 'apimPort'
  | 'issuer'
  | 'tokenLifeSeconds'
  | 'longestTokenLifeSeconds'
  | 'algorithm'
  | 'keyLifeSeconds'
  | 'keyLeadSeconds'
  | 'revokedListFormat';

/** A token service with its files, its certificate and its publishers. All paths are absolute. */
export interface TokenServiceLaunch extends Pick<TokenServiceOptions, Passed> {
  /** `MGW_HOME`: holds the local CA, shared with the gateway, and by default the state. */
  readonly home: string;
  /** State file, or a folder for it. Default `<home>/token-service`. */
  readonly state?: string;
  /** Credentials file. Default: one beside the state, made when absent. */
  readonly clientsFile?: string;
  /** Key and certificate of the listeners. Default: a certificate of the local CA. */
  readonly keyStore?: KeyStoreFile;
  /** Key and certificate that sign tokens, instead of rotating keys. */
  readonly signingKeyStore?: KeyStoreFile;
  /** Trust store of the authorities whose client certificates may open the event stream. */
  readonly readerTrustFile?: string;
  /** Certificates that publishers trust beside Node's roots and the local CA. */
  readonly trustFile?: string;
  /** JMS topic that every revocation is published to. */
  readonly jms?: {
    readonly url: string;
    readonly topic: string;
    readonly username?: string;
    readonly password?: string;
  };
  /** etcd that every revocation is written to. */
  readonly etcd?: {
    readonly url: string;
    readonly username?: string;
    readonly password?: string;
  };
}

/** A token service that answers. */
export interface LaunchedTokenService {
  readonly address: TokenServiceAddress;
  readonly credentialsFile: string;
  /** True when the credentials were made by this start. */
  readonly credentialsCreated: boolean;
  /** Certificate of the local CA (PEM), for clients; absent with a key store of the operator's. */
  readonly caFile: string | undefined;
  readonly service: TokenService;
  close(): Promise<void>;
}

/** A log for the command, written line by line. */
export function tokenServiceLog(level: LogLevel, write: (line: string) => void): Log {
  return createLog({ level, format: 'text', module: 'portcullis/token-service', write });
}

/** Makes what is missing (credentials, certificate, state) and starts to listen. Rejects with OperatorError. */
export async function launchTokenService(
  launch: TokenServiceLaunch,
  log: Log,
): Promise<LaunchedTokenService> {
  const { folder, file } = stateFiles(launch.state ?? join(launch.home, 'token-service'));
  const credentialsFile = launch.clientsFile ?? join(folder, 'token-service-credentials.json');
  const { credentials, created } =
    launch.clientsFile === undefined
      ? ensureCredentials(credentialsFile)
      : { credentials: readCredentials(credentialsFile), created: false };
  const { tls, caFile, caPem } = await serverCertificate(launch, log);
  const signing = launch.signingKeyStore && (await keyPair(launch.signingKeyStore, log));
  const readers = launch.readerTrustFile && (await trusted(launch.readerTrustFile, log));
  const more = launch.trustFile === undefined ? [] : await trusted(launch.trustFile, log);
  const { publishers, http } = await makePublishers(
    launch,
    [...getCACertificates('default'), ...caPem, ...more],
    log,
  );
  const service = createTokenService({
    ...passedOn(launch),
    stateFile: file,
    credentials,
    tls,
    publishers,
    log,
    ...(signing && { signingKey: { privateKey: signing.key, certificate: signing.cert } }),
    ...(readers && { readerCa: readers }),
  });
  const close = async (): Promise<void> => {
    await service.close();
    await http?.close();
  };
  try {
    const address = await service.listen();
    return { address, credentialsFile, credentialsCreated: created, caFile, service, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** An existing folder, or a name without an ending, is a folder. */
function stateFiles(state: string): { folder: string; file: string } {
  const isFolder = existsSync(state) ? statSync(state).isDirectory() : extname(state) === '';
  return isFolder
    ? { folder: state, file: join(state, 'token-service.sqlite') }
    : { folder: join(state, '..'), file: state };
}

function passedOn(launch: TokenServiceLaunch): Pick<TokenServiceOptions, Passed> {
  const names: readonly Passed[] = [
    'host',
    'port',
    'apimPort',
    'issuer',
    'tokenLifeSeconds',
    'longestTokenLifeSeconds',
    'algorithm',
    'keyLifeSeconds',
    'keyLeadSeconds',
    'revokedListFormat',
  ];
  return Object.fromEntries(
    names.flatMap((name) => (launch[name] === undefined ? [] : [[name, launch[name]]])),
  );
}

async function serverCertificate(
  launch: TokenServiceLaunch,
  log: Log,
): Promise<{
  tls: { key: string; cert: string };
  caFile: string | undefined;
  caPem: readonly string[];
}> {
  if (launch.keyStore !== undefined) {
    return { tls: await keyPair(launch.keyStore, log), caFile: undefined, caPem: [] };
  }
  const folder = securityFolder(launch.home);
  const authority = await ensureLocalAuthority(folder);
  const server = await ensureServerCertificate(
    folder,
    'token-service',
    // No certificate has a zone in it.
    launch.host === undefined ? [] : [plainHost(launch.host).replace(/%.*$/s, '')],
  );
  for (const warning of [...authority.warnings, ...server.warnings]) {
    log.warn('TokenService', warning);
  }
  return {
    tls: { key: server.key, cert: server.cert },
    caFile: authority.caFile,
    caPem: [authority.caPem],
  };
}

async function keyPair(
  { path, password, alias }: KeyStoreFile,
  log: Log,
): Promise<{ key: string; cert: string }> {
  const { key, cert, warnings } = await loadKeyStore(path, password, alias);
  for (const warning of warnings) log.warn('TokenService', warning);
  return { key, cert };
}

async function trusted(path: string, log: Log, password = ''): Promise<readonly string[]> {
  const { pem, warnings } = await loadTrustStore(path, password);
  for (const warning of warnings) log.warn('TokenService', warning);
  return pem;
}

/** Names are those of the outbox rows: they stay as they are. */
async function makePublishers(
  { jms, etcd }: TokenServiceLaunch,
  ca: readonly string[],
  log: Log,
): Promise<{ publishers: readonly RevocationPublisher[]; http: HttpClient | undefined }> {
  const publishers: RevocationPublisher[] = [];
  if (jms !== undefined) {
    const { createAmqpPublisher } = await import('./sources/amqp-publisher.ts');
    const options = {
      name: 'jms',
      providerUrl: jms.url,
      topic: jms.topic,
      ca,
      loadTrust: (path: string, password: string | undefined) => trusted(path, log, password),
      loadKeyPair: (path: string, password = '', alias?: string) =>
        keyPair({ path, password, ...(alias === undefined ? {} : { alias }) }, log),
      ...(jms.username === undefined ? {} : { username: jms.username }),
      ...(jms.password === undefined ? {} : { password: jms.password }),
    };
    publishers.push(createAmqpPublisher(options, log));
  }
  let http: HttpClient | undefined;
  if (etcd !== undefined) {
    const { createEtcdPublisher } = await import('./sources/etcd-publisher.ts');
    http = createHttpClient({ ca });
    const { username, password = '' } = etcd;
    const credentials = username === undefined ? undefined : { username, password };
    publishers.push(createEtcdPublisher({ name: 'etcd', urls: etcd.url, credentials, http }));
  }
  return { publishers, http };
}
