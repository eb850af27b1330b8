import { randomBytes, randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { type Client, SCOPE_TOKEN, type TokenFormat } from './credentials.ts';
import { type Form, readForm } from './form.ts';
import { invalidRequest, OAuthError } from './oauth-error.ts';
import { type Answer, NO_STORE } from './router.ts';
import type { ServiceState } from './service-state.ts';
import type { TokenRecord } from './token-records.ts';

/** What every opaque token starts with: secret scanners find it, and `/revoke` tells one that it does not know from a `jti`. */
export const OPAQUE_PREFIX = 'pco_';

/** `POST /oauth2/token`: the client credentials grant (RFC 6749 section 4.4). `token_format` (jwt, opaque) is an extension. */
export async function issueToken(state: ServiceState, request: IncomingMessage): Promise<Answer> {
  const form = await readForm(request);
  const client = await state.principals.client(request, form);
  const grant = form.get('grant_type');
  if (grant === undefined) throw invalidRequest('grant_type is missing');
  if (grant !== 'client_credentials') {
    throw new OAuthError(400, 'unsupported_grant_type', 'Only client_credentials is supported');
  }
  const scope = grantedScope(client, form);
  const format = formatOf(client, form);
  const lifeSeconds = client.tokenLifeSeconds ?? state.settings.tokenLifeSeconds;
  const issuedAt = Math.floor(state.settings.now() / 1000);
  const token: TokenRecord = {
    jti: randomUUID(),
    format,
    issuer: state.issuer,
    clientId: client.id,
    subject: client.subject,
    audience: client.audience,
    scope,
    keytype: client.keytype,
    issuedAtMs: issuedAt * 1000,
    endsAtMs: (issuedAt + lifeSeconds) * 1000,
  };
  const text =
    format === 'jwt'
      ? await state.keys.sign(claimsOf(token))
      : OPAQUE_PREFIX + randomBytes(32).toString('base64url');
  await state.database.commit(() => state.tokens.add(token, text));
  return {
    status: 200,
    headers: NO_STORE,
    body: {
      access_token: text,
      token_type: 'Bearer',
      expires_in: lifeSeconds,
      ...(scope === '' ? {} : { scope }),
    },
  };
}

/** The claims WSO2's key manager writes, and `client_id` as RFC 9068 names the same thing. */
function claimsOf(token: TokenRecord): Record<string, unknown> {
  const { audience, clientId } = token;
  return {
    iss: token.issuer,
    sub: token.subject,
    aud: audience.length === 1 ? audience[0] : audience,
    exp: token.endsAtMs / 1000,
    iat: token.issuedAtMs / 1000,
    jti: token.jti,
    client_id: clientId,
    azp: clientId,
    consumerKey: clientId,
    keytype: token.keytype,
    ...(token.scope === '' ? {} : { scope: token.scope }),
  };
}

/** RFC 6749 section 3.3: all or nothing of what was asked for; everything the client may have when nothing was. */
function grantedScope(client: Client, form: Form): string {
  const asked = form.get('scope');
  if (asked === undefined) return client.scopes.join(' ');
  const scopes = new Set(asked.split(' '));
  for (const scope of scopes) {
    if (!SCOPE_TOKEN.test(scope)) {
      throw new OAuthError(400, 'invalid_scope', 'The scope is malformed');
    }
    if (!client.scopes.includes(scope)) {
      throw new OAuthError(400, 'invalid_scope', 'The client may not have a scope it asks for');
    }
  }
  return [...scopes].join(' ');
}

function formatOf(client: Client, form: Form): TokenFormat {
  const asked = form.get('token_format') ?? client.tokenFormat;
  if (asked !== 'jwt' && asked !== 'opaque') {
    throw invalidRequest('token_format must be jwt or opaque');
  }
  return asked;
}
