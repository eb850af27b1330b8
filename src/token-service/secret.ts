import { createHmac, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { unavailable } from './oauth-error.ts';

/** Made anew in every process: a digest under it tells nothing outside, and equal digests mean equal secrets. */
const processKey = randomBytes(32);

const SCRYPT =
  /^scrypt:(\d{1,8}):(\d{1,3}):(\d{1,3}):([A-Za-z0-9_-]{16,128}):([A-Za-z0-9_-]{43,128})$/;
/** The numbers OWASP recommends for scrypt: 128 MiB would be more than a small machine has, so N = 2^15, r = 8, p = 3. */
const COST = { N: 32_768, r: 8, p: 3 } as const;
const MAX_MEMORY = 128 * 1024 * 1024;
/** Key derivations at one time; more wait, and beyond that the answer is 503. Failed logins must not take the machine. */
const MAX_RUNNING = 2;
const MAX_WAITING = 32;

let running = 0;
const waiting: (() => void)[] = [];

/** A configured secret, in a form that can only be compared. The text itself is not kept. */
export interface Secret {
  /** Constant time for a given kind of secret. Rejects with a 503 OAuthError when too many derivations are under way. */
  matches(candidate: string): Promise<boolean>;
}

/**
 * Takes a secret as the credentials file has it: the text, or `scrypt:N:r:p:salt:hash` as {@link hashSecret} makes it. Throws RangeError
 * for a hash that cannot be used.
 */
export function secretOf(configured: string): Secret {
  if (configured.startsWith('scrypt:')) return hashedSecret(configured);
  const expected = digest(configured);
  return { matches: (candidate) => Promise.resolve(equal(expected, candidate)) };
}

/** Whether a configured secret is a hash, and so may stand in a file that others can read. */
export function isHashed(configured: string): boolean {
  return configured.startsWith('scrypt:');
}

/** `scrypt:N:r:p:salt:hash` of a secret, for the credentials file. */
export async function hashSecret(secret: string): Promise<string> {
  const salt = randomBytes(16);
  const hash = await derive(secret, salt, 32, COST);
  const { N, r, p } = COST;
  return `scrypt:${N}:${r}:${p}:${salt.toString('base64url')}:${hash.toString('base64url')}`;
}

function hashedSecret(configured: string): Secret {
  const [, N, r, p, salt, hash] = SCRYPT.exec(configured) ?? [];
  const cost = { N: Number(N), r: Number(r), p: Number(p) };
  const usable =
    salt !== undefined &&
    hash !== undefined &&
    Number.isInteger(Math.log2(cost.N)) &&
    cost.N >= 16_384 &&
    cost.r >= 1 &&
    cost.p >= 1 &&
    cost.p <= 16 &&
    128 * cost.N * cost.r < MAX_MEMORY;
  if (!usable) throw new RangeError('not a usable scrypt:N:r:p:salt:hash');
  const expected = Buffer.from(hash, 'base64url');
  const saltBytes = Buffer.from(salt, 'base64url');
  let proved: Buffer | undefined;
  return {
    async matches(candidate) {
      // Once proved right, the same secret costs one HMAC from then on.
      if (proved !== undefined && equal(proved, candidate)) return true;
      const derived = await inTurn(() => derive(candidate, saltBytes, expected.length, cost));
      if (!timingSafeEqual(derived, expected)) return false;
      proved = digest(candidate);
      return true;
    },
  };
}

async function inTurn<T>(work: () => Promise<T>): Promise<T> {
  if (running >= MAX_RUNNING) {
    if (waiting.length >= MAX_WAITING) throw unavailable('Too many logins at one time');
    await new Promise<void>((resolve) => {
      waiting.push(resolve);
    });
  } else {
    running += 1;
  }
  try {
    return await work();
  } finally {
    const next = waiting.shift();
    if (next === undefined) running -= 1;
    else next();
  }
}

function derive(
  secret: string,
  salt: Buffer,
  length: number,
  cost: { N: number; r: number; p: number },
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(secret, salt, length, { ...cost, maxmem: 2 * MAX_MEMORY }, (error, key) => {
      if (error) reject(error);
      else resolve(key);
    });
  });
}

function digest(secret: string): Buffer {
  return createHmac('sha256', processKey).update(secret, 'utf8').digest();
}

function equal(expected: Buffer, candidate: string): boolean {
  return timingSafeEqual(expected, digest(candidate));
}
