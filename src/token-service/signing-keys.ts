import { createPublicKey, hash, type webcrypto, X509Certificate } from 'node:crypto';
import {
  calculateJwkThumbprint,
  compactVerify,
  createLocalJWKSet,
  exportJWK,
  exportPKCS8,
  generateKeyPair,
  importPKCS8,
  type JWK,
  type JWTPayload,
  SignJWT,
} from 'jose';
import { OperatorError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { TokenDatabase } from './database.ts';
import {
  deadBefore,
  type Settings,
  SIGNING_ALGORITHMS,
  type SigningAlgorithm,
  type TokenServiceOptions,
} from './options.ts';

interface SigningKey {
  readonly kid: string;
  readonly algorithm: string;
  readonly privateKey: webcrypto.CryptoKey;
  /** What the key set shows: public members only (RFC 7517). */
  readonly publicJwk: JWK;
  /** Epoch milliseconds. */
  readonly signsFromMs: number;
}

/** The only members of a key that ever leave this file; a list of what may, not of what may not. */
const PUBLIC_MEMBERS = ['kty', 'n', 'e', 'crv', 'x', 'y'] as const;

/**
 * The keys that sign tokens. Each is published for `keyLeadSeconds` before it signs, signs for `keyLifeSeconds`, and stays published until
 * the last token it may have signed is dead. They live in the database file.
 */
export class SigningKeys {
  readonly #database: TokenDatabase;
  readonly #settings: Settings;
  readonly #log: Log;
  /** By the time they start to sign, oldest first. */
  #keys: readonly SigningKey[];
  readonly #fixed: SigningKey | undefined;
  #turning: Promise<void> | undefined;

  private constructor(
    database: TokenDatabase,
    settings: Settings,
    log: Log,
    keys: readonly SigningKey[],
    fixed: SigningKey | undefined,
  ) {
    this.#database = database;
    this.#settings = settings;
    this.#log = log;
    this.#keys = keys;
    this.#fixed = fixed;
  }

  /** Loads the keys, and makes the first one. Rejects with OperatorError for an unusable `signingKey`. */
  static async open(
    database: TokenDatabase,
    settings: Settings,
    options: TokenServiceOptions,
  ): Promise<SigningKeys> {
    const rows = database.sql
      .prepare('SELECT * FROM signing_keys ORDER BY signs_from_ms, kid')
      .all();
    const keys = await Promise.all(
      rows.map((row) =>
        loadKey(String(row['private_key']), String(row['algorithm']), Number(row['signs_from_ms'])),
      ),
    );
    const fixed = options.signingKey && (await loadFixedKey(options.signingKey));
    const signing = new SigningKeys(database, settings, options.log, keys, fixed);
    await signing.turn();
    return signing;
  }

  /** The key set that verifies every token alive (RFC 7517 section 5). */
  jwks(): { keys: JWK[] } {
    return {
      keys: [...(this.#fixed ? [this.#fixed] : []), ...this.#keys].map((key) => key.publicJwk),
    };
  }

  /** A signed JWT with these claims. */
  async sign(claims: JWTPayload): Promise<string> {
    const key = this.#fixed ?? this.#current();
    const { x5t } = key.publicJwk;
    return await new SignJWT(claims)
      .setProtectedHeader({
        alg: key.algorithm,
        typ: 'JWT',
        kid: key.kid,
        ...(x5t === undefined ? {} : { x5t }),
      })
      .sign(key.privateKey);
  }

  /** Whether a JWT was signed with one of these keys, whatever it says and whenever it ends. */
  async verifies(text: string): Promise<boolean> {
    try {
      await compactVerify(text, createLocalJWKSet(this.jwks()));
      return true;
    } catch {
      return false;
    }
  }

  /** Makes the next key when it is time, and drops those that nothing depends on any more. Call it often. */
  async turn(): Promise<void> {
    this.#turning ??= this.#turn(false).finally(() => {
      this.#turning = undefined;
    });
    await this.#turning;
  }

  /** Publishes a new key now; it signs after `keyLeadSeconds`. No effect with a fixed key, or when one is waiting already. */
  async rotate(): Promise<void> {
    await this.#turning;
    await this.#turn(true);
  }

  #current(): SigningKey {
    const now = this.#settings.now();
    const key = this.#keys.findLast(({ signsFromMs }) => signsFromMs <= now) ?? this.#keys[0];
    if (key === undefined) throw new Error('no signing key');
    return key;
  }

  async #turn(early: boolean): Promise<void> {
    await this.#dropRetired();
    if (this.#fixed !== undefined) return;
    const now = this.#settings.now();
    const newest = this.#keys.at(-1);
    if (newest === undefined) {
      await this.#add(now);
      return;
    }
    const lead = this.#settings.keyLeadSeconds * 1000;
    const due = newest.signsFromMs + this.#settings.keyLifeSeconds * 1000;
    if (early ? newest.signsFromMs <= now : due - lead <= now) {
      await this.#add(early ? now + lead : Math.max(due, now + lead));
    }
  }

  async #add(signsFromMs: number): Promise<void> {
    const { algorithm } = this.#settings;
    const { privateKey } = await generateKeyPair(algorithm, { extractable: true });
    const pem = await exportPKCS8(privateKey);
    const key = await loadKey(pem, algorithm, signsFromMs);
    await this.#database.commit(() =>
      this.#database.sql
        .prepare(
          'INSERT INTO signing_keys (kid, algorithm, private_key, signs_from_ms) VALUES (?, ?, ?, ?)',
        )
        .run(key.kid, algorithm, pem, signsFromMs),
    );
    this.#keys = [...this.#keys, key];
    this.#log.info(
      'TokenService',
      `signing key ${key.kid} (${algorithm}) is published and signs from ${new Date(signsFromMs).toISOString()}`,
    );
  }

  async #dropRetired(): Promise<void> {
    const before = deadBefore(this.#settings);
    const life = this.#settings.longestTokenLifeSeconds * 1000;
    const retired = this.#keys.filter((_, index) => {
      const successor = this.#keys[index + 1];
      return successor !== undefined && successor.signsFromMs + life < before;
    });
    for (const key of retired) {
      await this.#database.commit(() =>
        this.#database.sql.prepare('DELETE FROM signing_keys WHERE kid = ?').run(key.kid),
      );
      this.#keys = this.#keys.filter(({ kid }) => kid !== key.kid);
      this.#log.info('TokenService', `signing key ${key.kid} is retired`);
    }
  }
}

