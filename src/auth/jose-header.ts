import { isJsonObject, member, parseJsonObject } from '../strict-json.ts';
import { decodeBase64url } from './base64url.ts';
import { KnownTexts } from './known-texts.ts';
import { invalidToken } from './refusal.ts';

/** What counts of a JOSE header (RFC 7515 section 4). */
export interface JoseHeader {
  readonly algorithm: string;
  readonly kid: string | undefined;
  readonly typ: string | undefined;
}

/** Headers that were read and are good, by their base64url text. */
const known = new KnownTexts<JoseHeader>();

/**
 * Reads the first part of a JWS strictly: canonical base64url, without two readings, nothing critical (RFC 7515 section 4.1.11: we
 * understand no extension) and `b64` not turned off (RFC 7797). Keys and key addresses in it (`jwk`, `jku`, `x5c`, `x5u`) are not looked at.
 * @throws GatewayFault 401
 */
export function readHeader(text: string): JoseHeader {
  const before = known.get(text);
  if (before !== undefined) return before;
  const bytes = decodeBase64url(text);
  if (bytes === undefined) throw invalidToken('a part is not canonical base64url');
  const fields = parseJsonObject(bytes);
  if (fields === undefined) throw invalidToken('the header is not one unambiguous JSON object');
  const algorithm = member(fields, 'alg');
  const kid = member(fields, 'kid');
  const typ = member(fields, 'typ');
  if (typeof algorithm !== 'string') throw invalidToken('alg is not a string');
  if (kid !== undefined && typeof kid !== 'string') throw invalidToken('kid is not a string');
  if (typ !== undefined && typeof typ !== 'string') throw invalidToken('typ is not a string');
  if (member(fields, 'crit') !== undefined) throw invalidToken('the header has critical fields');
  if (member(fields, 'b64') !== undefined) throw invalidToken('the header has b64');
  const header = { algorithm, kid, typ };
  known.set(text, header);
  return header;
}

/**
 * Whether this first part of some token decodes to a JSON object with `alg`, as leniently as the laxest reader would decode it.
 * `broken`: it looks like an object, and is no JSON.
 */
export function looksLikeHeader(text: string): 'yes' | 'no' | 'broken' {
  if (known.has(text)) return 'yes';
  const decoded = Buffer.from(text, 'base64url').toString('utf8');
  if (!/^[\s\uFEFF]*\{/.test(decoded)) return 'no';
  let header: unknown;
  try {
    header = JSON.parse(decoded.replace(/^\uFEFF/, ''));
  } catch {
    return 'broken';
  }
  return isJsonObject(header) && member(header, 'alg') !== undefined ? 'yes' : 'no';
}
