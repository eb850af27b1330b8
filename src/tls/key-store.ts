import { OperatorError } from '../errors.ts';
import {
  digestOf,
  missingAlias,
  parseStore,
  readStoreFile,
  validityWarnings,
} from './store-file.ts';
import type { StoreFile } from './store-file.ts';

/** What a TLS server or client shows. */
export interface KeyStore {
  /** Lower case. */
  readonly alias: string;
  /** PKCS #8, PEM, not encrypted. */
  readonly key: string;
  /** PEM chain, own certificate first. */
  readonly cert: string;
  /** To be logged: certificates out of their validity, a choice that was made among several keys. */
  readonly warnings: readonly string[];
}

/**
 * Loads a private key with its certificate chain from PKCS #12, JKS or PEM. Without `alias` the first key is taken, with a warning if there
 * are others.
 * @throws OperatorError ERR_KEY_STORE: unreadable, not a key store, wrong password, no key, no such alias.
 */
export async function loadKeyStore(
  path: string,
  password: string,
  alias?: string,
): Promise<KeyStore> {
  return chooseKey(await readStoreFile(path), password, alias);
}

/**
 * A loader for a store that may be replaced while the process runs. Each call reads the file; as long as its bytes are the same the answer
 * is the same object, without the cost of the password's derivation.
 */
export function createKeyStoreLoader(
  path: string,
  password: string,
  alias?: string,
): () => Promise<KeyStore> {
  let last: { readonly digest: string; readonly store: KeyStore } | undefined;
  return async () => {
    const file = await readStoreFile(path);
    const digest = digestOf(file);
    if (last?.digest !== digest) last = { digest, store: chooseKey(file, password, alias) };
    return last.store;
  };
}

function chooseKey(file: StoreFile, password: string, alias: string | undefined): KeyStore {
  const entries = parseStore(file, password);
  const keys = entries.flatMap((entry) => (entry.key ? [{ ...entry, key: entry.key }] : []));
  const chosen =
    alias === undefined ? keys[0] : keys.find((one) => one.alias === alias.toLowerCase());
  if (chosen === undefined) {
    if (alias !== undefined && keys.length > 0) {
      throw missingAlias(
        file.path,
        alias,
        keys.map((one) => one.alias),
      );
    }
    throw new OperatorError(
      'ERR_KEY_STORE',
      'has certificates but no private key: both have to be in the one file',
      { file: file.path },
    );
  }
  const [own] = chosen.chain;
  if (!own.checkPrivateKey(chosen.key)) {
    throw new OperatorError(
      'ERR_KEY_STORE',
      `the certificate of "${chosen.alias}" is for another key`,
      { file: file.path },
    );
  }
  const warnings = validityWarnings(file.path, [chosen]);
  if (alias === undefined && keys.length > 1) {
    const names = keys.map((one) => `"${one.alias}"`).join(', ');
    warnings.push(`${file.path}: holds the keys ${names}; "${chosen.alias}" is used`);
  }
  return {
    alias: chosen.alias,
    key: chosen.key.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: chosen.chain.map(String).join(''),
    warnings,
  };
}
