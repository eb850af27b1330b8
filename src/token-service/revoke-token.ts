import type { IncomingMessage } from 'node:http';
import { digestOf } from '../revocation/token-key.ts';
import type { Client } from './credentials.ts';
import { readForm } from './form.ts';
import { OPAQUE_PREFIX } from './issue-token.ts';
import { invalidRequest } from './oauth-error.ts';
import { CLOCK_GRACE_MS } from './options.ts';
import type { RevokedToken } from './revocation-records.ts';
import { type Answer, NO_STORE } from './router.ts';
import type { ServiceState } from './service-state.ts';
import type { FoundToken } from './token-records.ts';

/** No `jti` of anyone's is longer; a longer text names nothing. */
const LONGEST_JTI = 1024;

/**
 * `POST /oauth2/revoke` (RFC 7009), for the token itself and, as WSO2's users do, for its bare `jti`. A client revokes its own tokens; one
 * marked `revokeAny` also others' and `jti`s that are unknown here. Anything else is 200 without effect (section 2.2), so that the answer
 * tells nothing about tokens. The 200 is sent when the revocation and its outgoing copies are on the disk; 503 says that they are not.
 */
export async function revokeToken(state: ServiceState, request: IncomingMessage): Promise<Answer> {
  const form = await readForm(request);
  const client = await state.principals.client(request, form);
  const text = form.get('token');
  if (text === undefined) throw invalidRequest('token is missing');
  const revoked = await whatToRevoke(state, client, text);
  if (revoked === undefined) {
    state.log.debug('TokenService', `client ${client.id} revoked nothing: not its token`);
  } else if (revoked.endsAtMs + CLOCK_GRACE_MS > state.settings.now()) {
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
  const jwt = claimsOfJwt(text);
  const found =
    state.tokens.byText(text) ??
    state.tokens.byJti(text) ??
    // Another spelling of a token of ours, or one with a broken signature: it names the jti, and that is all a revocation needs.
    (jwt?.jti === undefined || jwt.iss !== state.issuer ? undefined : state.tokens.byJti(jwt.jti));
  if (found !== undefined) {
    return found.clientId === client.id || client.revokeAny ? knownToken(found, text) : undefined;
  }
  if (jwt !== undefined) return await jwtWithoutRecord(state, client, jwt, text);
  if (!client.revokeAny || text.length > LONGEST_JTI) return undefined;
  const endsAtMs = state.settings.now() + state.settings.longestTokenLifeSeconds * 1000;
  const { issuer } = state;
  return text.startsWith(OPAQUE_PREFIX)
    ? {
        jti: undefined,
        digest: digestOf(text),
        issuer,
        endsAtMs,
        outgoing: { token: text, tokenType: 'opaque' },
      }
    : {
        jti: text,
        digest: undefined,
        issuer,
        endsAtMs,
        outgoing: { token: text, tokenType: 'JWT' },
      };
}

function knownToken(found: FoundToken, text: string): RevokedToken {
  const { jti, issuer, endsAtMs } = found;
  if (found.format === 'jwt') {
    return { jti, digest: undefined, issuer, endsAtMs, outgoing: { token: jti, tokenType: 'JWT' } };
  }
  return {
    jti,
    digest: found.digest,
    issuer,
    endsAtMs,
    outgoing: { token: text, tokenType: 'opaque' },
  };
}

/** A JWT of this issuer that the state does not know: it was made before the state was lost, or by a twin with the same key. */
async function jwtWithoutRecord(
  state: ServiceState,
  client: Client,
  jwt: JwtClaims,
  text: string,
): Promise<RevokedToken | undefined> {
  if (jwt.iss !== state.issuer || jwt.jti === undefined || jwt.jti.length > LONGEST_JTI) {
    return undefined;
  }
  const signed = await state.keys.verifies(text);
  if (!client.revokeAny && !(signed && jwt.clientId === client.id)) return undefined;
  const longestMs = state.settings.now() + state.settings.longestTokenLifeSeconds * 1000;
  return {
    jti: jwt.jti,
    digest: undefined,
    issuer: state.issuer,
    endsAtMs: signed ? Math.min(jwt.endsAtMs ?? longestMs, longestMs) : longestMs,
    outgoing: { token: jwt.jti, tokenType: 'JWT' },
  };
}

interface JwtClaims {
  readonly iss: unknown;
  readonly jti: string | undefined;
  readonly clientId: unknown;
  readonly endsAtMs: number | undefined;
}

/**
 * What a text that looks like a JWT claims; nothing of it is proved. A JWT is two dots behind a first part that decodes to a JSON object
 * with `alg`, as gateways tell it from an opaque token.
 */
function claimsOfJwt(text: string): JwtClaims | undefined {
  const parts = text.split('.');
  if (parts.length !== 3 || objectIn(parts[0])?.['alg'] === undefined) return undefined;
  const { iss, jti, client_id: clientId, exp } = objectIn(parts[1]) ?? {};
  return {
    iss,
    jti: typeof jti === 'string' && jti !== '' ? jti : undefined,
    clientId,
    endsAtMs: typeof exp === 'number' ? exp * 1000 : undefined,
  };
}

function objectIn(part: string | undefined): Readonly<Record<string, unknown>> | undefined {
  try {
    const value = JSON.parse(Buffer.from(part ?? '', 'base64url').toString('utf8')) as unknown;
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}
