import { X509Certificate, createPrivateKey } from 'node:crypto';
import forge from 'node-forge';
import { StoreProblem, joinEntries } from './store-entry.ts';
import type { StoreEntry, StoredCertificate, StoredKey } from './store-entry.ts';

/** Java's attribute for "this certificate is a trusted entry", which OpenSSL does not know. */
const JAVA_TRUSTED_KEY_USAGE = '2.16.840.1.113894.746875.1.1';

/** Bags that hold neither a key pair nor a certificate, and in which node-forge gives up (RFC 7292 sections 4.2.4 and 4.2.5). */
const FOREIGN_BAGS: ReadonlySet<string> = new Set([
  '1.2.840.113549.1.12.10.1.4', // crlBag
  '1.2.840.113549.1.12.10.1.5', // secretBag: keytool -genseckey
]);

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
    try {
      return decodeBags(structure, password);
    } catch (error) {
      if (!(error instanceof Error && 'oid' in error && FOREIGN_BAGS.has(String(error.oid))))
        throw error;
      dropForeignBags(structure);
      return decodeBags(structure, password);
    }
  } catch (error) {
    if (error instanceof StoreProblem) throw error;
    const reason = error instanceof Error ? error.message : '';
    if (/password|could not be verified|decrypt/i.test(reason))
      throw new StoreProblem(wrong(password));
    throw new StoreProblem(`is damaged, or holds what is not supported (${reason})`, {
      cause: error,
    });
  }
}

function decodeBags(structure: forge.asn1.Asn1, password: string): Bag[] {
  const store = forge.pkcs12.pkcs12FromAsn1(structure, false, password);
  return store.safeContents.flatMap(({ safeBags }) => safeBags as Bag[]);
}

/**
 * Takes {@link FOREIGN_BAGS} out of a PFX that node-forge has seen, where they are not encrypted as a whole: Java writes them so. The
 * integrity code goes with them: it was checked before the first bag was looked at.
 */
function dropForeignBags(pfx: forge.asn1.Asn1): void {
  const { fromDer, toDer, derToOid } = forge.asn1;
  const oidOf = (sequence: forge.asn1.Asn1): string => derToOid(textIn(sequence, 0));
  const authSafe = child(pfx, 1, 1, 0);
  const contents = fromDer(textIn(authSafe), false);
  for (const content of children(contents)) {
    if (oidOf(content) !== forge.pki.oids['data']) continue;
    const octets = child(content, 1, 0);
    const bags = fromDer(textIn(octets), false);
    bags.value = children(bags).filter((bag) => !FOREIGN_BAGS.has(oidOf(bag)));
    octets.value = toDer(bags).getBytes();
  }
  authSafe.value = toDer(contents).getBytes();
  pfx.value = children(pfx).slice(0, 2);
}

function children({ value }: forge.asn1.Asn1): forge.asn1.Asn1[] {
  if (typeof value === 'string') throw new StoreProblem('is damaged: an entry is no structure');
  return value;
}

/** What is at the end of these positions. */
function child(node: forge.asn1.Asn1, ...path: readonly number[]): forge.asn1.Asn1 {
  return path.reduce((at, index) => {
    const next = children(at)[index];
    if (next === undefined) throw new StoreProblem('is damaged: an entry is empty');
    return next;
  }, node);
}

function textIn(node: forge.asn1.Asn1, ...path: readonly number[]): string {
  const { value } = child(node, ...path);
  if (typeof value !== 'string') throw new StoreProblem('is damaged: an entry is no text');
  return value;
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
