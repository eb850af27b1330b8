import { isIP, isIPv6 } from 'node:net';
import { OperatorError } from '../errors.ts';
import { isHashed, type Secret, secretOf } from './secret.ts';

/** Tokens of a client: self-contained (RFC 9068 in spirit, WSO2's claims), or a random string that only introspection explains. */
export type TokenFormat = 'jwt' | 'opaque';

/** An OAuth 2 client (RFC 6749 section 2): who may ask for tokens. */
export interface Client {
  readonly id: string;
  readonly secret: Secret;
  /** Scopes it may ask for; all of them are granted when it asks for none. */
  readonly scopes: readonly string[];
  /** May revoke other clients' tokens, and `jti`s that are unknown here. */
  readonly revokeAny: boolean;
  /** May introspect other clients' tokens: for gateways and resource servers. */
  readonly introspectAny: boolean;
  readonly tokenFormat: TokenFormat;
  readonly tokenLifeSeconds: number | undefined;
  /** `sub` of its tokens. */
  readonly subject: string;
  readonly audience: readonly string[];
  /** WSO2's claim `keytype`: which endpoints of an API its tokens select. */
  readonly keytype: 'PRODUCTION' | 'SANDBOX';
}

/** Someone with a password for the internal endpoints. Readers see revocations and introspect; the admin is the first of them. */
export interface User {
  readonly name: string;
  readonly secret: Secret;
}

/** Everyone whom a token service knows. */
export interface Credentials {
  readonly clients: readonly Client[];
  readonly users: readonly User[];
  /** Common names or DNS names of the client certificates that may open the event stream. */
  readonly readerCertificates: readonly string[];
  /** True when every secret is a hash. */
  readonly allHashed: boolean;
}

/** The audience that WSO2's key manager writes and its gateways expect. */
const DEFAULT_AUDIENCE = 'http://org.wso2.apimgt/gateway';

/** Passwords that everyone knows: WSO2's and RabbitMQ's own defaults, this documentation's, and what is tried first. */
const WELL_KNOWN = [
  'admin',
  'administrator',
  'root',
  'guest',
  'user',
  'test',
  'secret',
  'password',
  'changeit',
  'changeme',
  'wso2carbon',
  'ballerina',
  'portcullis',
  '12345678',
  '123456',
  'letmein',
];

const NAME = /^[\x21-\x39\x3b-\x7e]{1,200}$/;
/** RFC 6749 section 3.3. */
export const SCOPE_TOKEN = /^[\x21\x23-\x5b\x5d-\x7e]{1,200}$/;

type Fields = Readonly<Record<string, unknown>>;

/**
 * Reads the parsed content of a credentials file (see docs/token-service.md). Throws OperatorError ERR_TOKEN_SERVICE_CREDENTIALS with the
 * place inside it, never with a secret.
 */
