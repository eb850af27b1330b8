import type { KeyObject, X509Certificate } from 'node:crypto';

/** What is wrong with the content of a store, without the file's name; never holds a password or a key. */
export class StoreProblem extends Error {}

/** One named thing in a store: a private key with its certificate chain (own certificate first), or a trusted certificate. */
export interface StoreEntry {
  /** Lower case, unique in its store: Java compares aliases so. */
  readonly alias: string;
  readonly key: KeyObject | undefined;
  readonly chain: readonly [X509Certificate, ...X509Certificate[]];
}

export interface StoredKey {
  readonly alias: string | undefined;
  readonly key: KeyObject;
}

export interface StoredCertificate {
  readonly alias: string | undefined;
  readonly certificate: X509Certificate;
  /** The file itself says that this certificate is trusted (Java's mark in PKCS #12). */
  readonly marked: boolean;
}

/**
 * Joins the loose keys and certificates of PKCS #12 and PEM to entries, by Java's rule: where a file has a private key or a mark, a
 * certificate without mark is a link of a key's chain and not trusted; in a file of mere certificates each one is.
 * An alias that the file does not give is the subject's CN, else the certificate's number in the file; a second one of a name gets `-2`.
 */
export function joinEntries(
  keys: readonly StoredKey[],
  certificates: readonly StoredCertificate[],
): StoreEntry[] {
  const pool = certificates.map(({ certificate }) => certificate);
  const mere = keys.length === 0 && !certificates.some(({ marked }) => marked);
  const loose: { alias: string; key: KeyObject | undefined; chain: StoreEntry['chain'] }[] = [];
  for (const { alias, key } of keys) {
    const own = certificates.filter(({ certificate }) => certificate.checkPrivateKey(key));
    const leaf = own.find((candidate) => candidate.alias === alias) ?? own[0];
    if (leaf === undefined) throw new StoreProblem('holds a private key without its certificate');
    const name = alias ?? leaf.alias ?? commonName(leaf.certificate);
    loose.push({ alias: name ?? 'key', key, chain: issuersOf(leaf.certificate, pool) });
  }
  for (const [index, { alias, certificate, marked }] of certificates.entries()) {
    if (!marked && !mere) continue;
    const name = alias ?? commonName(certificate) ?? String(index + 1);
    loose.push({ alias: name, key: undefined, chain: [certificate] });
  }
  return withUniqueAliases(loose);
}

/** Lower-cases the aliases and numbers the repeated ones. */
export function withUniqueAliases(entries: readonly StoreEntry[]): StoreEntry[] {
  const taken = new Set<string>();
  return entries.map((entry) => {
    const base = entry.alias.toLowerCase();
    let alias = base;
    for (let number = 2; taken.has(alias); number += 1) alias = `${base}-${number}`;
    taken.add(alias);
    return { ...entry, alias };
  });
}

function issuersOf(leaf: X509Certificate, pool: readonly X509Certificate[]): StoreEntry['chain'] {
  const chain: [X509Certificate, ...X509Certificate[]] = [leaf];
  for (let last = leaf; ;) {
    const issuer = pool.find(
      (candidate) =>
        !chain.includes(candidate) &&
        last.checkIssued(candidate) &&
        last.verify(candidate.publicKey),
    );
    if (issuer === undefined || issuer.fingerprint256 === last.fingerprint256) return chain;
    chain.push(issuer);
    last = issuer;
  }
}

function commonName(certificate: X509Certificate): string | undefined {
  // `subject` has one attribute a line; of several CNs the last is the most specific (RFC 5280 section 4.1.2.4).
  const lines = certificate.subject?.split('\n') ?? [];
  return lines.findLast((line) => line.startsWith('CN='))?.slice('CN='.length);
}
