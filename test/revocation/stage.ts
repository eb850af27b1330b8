import type { Clock } from '../../src/revocation/clock.ts';
import type { SourcePolicy } from '../../src/revocation/revocation.ts';
import { RevocationList } from '../../src/revocation/revocation-list.ts';
import { RevocationReader, type ReaderOptions } from '../../src/revocation/reader.ts';
import type { RuleKind } from '../../src/revocation/rule.ts';
import { keysOf, type TokenIdentity } from '../../src/revocation/token-identity.ts';

export const SECRET = new Uint8Array(32).fill(7);
const ALL_RULES: ReadonlySet<RuleKind> = new Set([
  'subject',
  'session',
  'client',
  'claims',
  'issuer',
  'lift',
]);

/** What a source may say, where a test does not care. */
export const POLICY: SourcePolicy = {
  ttlUnit: 'auto',
  longestTokenLifeMs: 86_400_000,
  rules: ALL_RULES,
  clockSkewMs: 5_000,
};

/** The list and a reader of it, as one thread has them; what outlives its entry is prolonged at once. */
export function listAndReader(
  clock: Clock,
  marginMs: number,
  options: Partial<ReaderOptions> & { readonly maxEntries?: number } = {},
): { list: RevocationList; reader: RevocationReader; full: string[] } {
  const full: string[] = [];
  const list = new RevocationList({
    clock,
    secret: SECRET,
    marginMs,
    maxEntries: options.maxEntries ?? 10_000,
    onFull: (source) => full.push(source),
  });
  const reader = new RevocationReader(list.shared, {
    maxStalenessMs: 60_000,
    clockSkewMs: 5_000,
    staleInGap: false,
    consumerKeyClaims: [],
    onOutlived: (prints, at, expiresAtMs) => list.prolong(prints, at, expiresAtMs),
    ...options,
  });
  return { list, reader, full };
}

/** What an identity says of a token with these names, for every issuer. */
export function named(...names: readonly string[]): Pick<TokenIdentity, 'digests' | 'scopes'> {
  return { digests: names.map((digest) => ({ kind: 'id', digest })), scopes: [null] };
}

/** The same names as the list knows them. */
export function keysNamed(...names: readonly string[]): string[] {
  return keysOf({ ...named(...names), expiresAtMs: 0 });
}