export function credentialsOf(content: unknown, file: string): Credentials {
  const complain = (message: string): never => {
    throw new OperatorError('ERR_TOKEN_SERVICE_CREDENTIALS', message, { file });
  };
  let allHashed = true;
  const names = new Set<string>();

  const fields = (value: unknown, place: string, known: readonly string[]): Fields => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      return complain(`${place} must be a table`);
    }
    const stranger = Object.keys(value).find((key) => !known.includes(key));
    if (stranger !== undefined) {
      complain(
        `${place} has the unknown key ${JSON.stringify(stranger)}; known are ${known.join(', ')}`,
      );
    }
    return value as Fields;
  };
  const list = (value: unknown, place: string): readonly unknown[] =>
    value === undefined ? [] : Array.isArray(value) ? value : complain(`${place} must be a list`);
  const name = (value: unknown, place: string): string => {
    if (typeof value !== 'string' || !NAME.test(value)) {
      return complain(`${place} must be 1 to 200 visible ASCII characters without a colon`);
    }
    if (names.has(value)) complain(`${place} is used twice`);
    names.add(value);
    return value;
  };
  const secret = (value: unknown, place: string): Secret => {
    if (typeof value !== 'string' || value === '') {
      return complain(`${place} must be a string that is not empty`);
    }
    allHashed &&= isHashed(value);
    try {
      return secretOf(value);
    } catch {
      return complain(`${place} starts like a scrypt hash, but is none that can be used`);
    }
  };
  const flag = (value: unknown, place: string): boolean =>
    value === undefined
      ? false
      : typeof value === 'boolean'
        ? value
        : complain(`${place} must be true or false`);
  const oneOf = <T extends string>(
    value: unknown,
    choices: readonly [T, ...T[]],
    place: string,
  ): T =>
    value === undefined
      ? choices[0]
      : (choices.find((choice) => choice === value) ??
        complain(`${place} must be ${choices.join(' or ')}`));
  const texts = (value: unknown, place: string): string[] =>
    list(value, place).map((item) =>
      typeof item === 'string' && item !== '' ? item : complain(`${place} must hold strings`),
    );

  const readUser = (value: unknown, place: string): User => {
    const user = fields(value, place, ['username', 'password']);
    return {
      name: name(user['username'], `${place}.username`),
      secret: secret(user['password'], `${place}.password`),
    };
  };
  const readClient = (value: unknown, place: string): Client => {
    const client = fields(value, place, CLIENT_KEYS);
    const id = name(client['id'], `${place}.id`);
    const scopes = texts(client['scopes'], `${place}.scopes`);
    if (!scopes.every((scope) => SCOPE_TOKEN.test(scope))) {
      complain(`${place}.scopes holds something that is no scope (RFC 6749 section 3.3)`);
    }
    const life = client['tokenLifeSeconds'];
    if (life !== undefined && !(Number.isSafeInteger(life) && (life as number) > 0)) {
      complain(`${place}.tokenLifeSeconds must be a whole number above zero`);
    }
    const audience = client['audience'];
    const subject = client['subject'] ?? id;
    return {
      id,
      secret: secret(client['secret'], `${place}.secret`),
      scopes: [...new Set(scopes)],
      revokeAny: flag(client['revokeAny'], `${place}.revokeAny`),
      introspectAny: flag(client['introspectAny'], `${place}.introspectAny`),
      tokenFormat: oneOf(client['tokenFormat'], ['jwt', 'opaque'], `${place}.tokenFormat`),
      tokenLifeSeconds: life as number | undefined,
      subject:
        typeof subject === 'string' && subject !== ''
          ? subject
          : complain(`${place}.subject must be a string`),
      audience:
        audience === undefined
          ? [DEFAULT_AUDIENCE]
          : texts(typeof audience === 'string' ? [audience] : audience, `${place}.audience`),
      keytype: oneOf(client['keytype'], ['PRODUCTION', 'SANDBOX'], `${place}.keytype`),
    };
  };

  const root = fields(content, 'the file', ['admin', 'readers', 'clients']);
  const users = root['admin'] === undefined ? [] : [readUser(root['admin'], 'admin')];
  const readerCertificates: string[] = [];
  for (const [index, reader] of list(root['readers'], 'readers').entries()) {
    const place = `readers[${index}]`;
    if (typeof reader === 'object' && reader !== null && 'certificate' in reader) {
      const { certificate } = fields(reader, place, ['certificate']);
      readerCertificates.push(...texts([certificate], `${place}.certificate`));
    } else {
      users.push(readUser(reader, place));
    }
  }
  const clients = list(root['clients'], 'clients').map((client, index) =>
    readClient(client, `clients[${index}]`),
  );
  if (users.length === 0 && clients.length === 0) complain('the file names nobody');
  return { clients, users, readerCertificates, allHashed };
}

const CLIENT_KEYS = [
  'id',
  'secret',
  'scopes',
  'revokeAny',
  'introspectAny',
  'tokenFormat',
  'tokenLifeSeconds',
  'subject',
  'audience',
  'keytype',
];

/**
 * A well-known password, or one equal to its name, serves only a listener that this machine alone can reach. Throws OperatorError
 * ERR_TOKEN_SERVICE_WELL_KNOWN_PASSWORD.
 */
export async function refuseWellKnownPasswords(
  credentials: Credentials,
  host: string,
): Promise<void> {
  if (isLoopback(host)) return;
  const everyone = [
    ...credentials.users,
    ...credentials.clients.map(({ id, secret }) => ({ name: id, secret })),
  ];
  for (const { name, secret } of everyone) {
    for (const guess of [...WELL_KNOWN, name]) {
      if (await secret.matches(guess)) {
        throw new OperatorError(
          'ERR_TOKEN_SERVICE_WELL_KNOWN_PASSWORD',
          `${name} has a well-known password, and ${host} can be reached from other machines`,
        );
      }
    }
  }
}

/** A host in its usual spelling: an IPv4 address that is written as IPv6 (RFC 4291 section 2.5.5.2) as IPv4, IPv6 without IPv4 in it. */
export function plainHost(host: string): string {
  // A zone is no part of a URL.
  if (!isIPv6(host) || host.includes('%')) return host;
  const address = new URL(`http://[${host}]`).hostname.slice(1, -1);
  const [, high, low] = /^::ffff:([0-9a-f]+):([0-9a-f]+)$/.exec(address) ?? [];
  if (high === undefined || low === undefined) return address;
  const bytes = [high, low].flatMap((part) => {
    const value = Number.parseInt(part, 16);
    return [value >> 8, value & 255];
  });
  return bytes.join('.');
}

/** Whether only this machine can reach a listener on `host`. */
export function isLoopback(host: string): boolean {
  if (host === 'localhost' || host === '::1') return true;
  return isIP(host) === 4 && host.startsWith('127.');
}
