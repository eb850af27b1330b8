import { invalidToken, missingCredentials } from './refusal.ts';

/** Characters of a `b64token` (RFC 6750 section 2.1), with `=` anywhere: WSO2 pads each part of a JWT. */
const TOKEN = /^[A-Za-z0-9\-._~+/=]+$/;

/** A `b64token` itself. */
const OPAQUE_TOKEN = /^[^=]+=*$/;

/** The scheme and exactly one space; the scheme's case does not matter (RFC 9110 section 11.1). */
const BEARER = /^bearer /i;

/**
 * Cuts the token out of the values of the credential header. Exactly one value, one space and one token: a second header, a comma list,
 * another scheme's parameters, tabs or a doubled space have no single meaning to every reader, so they are refused.
 *
 * Two headers are a 401 like every other token that does not count: RFC 6750 section 3.1 would allow 400 `invalid_request`, but one
 * shape for all of them tells an attacker nothing.
 *
 * @param maxTokenBytes longest token that is looked at
 */
export function bearerToken(values: readonly string[], maxTokenBytes: number): string {
  const value = values[0];
  if (value === undefined) throw missingCredentials('no credential header');
  if (values.length > 1) throw invalidToken('more than one credential header');
  if (!BEARER.test(value)) {
    if (/^bearer\b/i.test(value) || value === '') throw invalidToken('malformed credential header');
    throw missingCredentials('the credential header is of another scheme than Bearer');
  }
  const token = value.slice(7);
  if (token.length > maxTokenBytes) throw invalidToken('the token is too long');
  return token;
}

/**
 * Refuses what is no token at all. Only for tokens that no cache knows: those it knows were checked once.
 * @throws GatewayFault 401
 */
export function requireTokenSyntax(token: string): void {
  if (!TOKEN.test(token)) throw invalidToken('characters that no token has');
}

/** The same for opaque tokens, which are a `b64token` to the letter. @throws GatewayFault 401 */
export function requireOpaqueSyntax(token: string): void {
  if (!OPAQUE_TOKEN.test(token)) throw invalidToken('padding where no opaque token has it');
}
