import { constants, generateKeyPairSync, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { GatewayFault } from '../../src/errors.ts';
import { createAuthenticator } from '../../src/auth/authenticate.ts';
import type { Authenticator, Presenter, RouteRules } from '../../src/auth/authenticate.ts';
import type { AuthenticatorOptions } from '../../src/auth/authenticator-options.ts';
import type { Caller } from '../../src/auth/caller.ts';
import type { HttpAnswer, HttpClient, HttpRequest } from '../../src/net/http-client.ts';
import { keysOf, type TokenIdentity } from '../../src/revocation/token-identity.ts';
import { keyOfText } from '../../src/revocation/token-key.ts';
import { vectorsAt } from '../support/conformance.ts';
import { recordedLog } from '../support/recorded-log.ts';

export const ISSUER = 'https://issuer.example/oauth2/token';
export const NOW_MS = 1_790_000_000_000;
export const NOW = NOW_MS / 1_000;
export const DAY_MS = 86_400_000;

export interface KeyPair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/** Signs with any algorithm that the gateway takes. */
const SIGNING: Readonly<
  Record<string, { readonly make: () => KeyPair; readonly digest: string | null }>
> = {
  RS256: { make: () => generateKeyPairSync('rsa', { modulusLength: 2_048 }), digest: 'sha256' },
  RS384: { make: () => generateKeyPairSync('rsa', { modulusLength: 2_048 }), digest: 'sha384' },
  RS512: { make: () => generateKeyPairSync('rsa', { modulusLength: 2_048 }), digest: 'sha512' },
  PS256: { make: () => generateKeyPairSync('rsa', { modulusLength: 2_048 }), digest: 'sha256' },
  PS384: { make: () => generateKeyPairSync('rsa', { modulusLength: 2_048 }), digest: 'sha384' },
  PS512: { make: () => generateKeyPairSync('rsa', { modulusLength: 2_048 }), digest: 'sha512' },
  ES256: { make: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }), digest: 'sha256' },
  ES384: { make: () => generateKeyPairSync('ec', { namedCurve: 'P-384' }), digest: 'sha384' },
  ES512: { make: () => generateKeyPairSync('ec', { namedCurve: 'P-521' }), digest: 'sha512' },
  EdDSA: { make: () => generateKeyPairSync('ed25519'), digest: null },
};
export const ALGORITHMS = Object.keys(SIGNING);

const made = new Map<string, KeyPair>();

/** The test key of an algorithm: made once, as RSA keys take long. All RSA algorithms share one. */
export function keyPair(algorithm: string): KeyPair {
  const name = /^[RP]S/.test(algorithm) ? 'RS256' : algorithm;
  const pair = made.get(name) ?? SIGNING[name]?.make();
  if (pair === undefined) throw new Error(`no such algorithm: ${algorithm}`);
  made.set(name, pair);
  return pair;
}

export function publicJwk(algorithm: string, extra: object = {}): Record<string, unknown> {
  return { ...keyPair(algorithm).publicKey.export({ format: 'jwk' }), ...extra };
}

export function publicPem(algorithm: string): string {
  return keyPair(algorithm).publicKey.export({ type: 'spki', format: 'pem' }).toString();
}

export function signBytes(algorithm: string, key: KeyObject, input: string): Buffer {
  const pss = algorithm.startsWith('PS')
    ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
    : {};
  return sign(SIGNING[algorithm]?.digest ?? null, Buffer.from(input), {
    key,
    dsaEncoding: 'ieee-p1363',
    ...pss,
  });
}

/** Claims of a token that every check passes. */
export function goodClaims(extra: object = {}): Record<string, unknown> {
  return {
    iss: ISSUER,
    sub: 'admin',
    aud: 'http://org.wso2.apimgt/gateway',
    jti: '3ad5672a-afca-4387-9ec5-fcf28785f803',
    iat: NOW - 10,
    exp: NOW + 3_600,
    scope: 'read write',
    ...extra,
  };
}

export function encode(value: unknown): string {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString(
    'base64url',
  );
}

/** A compact JWS; a header or claim set given as text is taken byte for byte. */
export function makeToken(
  options: {
    readonly algorithm?: string;
    readonly header?: object | string;
    readonly claims?: object | string;
    readonly key?: KeyObject;
  } = {},
): string {
  const { algorithm = 'RS256' } = options;
  const header = options.header ?? { alg: algorithm, kid: 'k1', typ: 'JWT' };
  const input = `${encode(header)}.${encode(options.claims ?? goodClaims())}`;
  const key = options.key ?? keyPair(algorithm).privateKey;
  return `${input}.${signBytes(algorithm, key, input).toString('base64url')}`;
}

/** Where the gateway's own calls end in a test: counted, and answered by the test. */
export class FakeHttp implements HttpClient {
  readonly requests: HttpRequest[] = [];
  answer: (request: HttpRequest) => HttpAnswer | Promise<HttpAnswer>;

