import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { getCACertificates } from 'node:tls';
import type { MgwConfig } from './config/config.ts';
import { OperatorError } from './errors.ts';
import { type PlaceOf, withPlace } from './place.ts';
import { loadKeyStore } from './tls/key-store.ts';
import { ensureLocalAuthority, ensureServerCertificate } from './tls/local-authority.ts';
import { loadTrustStore, trustedCertificate } from './tls/trust-store.ts';

/** Folder under MGW_HOME that holds the local certificate authority, shared by `gateway` and `micro-gw token-service`. */
export function securityFolder(home: string): string {
  return join(home, 'security');
}

/** What the listeners show, and whom the gateway's own calls and token checks trust. */
export interface Trust {
  readonly listener: { readonly key: string; readonly cert: string };
  /** What upstreams are shown that ask for a client certificate, where there is one. */
  readonly client: { readonly key: string; readonly cert: string } | undefined;
  /** PEM certificates. */
  readonly ca: readonly string[];
  /** A certificate of the trust store, PEM. @throws OperatorError when there is no such alias */
  certificate(alias: string): string;
  /** To be said in the log, in order. */
  readonly notes: readonly { readonly level: 'info' | 'warn'; readonly message: string }[];
}

/**
 * Opens key store and trust store. Without a key store a certificate of the local authority is made once; without a trust store this
 * authority and Node's own roots are trusted. One that is configured holds alone. Upstreams are shown a certificate only where one is
 * configured for them.
 * @throws OperatorError naming the file that cannot be used, and the place of its key
 */
export async function openTrust(config: MgwConfig, placeOf: PlaceOf): Promise<Trust> {
  const { keyStore, trustStore, host } = config.listeners;
  const folder = securityFolder(config.home);
  const notes: { level: 'info' | 'warn'; message: string }[] = [];
  const warn = (warnings: readonly string[]): void => {
    for (const message of warnings) notes.push({ level: 'warn', message });
  };

  let listener;
  if (keyStore === undefined) {
    const authority = await ensureLocalAuthority(folder);
    warn(authority.warnings);
    const made = await ensureServerCertificate(folder, 'gateway', [host]);
    const how = made.created ? 'was made now' : 'is used again';
    notes.push({
      level: 'info',
      message: `No key store is configured: the certificate ${made.file} of the local authority ${how}; clients check it with ${authority.caFile}`,
    });
    warn(made.warnings);
    listener = { key: made.key, cert: made.cert };
  } else {
    listener = await withPlace(placeOf, 'listenerConfig.keyStorePath', () =>
      loadKeyStore(keyStore.path, keyStore.password),
    );
    warn(listener.warnings);
  }

  const { keyStore: clientStore } = config.httpClients;
  const client =
    clientStore &&
    (await withPlace(placeOf, 'httpClients.sslConfig.keyStorePath', () =>
      loadKeyStore(clientStore.path, clientStore.password),
    ));
  if (client !== undefined) warn(client.warnings);

  if (trustStore === undefined) {
    const authority = await ensureLocalAuthority(folder);
    if (keyStore !== undefined) warn(authority.warnings);
    return {
      listener,
      client,
      notes,
      ca: [authority.caPem, ...getCACertificates('default')],
      certificate: (alias) => {
        throw new OperatorError(
          'ERR_KEY_STORE',
          `no trust store is configured, so there is no certificate with the alias '${alias}': set listenerConfig.trustStorePath, or use jwksURL or certificatePath for the issuer`,
        );
      },
    };
  }
  const store = await withPlace(placeOf, 'listenerConfig.trustStorePath', () =>
    loadTrustStore(trustStore.path, trustStore.password),
  );
  warn(store.warnings);
  return {
    listener,
    client,
    notes,
    ca: store.pem,
    certificate: (alias) => trustedCertificate(store, alias).toString(),
  };
}

/** A file with one PEM certificate or public key. @throws OperatorError naming it */
export async function readPem(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown reason';
    throw new OperatorError('ERR_KEY_STORE', `cannot be read: ${code}`, { file, cause });
  }
}
