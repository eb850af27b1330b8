import type { X509Certificate } from 'node:crypto';
import { missingAlias, parseStore, readStoreFile, validityWarnings } from './store-file.ts';

/** Whom to trust, and certificates by name. */
export interface TrustStore {
  readonly path: string;
  /** Keys are lower case; {@link trustedCertificate} takes any case. */
  readonly byAlias: ReadonlyMap<string, X509Certificate>;
  /** The same certificates, PEM, each once. */
  readonly pem: readonly string[];
  /** To be logged: certificates out of their validity. */
  readonly warnings: readonly string[];
}

/**
 * Loads trusted certificates from PKCS #12, JKS, PEM, or a single DER certificate. As in Java, a private key's own certificate counts too,
 * the rest of its chain does not.
 * @throws OperatorError ERR_KEY_STORE: unreadable, not a trust store, wrong password, empty.
 */
export async function loadTrustStore(path: string, password: string): Promise<TrustStore> {
  const entries = parseStore(await readStoreFile(path), password).map(({ alias, chain }) => ({
    alias,
    chain: [chain[0]] as const,
  }));
  return {
    path,
    byAlias: new Map(entries.map(({ alias, chain }) => [alias, chain[0]])),
    pem: [...new Set(entries.map(({ chain }) => chain[0].toString()))],
    warnings: validityWarnings(path, entries),
  };
}

/** The certificate of an alias, in any case. @throws OperatorError ERR_KEY_STORE that lists the aliases there are. */
export function trustedCertificate(store: TrustStore, alias: string): X509Certificate {
  const certificate = store.byAlias.get(alias.toLowerCase());
  if (certificate === undefined) throw missingAlias(store.path, alias, [...store.byAlias.keys()]);
  return certificate;
}
