import { generateKeyPair, randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import { promisify } from 'node:util';
import forge from 'node-forge';

/** A private key (PKCS #8) and its certificate, both PEM. */
export interface IssuedCertificate {
  readonly key: string;
  readonly cert: string;
}

export interface CertificateOrder {
  readonly commonName: string;
  /** `authority` may sign others (but no further authority); `server` and `client` are for TLS. */
  readonly purpose: 'authority' | 'server' | 'client';
  /** Host names and IP addresses for `subjectAltName`. */
  readonly hosts?: readonly string[];
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** Who signs. Absent: the certificate signs itself. */
  readonly issuer?: IssuedCertificate;
}

const createKeyPair = promisify(generateKeyPair);

/**
 * Makes a key and a certificate for it (X.509 v3, RFC 5280). RSA-2048 with SHA-256: node-forge signs nothing else, and every client of the
 * gateway accepts it.
 */
export async function issueCertificate(order: CertificateOrder): Promise<IssuedCertificate> {
  const { publicKey, privateKey } = await createKeyPair('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(publicKey);
  certificate.serialNumber = serialNumber();
  certificate.validity.notBefore = order.notBefore;
  certificate.validity.notAfter = order.notAfter;
  const subject = [
    { name: 'commonName', value: order.commonName },
    { name: 'organizationName', value: 'Portcullis' },
  ];
  const issuer = order.issuer && forge.pki.certificateFromPem(order.issuer.cert);
  certificate.setSubject(subject);
  certificate.setIssuer(issuer === undefined ? subject : issuer.subject.attributes);
  certificate.setExtensions([
    ...extensions(order),
    { name: 'subjectKeyIdentifier' },
    {
      name: 'authorityKeyIdentifier',
      keyIdentifier: (issuer ?? certificate).generateSubjectKeyIdentifier().getBytes(),
    },
  ]);
  const signer = forge.pki.privateKeyFromPem(order.issuer?.key ?? privateKey);
  certificate.sign(signer, forge.md.sha256.create());
  return { key: privateKey, cert: toUnixLines(forge.pki.certificateToPem(certificate)) };
}

function extensions(order: CertificateOrder): object[] {
  if (order.purpose === 'authority') {
    return [
      { name: 'basicConstraints', critical: true, cA: true, pathLenConstraint: 0 },
      { name: 'keyUsage', critical: true, keyCertSign: true, cRLSign: true },
    ];
  }
  const altNames = (order.hosts ?? []).map((host) =>
    isIP(host) === 0 ? { type: 2, value: host } : { type: 7, ip: host },
  );
  return [
    { name: 'basicConstraints', critical: true, cA: false },
    { name: 'keyUsage', critical: true, digitalSignature: true, keyEncipherment: true },
    {
      name: 'extKeyUsage',
      serverAuth: order.purpose === 'server',
      clientAuth: order.purpose === 'client',
    },
    ...(altNames.length === 0 ? [] : [{ name: 'subjectAltName', altNames }]),
  ];
}

/** Positive, 16 octets, unguessable (RFC 5280 section 4.1.2.2). */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString('hex');
}

function toUnixLines(pem: string): string {
  return pem.replaceAll('\r\n', '\n');
}
