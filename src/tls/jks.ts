import { X509Certificate, createPrivateKey } from 'node:crypto';
import { decrypt, parseJks as parseEntries } from 'jks-js';
import { StoreProblem, withUniqueAliases } from './store-entry.ts';
import type { StoreEntry } from './store-entry.ts';

/** Reads Java's older key store format, JKS. Keys must have the store's own password, as keytool gives them by default. */
export function parseJks(bytes: Buffer, password: string): StoreEntry[] {
  // jks-js does not check the integrity code where there is no password.
  if (password === '') throw new StoreProblem('does not open: a JKS store needs its password');
  const entries = attempt(() => parseEntries(bytes, password));
  return withUniqueAliases(
    entries.map((entry) => {
      const [first, ...rest] = 'chain' in entry ? entry.chain : [entry.cert];
      if (first === undefined) throw new StoreProblem(`has no certificate for "${entry.alias}"`);
      return {
        alias: entry.alias,
        key:
          'chain' in entry
            ? createPrivateKey(attempt(() => decrypt(entry.protectedPrivateKey, password)))
            : undefined,
        chain: [
          new X509Certificate(first.value),
          ...rest.map(({ value }) => new X509Certificate(value)),
        ],
      };
    }),
  );
}

function attempt<Value>(read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    const reason = error instanceof Error ? error.message : '';
    if (/password/i.test(reason)) throw new StoreProblem('does not open: the password is wrong');
    if (/recover key/i.test(reason)) {
      throw new StoreProblem(
        'has a key with a password of its own: give it the password of the store',
      );
    }
    throw new StoreProblem('is damaged, or holds what is not supported', { cause: error });
  }
}
