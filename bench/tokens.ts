import { generateKeyPairSync, randomUUID, sign, type KeyObject } from 'node:crypto';

const ISSUER = 'https://bench.invalid/oauth2/token';

/** RS256 tokens as WSO2 issues them, about 690 characters each, and ids of others that are revoked. */
export interface BenchTokens {
  readonly issuer: string;
  readonly publicKeyPem: string;
  readonly tokens: readonly string[];
  readonly revokedIds: readonly string[];
}

function part(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function issue(key: KeyObject, nowSeconds: number): string {
  const input = `${part({ typ: 'JWT', alg: 'RS256', kid: 'bench' })}.${part({
    aud: 'http://org.wso2.apimgt/gateway',
    sub: 'admin',
    scope: 'am_application_scope default',
    iss: ISSUER,
    keytype: 'PRODUCTION',
    consumerKey: 'JFN2bFBrW7IGcAiZ2uedS36R7Aca',
    iat: nowSeconds,
    exp: nowSeconds + 86_400,
    jti: randomUUID(),
  })}`;
  return `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`;
}

export function makeTokens(count: number, revoked: number): BenchTokens {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const now = Math.floor(Date.now() / 1000);
  return {
    issuer: ISSUER,
    publicKeyPem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    tokens: Array.from({ length: count }, () => issue(privateKey, now)),
    revokedIds: Array.from({ length: revoked }, () => randomUUID()),
  };
}
