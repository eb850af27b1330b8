/** What a text says of itself that is a whole JWT; nothing of it is proved. */
export interface WholeJwt {
  /** First two parts and their dot, canonical (no padding). */
  readonly signingInput: string;
  readonly issuer: string | undefined;
  readonly jti: string | undefined;
  readonly claims: Readonly<Record<string, unknown>>;
}

/**
 * Reads a whole JWT that is to be revoked, whatever spelling of base64url it came in; undefined if it is not one. A JWT is two dots behind a
 * first part that decodes to a JSON object with `alg` (RFC 7515 section 4.1.1): anything else is an id, a signature or an opaque token. Who
 * revokes here and who tells others ask this one reader, so that both mean the same token.
 */
export function readWholeJwt(text: string): WholeJwt | undefined {
  const parts = text.trim().split('.');
  const [header, payload] = parts;
  if (parts.length !== 3 || header === undefined || payload === undefined) return undefined;
  const headerBytes = Buffer.from(header, 'base64url');
  if (!('alg' in (jsonObject(headerBytes) ?? {}))) return undefined;
  const payloadBytes = Buffer.from(payload, 'base64url');
  const claims = jsonObject(payloadBytes) ?? {};
  const claim = (name: string): string | undefined => {
    const value = claims[name];
    return typeof value === 'string' ? value : undefined;
  };
  return {
    signingInput: `${headerBytes.toString('base64url')}.${payloadBytes.toString('base64url')}`,
    issuer: claim('iss'),
    jti: claim('jti'),
    claims,
  };
}

function jsonObject(bytes: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
