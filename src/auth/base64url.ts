/**
 * Decodes one part of a JWS in its only canonical spelling (RFC 7515 section 2, RFC 4648 sections 3.5 and 5): the URL-safe alphabet,
 * no padding, no white space, unused bits zero. Undefined for anything else. Node's own decoder takes all of those, and each would be
 * another spelling of the same token.
 */
export function decodeBase64url(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : undefined;
}

/**
 * Takes away exactly the `=` that a part's length calls for (RFC 4648 section 3.2), as WSO2 writes them. Undefined when the part has
 * padding of any other length.
 */
export function stripPadding(part: string): string | undefined {
  const start = part.indexOf('=');
  if (start === -1) return part;
  const bare = part.slice(0, start);
  const wanted = (4 - (bare.length % 4)) % 4;
  return part === bare + '='.repeat(wanted) ? bare : undefined;
}