async function loadKey(pem: string, algorithm: string, signsFromMs: number): Promise<SigningKey> {
  const privateKey = await importPKCS8(pem, algorithm);
  const whole = await exportJWK(createPublicKey(pem));
  const shown: JWK = Object.fromEntries(
    PUBLIC_MEMBERS.flatMap((member) =>
      whole[member] === undefined ? [] : [[member, whole[member]]],
    ),
  );
  const kid = await calculateJwkThumbprint(shown);
  return {
    kid,
    algorithm,
    privateKey,
    publicJwk: { ...shown, kid, alg: algorithm, use: 'sig' },
    signsFromMs,
  };
}

/** RSA keys sign RS256 here, elliptic ones what their curve calls for. */
async function loadFixedKey({
  privateKey,
  certificate,
}: NonNullable<TokenServiceOptions['signingKey']>): Promise<SigningKey> {
  try {
    const publicKey = createPublicKey(privateKey);
    const key = await loadKey(privateKey, algorithmOf(publicKey), 0);
    if (certificate === undefined) return key;
    const x509 = new X509Certificate(certificate);
    if (!x509.publicKey.equals(publicKey))
      throw new Error('the certificate belongs to another key');
    return {
      ...key,
      publicJwk: {
        ...key.publicJwk,
        x5c: [x509.raw.toString('base64')],
        x5t: hash('sha1', x509.raw, 'base64url'),
        'x5t#S256': hash('sha256', x509.raw, 'base64url'),
      },
    };
  } catch (error) {
    // OpenSSL's messages do not quote the key.
    const reason = error instanceof Error ? error.message : String(error);
    throw new OperatorError(
      'ERR_TOKEN_SERVICE_OPTION',
      `the signing key cannot be used: ${reason}`,
    );
  }
}

function algorithmOf(key: ReturnType<typeof createPublicKey>): SigningAlgorithm {
  const { namedCurve, modulusLength } = key.asymmetricKeyDetails ?? {};
  const byCurve = { prime256v1: 'ES256', secp384r1: 'ES384', secp521r1: 'ES512' } as const;
  if (key.asymmetricKeyType === 'rsa' && (modulusLength ?? 0) >= 2048) return 'RS256';
  if (key.asymmetricKeyType === 'ed25519') return 'EdDSA';
  const found = Object.entries(byCurve).find(([curve]) => curve === namedCurve)?.[1];
  if (found === undefined) {
    throw new Error(
      `it fits none of ${SIGNING_ALGORITHMS.join(', ')}, or has less than 2,048 bits`,
    );
  }
  return found;
}
