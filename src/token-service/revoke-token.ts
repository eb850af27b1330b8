import type { IncomingMessage } from 'node:http';
import { digestOf } from '../revocation/token-key.ts';
import { readWholeJwt, type WholeJwt } from '../revocation/whole-jwt.ts';
import type { Client } from './credentials.ts';
import { readForm } from './form.ts';
import { OPAQUE_PREFIX } from './issue-token.ts';
import { invalidRequest } from './oauth-error.ts';
import { deadBefore } from './options.ts';
import type { RevokedToken } from './revocation-records.ts';
import { type Answer, NO_STORE } from './router.ts';
import type { ServiceState } from './service-state.ts';
import type { FoundToken } from './token-records.ts';

/** No `jti` or issuer of anyone's is longer; a longer text names nothing. */
const LONGEST_NAME = 1024;

/**
 * `POST /oauth2/revoke` (RFC 7009), for the token itself and, as WSO2's users do, for its bare `jti`. A client revokes its own tokens; one
 * marked `revokeAny` also others' and `jti`s that are unknown here. Anything else is 200 without effect (section 2.2), so that the answer
 * tells nothing about tokens. White space around it is no part of it. The 200 is sent when the revocation and its outgoing copies are on the disk; 503 says that they are not.
 */
export async function revokeToken(state: ServiceState, request: IncomingMessage): Promise<Answer> {
  const form = await readForm(request);
  const client = await state.principals.client(request, form);
  const text = form.get('token')?.trim() ?? '';
  if (text === '') throw invalidRequest('token is missing');
  const revoked = await whatToRevoke(state, client, text);
  if (revoked === undefined) {
    state.log.debug('TokenService', `client ${client.id} revoked nothing: not its token`);
  } else if (revoked.endsAtMs > deadBefore(state.settings)) {
    await state.revocations.revoke(revoked);
    state.log.debug('TokenService', `client ${client.id} revoked a token`);
  }
  return { status: 200, headers: NO_STORE };
}

async function whatToRevoke(
  state: ServiceState,
  client: Client,
  text: string,
): Promise<RevokedToken | undefined> {
  const jwt = readWholeJwt(text);
  const found =
    state.tokens.byText(text) ??
    state.tokens.byJti(text) ??
    // Another spelling of a token of ours, or one with a broken signature: it names the jti, and that is all a revocation needs.
    (jwt?.jti === undefined || jwt.issuer !== state.issuer
      ? undefined
      : state.tokens.byJti(jwt.jti));
  if (found !== undefined) {
    return found.clientId === client.id || client.revokeAny ? knownToken(found, text) : undefined;
  }
  if (jwt !== undefined) return await jwtWithoutRecord(state, client, jwt, text);
  if (!client.revokeAny || text.length > LONGEST_NAME) return undefined;
  const endsAtMs = longestEnd(state);
  // Nobody knows whose it is: it means every issuer's.
  const issuer = undefined;
  if (!text.startsWith(OPAQUE_PREFIX)) return namedBy(text, issuer, endsAtMs);
  state.log.warn(
    'TokenService',
    "an opaque token that is unknown here was revoked: publishers and the event stream have it, WSO2's list has not, because its text is not kept",
  );
  return {
    jti: undefined,
    digest: digestOf(text),
    issuer,
    endsAtMs,
    outgoing: { token: text, tokenType: 'opaque' },
  };
}

/** A revocation of the JWT with this `jti`. */
function namedBy(jti: string, issuer: string | undefined, endsAtMs: number): RevokedToken {
  return { jti, digest: undefined, issuer, endsAtMs, outgoing: { token: jti, tokenType: 'JWT' } };
}

/** When the last token that exists now is dead, whatever the clock does. Epoch milliseconds, whole. */
function longestEnd({ settings }: ServiceState): number {
  return Math.ceil(settings.clock.latest()) + settings.longestTokenLifeSeconds * 1000;
}

function knownToken(found: FoundToken, text: string): RevokedToken {
  const { jti, issuer, endsAtMs } = found;
  if (found.format === 'jwt') return namedBy(jti, issuer, endsAtMs);
  return {
    jti,
    digest: found.digest,
    issuer,
    endsAtMs,
    outgoing: { token: text, tokenType: 'opaque' },
  };
}

/**
 * A JWT that the state does not know. One of this issuer was made before the state was lost, or by a twin with the same key. One of another
 * issuer is for a client marked `revokeAny` to revoke: for that issuer only, or for every one when it names none.
 */
async function jwtWithoutRecord(
  state: ServiceState,
  client: Client,
  jwt: WholeJwt,
  text: string,
): Promise<RevokedToken | undefined> {
  const { jti, issuer, claims } = jwt;
  if (jti === undefined || jti === '' || jti.length > LONGEST_NAME) {
    if (client.revokeAny) {
      state.log.warn('TokenService', 'a JWT was not revoked: it has no jti that names it');
    }
    return undefined;
  }
  if (issuer !== state.issuer) {
    if (!client.revokeAny) return undefined;
    const named = issuer !== undefined && issuer !== '' && issuer.length <= LONGEST_NAME;
    return namedBy(jti, named ? issuer : undefined, longestEnd(state));
  }
  const signed = await state.keys.verifies(text);
  if (!client.revokeAny && !(signed && claims['client_id'] === client.id)) return undefined;
  const longestMs = longestEnd(state);
  const { exp } = claims;
  const knownMs = signed && typeof exp === 'number' ? exp * 1000 : longestMs;
  return namedBy(jti, state.issuer, Math.min(knownMs, longestMs));
}
