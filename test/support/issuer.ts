import { generateKeyPairSync, randomUUID, sign, type KeyObject } from 'node:crypto';

/** Algorithms that tests sign with, and how Node names what they need. */
const KEYS = {
  RS256: { type: 'rsa', digest: 'sha256' },
  ES256: { type: 'P-256', digest: 'sha256' },
  ES384: { type: 'P-384', digest: 'sha384' },
  ES512: { type: 'P-521', digest: 'sha512' },
  EdDSA: { type: 'ed25519', digest: null },
} as const;

export type IssuerAlgorithm = keyof typeof KEYS;

/** A token issuer under a test's control: any claims, any algorithm, no server. */
export interface TestIssuer {
  readonly issuer: string;
  readonly publicKeyPem: string;
  /** A token with `sub`, `aud`, `iat`, `exp` and a new `jti` unless `claims` say otherwise; undefined removes one. */
  token(claims?: Readonly<Record<string, unknown>>): string;
}

/** Claims of a compact JWT, unchecked. */
export function claimsOf(jwt: string): Record<string, unknown> & { readonly jti: string } {
  return JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString('utf8')) as {
    jti: string;
  };
}

function keyPair(algorithm: IssuerAlgorithm): { privateKey: KeyObject; publicKey: KeyObject } {
  const { type } = KEYS[algorithm];
  if (type === 'rsa') return generateKeyPairSync('rsa', { modulusLength: 2048 });
  if (type === 'ed25519') return generateKeyPairSync('ed25519');
  return generateKeyPairSync('ec', { namedCurve: type });
}

/** A token whose signature is another's. */
export function badlySigned(issuer: TestIssuer): string {
  const signature = issuer.token().split('.').at(-1) ?? '';
  return issuer.token().replace(/[^.]+$/, signature);
}

export function testIssuer(
  algorithm: IssuerAlgorithm = 'RS256',
  issuer = `https://${algorithm.toLowerCase()}.issuer.invalid/oauth2/token`,
): TestIssuer {
  const { privateKey, publicKey } = keyPair(algorithm);
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return {
    issuer,
    publicKeyPem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    token(claims = {}) {
      const now = Math.floor(Date.now() / 1000);
      const input = `${part({ typ: 'JWT', alg: algorithm })}.${part({
        iss: issuer,
        sub: 'kim',
        aud: 'petstore',
        iat: now,
        exp: now + 3600,
        jti: randomUUID(),
        ...claims,
      })}`;
      const signature = sign(KEYS[algorithm].digest, Buffer.from(input), {
        key: privateKey,
        dsaEncoding: 'ieee-p1363',
      });
      return `${input}.${signature.toString('base64url')}`;
    },
  };
}
