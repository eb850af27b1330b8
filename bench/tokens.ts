import { generateKeyPairSync, randomUUID, sign, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';

const ISSUER = 'https://bench.invalid/oauth2/token';

/** RS256 tokens as WSO2 issues them, about 690 characters each, and ids of others that are revoked. */
export interface BenchTokens {
  readonly issuer: string;
  readonly publicKeyPem: string;
  readonly tokens: readonly string[];
  readonly revokedIds: readonly string[];
  /** So many that nobody has seen, of the same issuer. */
  fresh(count: number): Promise<string[]>;
}

/** Signs on as many threads as Node has for it. */
const signAside = promisify(sign);
/** Signatures asked for at one time. */
const AT_ONCE = 64;

function part(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function signingInput(nowSeconds: number): string {
  return `${part({ typ: 'JWT', alg: 'RS256', kid: 'bench' })}.${part({
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
}

async function issue(key: KeyObject, count: number): Promise<string[]> {
  const now = Math.floor(Date.now() / 1000);
  const tokens: string[] = [];
  while (tokens.length < count) {
    const inputs = Array.from({ length: Math.min(AT_ONCE, count - tokens.length) }, () =>
      signingInput(now),
    );
    const signed = inputs.map(async (input) => {
      const signature = await signAside('sha256', Buffer.from(input), key);
      return `${input}.${signature.toString('base64url')}`;
    });
    tokens.push(...(await Promise.all(signed)));
  }
  return tokens;
}

export async function makeTokens(count: number, revoked: number): Promise<BenchTokens> {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return {
    issuer: ISSUER,
    publicKeyPem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    tokens: await issue(privateKey, count),
    revokedIds: Array.from({ length: revoked }, () => randomUUID()),
    fresh: (count) => issue(privateKey, count),
  };
}
