import { X509Certificate, createPrivateKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { StoreProblem, joinEntries } from './store-entry.ts';
import type { StoreEntry, StoredCertificate, StoredKey } from './store-entry.ts';

interface Block {
  readonly label: string;
  readonly text: string;
  /** `friendlyName` in the lines before it, as OpenSSL writes when it unpacks a PKCS #12 file. */
  readonly alias: string | undefined;
}

/**
 * Reads a PEM file (RFC 7468) of certificates and private keys in any order. A key may be encrypted with the password; blocks of other
 * kinds are passed over. Aliases are described at {@link joinEntries}.
 */
export function parsePem(text: string, password: string): StoreEntry[] {
  const keys: StoredKey[] = [];
  const certificates: StoredCertificate[] = [];
  for (const { label, text: pem, alias } of blocksOf(text)) {
    if (label === 'CERTIFICATE') {
      certificates.push({ alias, certificate: readCertificate(pem), marked: false });
    } else if (label.endsWith('PRIVATE KEY')) {
      keys.push({ alias, key: readKey(pem, password) });
    }
  }
  return joinEntries(keys, certificates);
}

function blocksOf(text: string): Block[] {
  const blocks: Block[] = [];
  for (let position = 0; ;) {
    const begin = text.indexOf('-----BEGIN ', position);
    if (begin === -1) return blocks;
    const labelEnd = text.indexOf('-----', begin + 11);
    const label = text.slice(begin + 11, labelEnd);
    const last = `-----END ${label}-----`;
    const end = labelEnd === -1 ? -1 : text.indexOf(last, labelEnd);
    if (end === -1) throw new StoreProblem('is damaged: a PEM block has no end');
    const alias = /friendlyName: *(.*\S)/.exec(text.slice(position, begin))?.[1];
    position = end + last.length;
    blocks.push({ label, text: text.slice(begin, position), alias });
  }
}

function readCertificate(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (error) {
    throw new StoreProblem('is damaged: a certificate in it cannot be read', { cause: error });
  }
}

function readKey(pem: string, passphrase: string): KeyObject {
  try {
    return createPrivateKey({ key: pem, passphrase });
  } catch {
    // No cause: OpenSSL's words differ with the guess, and help nobody.
    throw new StoreProblem(
      pem.includes('ENCRYPTED')
        ? 'does not open: the password is wrong'
        : 'is damaged: the private key in it cannot be read',
    );
  }
}
