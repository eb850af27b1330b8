import type { Log } from '../log.ts';
import type { VerifiedToken } from './verified-token.ts';

const JWT_KEY = 'JWTAuthProvider';
const OPAQUE_KEY = 'AuthnFilter';

/**
 * Writes the DEBUG trace of a revocation check in the words of WSO2's 3.2, which its users search their logs for. Call it only when
 * `log.debugEnabled`. No token, `jti` or list is in it.
 */
export function traceRevocation(
  log: Log,
  verified: VerifiedToken,
  from: { readonly cached: boolean; readonly revoked: boolean },
  requestId: string,
): void {
  if (verified.caller.tokenType === 'opaque') {
    if (from.revoked) traceRevokedOpaque(log, requestId);
    return;
  }
  const say = (message: string): void => log.debug(JWT_KEY, message, requestId);
  if (from.cached) say('jwt found from the jwt cache');
  if (verified.hasJti) {
    say('jti claim found in the jwt');
    say('Checking for the JTI in the gateway invalid revoked token map.');
  }
  say('Checking for the Signature in the gateway invalid revoked token map.');
  say(`JTI or Signature ${from.revoked ? '' : 'not '}found in the invalid token map.`);
  say(`JWT Authentication Handler value for, is token revoked : ${from.revoked}`);
  if (from.revoked) say('JWT Token is revoked');
}

/** The same for an opaque token that is in the revocation list. */
export function traceRevokedOpaque(log: Log, requestId: string): void {
  log.debug(OPAQUE_KEY, 'Token is found in the invalid token map.', requestId);
  log.debug(OPAQUE_KEY, 'Oauth Token has been revoked.', requestId);
}
