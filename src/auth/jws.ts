import { verifySignature } from './algorithm.ts';
import { decodeBase64url, stripPadding } from './base64url.ts';
import { type JoseHeader, looksLikeHeader, readHeader } from './jose-header.ts';
import type { VerificationKey } from './key-ring.ts';
import { invalidToken } from './refusal.ts';

/** A JWS in compact serialisation (RFC 7515 section 7.1), decoded and canonical, not verified. */
export interface Jws extends JoseHeader {
  /** First two parts and their dot, without padding. */
  readonly signingInput: string;
  /** The signing input as presented, where it was padded: WSO2 signs its padded spelling. */
  readonly paddedInput: string | undefined;
  readonly payload: Buffer;
  readonly signature: Buffer;
}

/** What a token's text is, before anything in it is checked. */
type TokenShape = 'jws' | 'opaque' | 'other-jose';

/** The token without the padding of its three parts, if it has three and each is padded as it may be; else the token as it is. */
export function withoutPadding(token: string): string {
  if (!token.includes('=')) return token;
  const parts = token.split('.', 4);
  const bare = parts.map(stripPadding).filter((part) => part !== undefined);
  return parts.length === 3 && bare.length === 3 ? bare.join('.') : token;
}

/**
 * Tells JWTs from opaque tokens. Two dots, and a first part that decodes to a JSON object with `alg`, make a JWT. This decodes as
 * leniently as the laxest reader would: a misspelt JWT must be refused as one, and not go to introspection, where a laxer reader might
 * take it for good under a spelling that no revocation names. With another number of dots it is encrypted or some other JOSE object
 * (RFC 7516), which is refused too.
 */
export function tokenShape(token: string): TokenShape {
  const end = token.indexOf('.');
  if (end === -1) return 'opaque';
  const looks = looksLikeHeader(token.slice(0, end));
  if (looks === 'no') return 'opaque';
  if (looks === 'broken') return 'jws';
  return token.split('.', 4).length === 3 ? 'jws' : 'other-jose';
}

/**
 * Decodes a compact JWS strictly: three parts, each in canonical base64url, except that exactly the padding its length calls for is
 * taken away; the header as {@link readHeader} reads it.
 * @throws GatewayFault 401
 */
export function decodeJws(token: string): Jws {
  const [header, payload, signature, more] = token.split('.', 4).map(stripPadding);
  if (
    header === undefined ||
    payload === undefined ||
    signature === undefined ||
    more !== undefined
  )
    throw invalidToken('not three parts, or padded otherwise than their length calls for');
  const fields = readHeader(header);
  const payloadBytes = decodeBase64url(payload);
  const signatureBytes = decodeBase64url(signature);
  if (payloadBytes === undefined || signatureBytes === undefined)
    throw invalidToken('a part is not canonical base64url');
  const presentedInput = token.slice(0, token.lastIndexOf('.'));
  // A token without padding is not put together again from what it was split into.
  const signingInput = token.includes('=') ? `${header}.${payload}` : presentedInput;
  return {
    ...fields,
    signingInput,
    paddedInput: presentedInput === signingInput ? undefined : presentedInput,
    payload: payloadBytes,
    signature: signatureBytes,
  };
}

/** Whether the key made the signature, over the spelling that the RFC asks for or over the padded one that was presented. */
export function isSignedBy(jws: Jws, key: VerificationKey): boolean {
  if (!key.algorithms.has(jws.algorithm)) return false;
  const { algorithm, signature, paddedInput } = jws;
  return (
    verifySignature(algorithm, key.key, jws.signingInput, signature) ||
    (paddedInput !== undefined && verifySignature(algorithm, key.key, paddedInput, signature))
  );
}