  constructor(answer: FakeHttp['answer'] = () => Promise.reject(new Error('unreachable'))) {
    this.answer = answer;
  }

  async request(request: HttpRequest): Promise<HttpAnswer> {
    this.requests.push(request);
    return this.answer(request);
  }

  stream(): never {
    throw new Error('nothing streams here');
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

export function jsonAnswer(body: unknown, status = 200): HttpAnswer {
  return { status, headers: {}, body: typeof body === 'string' ? body : JSON.stringify(body) };
}

/** A revocation list of bare values, as events without issuer give them. */
class FakeRevocations {
  readonly revoked = new Set<string>();
  complete = true;
  stale = false;
  checks = 0;

  revoke(value: string): void {
    this.revoked.add(keyOfText('id', null, value));
  }

  check(identity: TokenIdentity): 'revoked' | 'clear' | 'unknown' {
    this.checks += 1;
    if (keysOf(identity).some((key) => this.revoked.has(key))) return 'revoked';
    return this.knowledge() === 'fresh' ? 'clear' : 'unknown';
  }

  knowledge(): 'fresh' | 'stale' | 'never' {
    if (!this.complete) return 'never';
    return this.stale ? 'stale' : 'fresh';
  }
}

/** One authenticator with everything around it in the test's hands. */
export class Stage {
  nowMs = NOW_MS;
  readonly log = recordedLog();
  readonly http: FakeHttp;
  readonly revocations = new FakeRevocations();
  readonly authenticator: Authenticator & { close(): Promise<void> };

  constructor(options: Partial<AuthenticatorOptions> = {}, answer?: FakeHttp['answer']) {
    this.http = new FakeHttp(answer);
    this.authenticator = createAuthenticator({
      issuers: [{ issuer: ISSUER, keys: { kind: 'certificate', pem: publicPem('RS256') } }],
      http: this.http,
      revocations: this.revocations,
      whenUnknown: 'deny',
      whenStale: 'deny',
      log: this.log,
      clockSkewMs: 5_000,
      longestTokenLifeMs: 30 * DAY_MS,
      cache: { maxEntries: 100, maxAgeMs: 900_000 },
      now: () => this.nowMs,
      monotonicNow: () => this.nowMs,
      ...options,
    });
  }

  /** Presents a token as a request does. */
  present(
    token: string,
    scopes: readonly string[] = [],
    whenStale?: RouteRules['whenStale'],
    presenter?: Presenter,
  ): Caller | Promise<Caller> {
    return this.authenticator.authenticate(
      [`Bearer ${token}`],
      { scopes, whenStale },
      'request-1',
      presenter,
    );
  }

  /** What became of it: `admitted`, or the fault's name. */
  async outcome(token: string, scopes: readonly string[] = []): Promise<string> {
    return (await this.refusal(token, scopes))?.fault ?? 'admitted';
  }

  async refusal(token: string, scopes: readonly string[] = []): Promise<GatewayFault | undefined> {
    return refusalOf(() => this.present(token, scopes));
  }

  /** As {@link refusal}, of a token that came from an address. */
  async refusalFrom(clientAddress: string, token: string): Promise<GatewayFault | undefined> {
    return refusalOf(() => this.present(token, [], undefined, { clientAddress }));
  }
}

export async function refusalOf(
  attempt: () => Caller | Promise<Caller>,
): Promise<GatewayFault | undefined> {
  try {
    await attempt();
    return undefined;
  } catch (error) {
    if (error instanceof GatewayFault) return error;
    throw error;
  }
}

/** Everything of a refusal that a client sees. */
export function publicFace(fault: GatewayFault | undefined): unknown {
  return (
    fault && { fault: fault.fault, challenge: fault.challenge, retry: fault.retryAfterSeconds }
  );
}

/** Orders n of the curves. */
const ORDERS: Readonly<Record<string, bigint>> = {
  ES256: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  ES384:
    0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
  ES512:
    0x01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409n,
};

/** The same signature with n - s for s, which verifies as well. */
export function twinOf(algorithm: string, token: string): string {
  const [h = '', p = '', s = ''] = token.split('.');
  const bytes = Buffer.from(s, 'base64url');
  const half = bytes.length / 2;
  const order = ORDERS[algorithm];
  if (order === undefined) return token;
  const twin = (order - BigInt(`0x${bytes.subarray(half).toString('hex')}`)).toString(16);
  bytes.write(twin.padStart(half * 2, '0'), half, 'hex');
  return `${h}.${p}.${bytes.toString('base64url')}`;
}

/** Pads each part to a multiple of four, as WSO2 does. */
export function padded(token: string): string {
  return token
    .split('.')
    .map((part) => part + '='.repeat((4 - (part.length % 4)) % 4))
    .join('.');
}

/** Parsed JSON of one file of public test vectors; undefined where they are not on this machine. */
export function conformance(path: string): unknown {
  const file = vectorsAt(path);
  return file === undefined ? undefined : JSON.parse(readFileSync(file, 'utf8'));
}
