import { hash } from 'node:crypto';
import { nameOfRule, type Rule } from '../revocation/rule.ts';

/**
 * The id by which a rule is shown and lifted: `r-` and 96 bits of SHA-256 over its name, the same on every gateway. The cut-off and the end
 * are no part of it: two rules with one name are one rule.
 */
export function idOfRule(rule: Pick<Rule, 'issuer' | 'claims'>): string {
  return `r-${idOf(nameOfRule(rule))}`;
}

/** Id of the record of a lift of a rule. */
export function idOfLift(rule: Pick<Rule, 'issuer' | 'claims'>): string {
  return `l-${idOf(nameOfRule(rule))}`;
}

/** Id of a revoked token: `t-` and the words of one of its names' fingerprints, 96 bits, which only this installation can make. */
export function idOfToken(words: Uint32Array, at = 0): string {
  const bytes = Buffer.alloc(12);
  for (let i = 0; i < 3; i += 1) bytes.writeUInt32BE(words[at + i] ?? 0, i * 4);
  return `t-${bytes.toString('base64url')}`;
}

/** The fingerprint in the id of a token; undefined when the id is none. */
export function fingerprintOfId(id: string): Uint32Array | undefined {
  if (!/^t-[A-Za-z0-9_-]{16}$/.test(id)) return undefined;
  const bytes = Buffer.from(id.slice(2), 'base64url');
  return Uint32Array.of(bytes.readUInt32BE(0), bytes.readUInt32BE(4), bytes.readUInt32BE(8));
}

/** 12 bytes are 16 characters of base64url exactly: no two spellings. */
function idOf(name: string): string {
  const text = name.isWellFormed() ? name : JSON.stringify(name);
  return hash('sha256', text, 'buffer').subarray(0, 12).toString('base64url');
}
