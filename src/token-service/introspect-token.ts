import type { IncomingMessage } from 'node:http';
import { readForm } from './form.ts';
import { invalidRequest } from './oauth-error.ts';
import { type Answer, NO_STORE } from './router.ts';
import type { ServiceState } from './service-state.ts';
import type { FoundToken } from './token-records.ts';

/**
 * `POST /oauth2/introspect` (RFC 7662), for JWTs and opaque tokens. Users (admin, readers) and clients marked `introspectAny` may ask about
 * any token, other clients about their own: any other token is `{"active":false}` to them, like one that is dead, revoked or not ours.
 */
export async function introspectToken(
  state: ServiceState,
  request: IncomingMessage,
): Promise<Answer> {
  const form = await readForm(request);
  const inspector = await state.principals.inspector(request, form);
  const text = form.get('token');
  if (text === undefined) throw invalidRequest('token is missing');
  const token = activeToken(state, text);
  const allowed =
    token !== undefined &&
    (inspector.kind === 'user' ||
      inspector.client.introspectAny ||
      inspector.client.id === token.clientId);
  return { status: 200, headers: NO_STORE, body: allowed ? describe(token) : { active: false } };
}

/** The token with exactly this text when it was issued here, has not ended and is not revoked. Its signature needs no second look. */
export function activeToken(state: ServiceState, text: string): FoundToken | undefined {
  const token = state.tokens.byText(text);
  if (token === undefined || token.endsAtMs <= state.settings.now()) return undefined;
  return state.revocations.isRevoked(token) ? undefined : token;
}

/** Section 2.2; `keytype` is WSO2's. */
function describe(token: FoundToken): Record<string, unknown> {
  return {
    active: true,
    iss: token.issuer,
    sub: token.subject,
    username: token.subject,
    aud: token.audience.length === 1 ? token.audience[0] : token.audience,
    client_id: token.clientId,
    jti: token.jti,
    iat: token.issuedAtMs / 1000,
    exp: token.endsAtMs / 1000,
    token_type: 'Bearer',
    keytype: token.keytype,
    ...(token.scope === '' ? {} : { scope: token.scope }),
  };
}
