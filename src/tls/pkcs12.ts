import { X509Certificate, createPrivateKey } from 'node:crypto';
import forge from 'node-forge';
import { StoreProblem, joinEntries } from './store-entry.ts';
import type { StoreEntry, StoredCertificate, StoredKey } from './store-entry.ts';

/** Java's attribute for "this certificate is a trusted entry", which OpenSSL does not know. */
const JAVA_TRUSTED_KEY_USAGE = '2.16.840.1.113894.746875.1.1';

/** What node-forge makes of a bag: RSA keys and certificates as its own objects, all others as ASN.1. */
interface Bag {
  readonly type: string;
  readonly attributes: Readonly<Record<string, readonly unknown[] | undefined>>;
  readonly key?: forge.pki.rsa.PrivateKey | null;
  readonly cert?: forge.pki.Certificate | null;
  readonly asn1?: forge.asn1.Asn1;
}

/**
 * Reads PKCS #12 (RFC 7292): Java's (PBES2 with AES, the legacy RC2 and Triple DES, or without password) and OpenSSL's. The integrity
 * code is checked before anything else is believed.
 */
export function parsePkcs12(bytes: Buffer, password: string): StoreEntry[] {
  const bags = readBags(bytes, password);
  const keys: StoredKey[] = [];
  const certificates: StoredCertificate[] = [];
  for (const bag of bags) {
    const name = bag.attributes['friendlyName']?.[0];
    const alias = typeof name === 'string' && name !== '' ? name : undefined;
    if (bag.type === forge.pki.oids['certBag']) {
      const marked = bag.attributes['trustedKeyUsage'] !== undefined;
      certificates.push({ alias, certificate: new X509Certificate(certificateDer(bag)), marked });
    } else {
      const key = createPrivateKey({ key: keyDer(bag), format: 'der', type: 'pkcs8' });
      keys.push({ alias, key });
    }
  }
  return joinEntries(keys, certificates);
}

function readBags(bytes: Buffer, password: string): Bag[] {
  // node-forge passes over attributes whose name it does not know.
  forge.pki.oids[JAVA_TRUSTED_KEY_USAGE] = 'trustedKeyUsage';
  try {
    const structure = forge.asn1.fromDer(bytes.toString('latin1'));
    const store = forge.pkcs12.pkcs12FromAsn1(structure, false, password);
    return store.safeContents.flatMap(({ safeBags }) => safeBags as Bag[]);
  } catch (error) {
    const reason = error instanceof Error ? error.message : '';
    if (/password|could not be verified|decrypt/i.test(reason))
      throw new StoreProblem(wrong(password));
    throw new StoreProblem(`is damaged, or holds what is not supported (${reason})`, {
      cause: error,
    });
  }
}

function wrong(password: string): string {
  return /[^\x20-\x7e]/.test(password)
    ? 'does not open: the password is wrong, or has characters outside ASCII, which are not supported for PKCS #12'
    : 'does not open: the password is wrong';
}

function certificateDer(bag: Bag): Buffer {
  return der(bag.cert ? forge.pki.certificateToAsn1(bag.cert) : bag.asn1);
}

function keyDer(bag: Bag): Buffer {
  return der(bag.key ? forge.pki.wrapRsaPrivateKey(forge.pki.privateKeyToAsn1(bag.key)) : bag.asn1);
}

function der(value: forge.asn1.Asn1 | undefined): Buffer {
  if (value === undefined) throw new StoreProblem('is damaged: an entry is empty');
  return Buffer.from(forge.asn1.toDer(value).getBytes(), 'latin1');
}
