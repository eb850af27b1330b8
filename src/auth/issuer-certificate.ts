import { X509Certificate, createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { OperatorError } from '../errors.ts';
import { servedAlgorithms, weakness } from './jwk.ts';
import type { KeyLookup, KeyRing, Renewal, VerificationKey } from './key-ring.ts';

/** The configured key of an issuer cannot be used. */
export class IssuerKeyError extends OperatorError {
  readonly issuer: string;

  constructor(issuer: string, why: string, cause: unknown) {
    super('ERR_ISSUER_KEY', `the key of issuer ${JSON.stringify(issuer)} ${why}`, { cause });
    this.issuer = issuer;
  }
}

/**
 * The one key of an issuer that is configured by certificate (or bare public key). Which key is settled, so a token's `kid` and `x5t`
 * do not matter: WSO2 writes the alias or a hash of its own making there.
 */
export class IssuerCertificate implements KeyRing {
  readonly generation = 0;
  readonly #key: VerificationKey;

  /**
   * @param pem certificate or public key
   * @param algorithms what the key serves; absent: its type's default
   * @throws IssuerKeyError
   */
  constructor(issuer: string, pem: string, algorithms?: readonly string[]) {
    this.#key = readPem(issuer, pem, algorithms);
  }

  counts(): boolean {
    return true;
  }

  lookUp(algorithm: string): KeyLookup {
    return this.#key.algorithms.has(algorithm)
      ? { outcome: 'key', key: this.#key }
      : { outcome: 'refused', reason: 'the key does not serve the algorithm' };
  }

  renew(): Promise<Renewal> {
    return Promise.resolve({ outcome: 'current' });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function readPem(issuer: string, pem: string, algorithms?: readonly string[]): VerificationKey {
  const refuse = (why: string, cause?: unknown): IssuerKeyError =>
    new IssuerKeyError(issuer, why, cause);
  if (pem.includes('PRIVATE KEY')) throw refuse('is a private key');
  let key: KeyObject;
  let validity: Pick<VerificationKey, 'notBeforeMs' | 'notAfterMs'> = {};
  try {
    if (pem.includes('BEGIN CERTIFICATE')) {
      const certificate = new X509Certificate(pem);
      key = certificate.publicKey;
      validity = {
        notBeforeMs: certificate.validFromDate.getTime(),
        notAfterMs: certificate.validToDate.getTime(),
      };
    } else {
      key = createPublicKey(pem);
    }
  } catch (error) {
    throw refuse('cannot be read as a PEM certificate or public key', error);
  }
  const weak = weakness(key);
  if (weak !== undefined) throw refuse(`must not be used: ${weak}`);
  const served = servedAlgorithms(key, algorithms);
  if (served.size === 0) throw refuse("fits none of the issuer's algorithms");
  return { kid: undefined, key, algorithms: served, ...validity };
}
