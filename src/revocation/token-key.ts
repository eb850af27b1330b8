import { hash } from 'node:crypto';

/**
 * The name of a revocation: made of digests, so that no token text stays in memory (invariant 6) and every spelling of one thing has one
 * name (invariant 5). The list knows names by their fingerprints (fingerprint.ts). `issuer` null means: whichever issuer.
 *
 * - `id`: a `jti` or an opaque token. One kind for both, as a bare value in an event does not say which it is.
 * - `signature`: the decoded bytes of a JWT's third part, in one canonical form.
 * - `input`: the signing input of a JWT, for revocations that carry the whole token and for tokens without `jti`.
 */
export type TokenKeyKind = 'id' | 'signature' | 'input';

/** SHA-256 of a text's exact UTF-8 bytes, base64url. Lone surrogates are told apart, which plain UTF-8 encoding would not do. */
export function digestOf(text: string): string {
  return hash('sha256', text.isWellFormed() ? text : JSON.stringify(text), 'base64url');
}

/** The same of bytes. */
export function digestOfBytes(bytes: Uint8Array): string {
  return hash('sha256', bytes, 'base64url');
}

/** First letter of a key: its kind, in upper case where it holds for one issuer only. */
const CLASS: Readonly<Record<TokenKeyKind, string>> = { id: 'i', signature: 's', input: 'n' };
const LOWER_TO_UPPER = 0x20;

/**
 * Key for a value that was digested already: how opaque tokens travel on the event stream. Begins with its class, so that a list can pass
 * over the classes that it holds nothing of.
 */
export function keyOfDigest(kind: TokenKeyKind, issuer: string | null, digest: string): string {
  const letter = issuer === null ? CLASS[kind] : CLASS[kind].toUpperCase();
  return letter + JSON.stringify([issuer, digest]);
}

/** The class of a key as a small number below 128. */
export function classOfKey(key: string): number {
  return key.charCodeAt(0) & 127;
}

/** The class of {@link keyOfDigest} of these, without making the key. */
export function classOf(kind: TokenKeyKind, issuer: string | null): number {
  return issuer === null ? CLASS[kind].charCodeAt(0) : CLASS[kind].charCodeAt(0) - LOWER_TO_UPPER;
}

export function keyOfText(kind: TokenKeyKind, issuer: string | null, text: string): string {
  return keyOfDigest(kind, issuer, digestOf(text));
}

export function keyOfBytes(kind: TokenKeyKind, issuer: string | null, bytes: Uint8Array): string {
  return keyOfDigest(kind, issuer, digestOfBytes(bytes));
}
