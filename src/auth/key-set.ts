import { createHash } from 'node:crypto';
import { readJwk } from './jwk.ts';
import type { KeyLookup, VerificationKey } from './key-ring.ts';
import { member, parseJsonObject } from '../strict-json.ts';

/** Keys in one set; more are taken for garbage. */
const MAX_KEYS = 100;

/**
 * The usable keys of one JWK Set (RFC 7517 section 5) and the look-up of the one key a token may be verified with. Pure: knows no
 * network and no clock.
 */
export class KeySet {
  readonly #byKid = new Map<string, VerificationKey[]>();
  readonly #keys: readonly VerificationKey[];

  constructor(keys: readonly VerificationKey[]) {
    this.#keys = keys;
    for (const key of keys) {
      if (key.kid === undefined) continue;
      const same = this.#byKid.get(key.kid);
      if (same === undefined) this.#byKid.set(key.kid, [key]);
      else same.push(key);
    }
  }

  get size(): number {
    return this.#keys.length;
  }

  /**
   * The key with this `kid` that serves this `alg`; for a token without `kid` the only key that serves it (RFC 7515 section 4.1.4). Two
   * candidates are none: which of them is meant cannot be told.
   */
  lookUp(algorithm: string, kid: string | undefined): KeyLookup {
    const named = kid === undefined ? this.#keys : (this.#byKid.get(kid) ?? []);
    if (named.length === 0) return { outcome: 'absent' };
    const [key, second] = named.filter((candidate) => candidate.algorithms.has(algorithm));
    if (second !== undefined)
      return { outcome: 'refused', reason: 'more than one key could be meant' };
    if (key !== undefined) return { outcome: 'key', key };
    return kid === undefined
      ? { outcome: 'absent' }
      : { outcome: 'refused', reason: 'the key does not serve the algorithm' };
  }

  /** Whether every key of the other set is in this one too, unchanged. */
  keepsAllOf(other: KeySet): boolean {
    const mine = new Set(this.#keys.map(fingerprint));
    return other.#keys.every((key) => mine.has(fingerprint(key)));
  }
}

function fingerprint(key: VerificationKey): string {
  return createHash('sha256')
    .update(key.key.export({ type: 'spki', format: 'der' }))
    .update(JSON.stringify([key.kid ?? null, [...key.algorithms].sort()]))
    .digest('base64url');
}

/** What one answer of a keys endpoint came to. */
interface ReadKeySet {
  readonly set: KeySet;
  /** Why single keys are not used, for the log. */
  readonly dropped: readonly string[];
}

/**
 * Reads a JWK Set. Keys that cannot be used are dropped and the rest is used.
 * @param algorithms what keys without `alg` serve
 * @throws Error when there is no usable key in it, with a message for the log
 */
export function readKeySet(body: string, algorithms?: readonly string[]): ReadKeySet {
  const json = parseJsonObject(Buffer.from(body));
  const entries: unknown = json === undefined ? undefined : member(json, 'keys');
  if (!Array.isArray(entries)) throw new Error('the answer is not a JWK Set');
  if (entries.length > MAX_KEYS) throw new Error(`the set has more than ${MAX_KEYS} keys`);
  const dropped: string[] = [];
  const usable: VerificationKey[] = [];
  for (const [index, entry] of entries.entries()) {
    const key = readJwk(entry, algorithms);
    if (typeof key === 'string') dropped.push(`key ${index + 1}: ${key}`);
    else usable.push(key);
  }
  if (usable.length === 0)
    throw new Error(['the set has no usable key', ...dropped.slice(0, 5)].join('; '));
  return { set: new KeySet(usable), dropped };
}
