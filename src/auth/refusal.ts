import { GatewayFault } from '../errors.ts';

/** The one text for every token that does not count, so that an answer never tells which check it failed (RFC 6750 section 3.1). */
const INVALID_TOKEN = {
  error: 'invalid_token',
  errorDescription: 'The access token is malformed, expired, revoked or otherwise invalid',
} as const;

/** Seconds after which a client may ask again when the revocation status could not be known. */
const UNKNOWN_RETRY_SECONDS = 5;

/** 401 900902: no bearer token was offered. The challenge names no error then (RFC 6750 section 3.1). */
export function missingCredentials(detail: string): GatewayFault {
  return new GatewayFault('missingCredentials', detail, { challenge: {} });
}

/** 401 900901: a token was offered and does not count. `detail` is for the log and holds no token. */
export function invalidToken(detail: string): GatewayFault {
  return new GatewayFault('invalidCredentials', detail, { challenge: INVALID_TOKEN });
}

/** A token that had to be verified, or asked about, to be refused: what {@link invalidToken} says, after work. */
export class CostlyRefusal extends GatewayFault {
  constructor(detail: string) {
    super('invalidCredentials', detail, { challenge: INVALID_TOKEN });
  }
}

/** A refusal as {@link CostlyRefusal}, when it is one; whatever else was thrown, as it is. */
export function afterWork(error: unknown): unknown {
  const refused = error instanceof GatewayFault && error.fault === 'invalidCredentials';
  return refused ? new CostlyRefusal(error.detail) : error;
}

/** 429: nobody has looked at the token; too many that came from where it comes from were bad. */
export function tooManyFailures(waitMs: number): GatewayFault {
  return new GatewayFault('tooManyFailures', 'the limit on failed verifications is reached', {
    retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1_000)),
  });
}

/** 403 900910: a good token without any of the scopes the route asks for. */
export function insufficientScope(scopes: readonly string[]): GatewayFault {
  const scope = scopes.join(' ');
  return new GatewayFault('insufficientScope', `the token has none of the scopes: ${scope}`, {
    challenge: { error: 'insufficient_scope', scope },
  });
}

/** 503: whether the token is good cannot be known now. Never a 401, which would make clients throw good tokens away. */
export function cannotKnow(detail: string, retryAfterMs: number, cause?: unknown): GatewayFault {
  return new GatewayFault('serviceUnavailable', detail, {
    retryAfterSeconds: Math.max(1, Math.ceil(retryAfterMs / 1_000)),
    cause,
  });
}

/** 503 900990: the token is good, but no source has said yet whether it was revoked. */
export function revocationUnknown(): GatewayFault {
  return new GatewayFault('revocationStatusUnknown', 'the revocation status is not known', {
    retryAfterSeconds: UNKNOWN_RETRY_SECONDS,
  });
}
