import type { RevocationRecord, Verdict, VerdictReason } from '../admin/operations.ts';
import type { TokenVerifier } from '../auth/authenticate.ts';
import type { VerifiedToken } from '../auth/verified-token.ts';
import { GatewayFault } from '../errors.ts';
import type { Knowledge } from '../revocation/reader.ts';
import type { TokenIdentity } from '../revocation/token-identity.ts';

/** What denies a token: an entry of its own or a rule, with what the journal has of it. */
export interface Denier {
  readonly kind: 'token' | 'rule';
  /** Absent while the journal lacks it. */
  readonly record?: RevocationRecord;
}

/** What an explanation is made of. */
export interface ExplainParts {
  readonly verifier: TokenVerifier;
  /** What denies this token now. Undefined: nothing. */
  readonly denier: (identity: TokenIdentity) => Promise<Denier | undefined>;
  readonly knowledge: () => Knowledge;
  /** What a call gets while revocations are unknown or stale, where its route says nothing else. */
  readonly policy: () => 'deny' | 'introspect' | 'allow';
  /** The first source that is behind, and since when, epoch milliseconds. */
  readonly behind: () => { readonly source?: string; readonly sinceMs?: number } | undefined;
}

/** The token check's own words for its log, and what they mean for whoever asks. All others are about claims. */
export const REASONS: ReadonlyMap<string, VerdictReason> = new Map([
  ['opaque, and no introspection is configured', 'not_a_jwt'],
  ['a JOSE object that is no signed JWT', 'not_a_jwt'],
  ['characters that no token has', 'not_a_jwt'],
  ['malformed credential header', 'not_a_jwt'],
  ['the token is too long', 'not_a_jwt'],
  ['not three parts, or padded otherwise than their length calls for', 'not_a_jwt'],
  ['a part is not canonical base64url', 'not_a_jwt'],
  ['the header is not one unambiguous JSON object', 'not_a_jwt'],
  ['the payload is not one unambiguous JSON object', 'not_a_jwt'],
  ['iss is missing or not a text', 'wrong_issuer'],
  ['iss is none that is configured', 'wrong_issuer'],
  ["the issuer's keys cannot be had", 'keys_unavailable'],
  ['alg is not supported', 'bad_signature'],
  ['there is no signature', 'bad_signature'],
  ['the signature is wrong', 'bad_signature'],
  ['the issuer has no such key', 'bad_signature'],
  ['more than one key could be meant', 'bad_signature'],
  ['the key does not serve the algorithm', 'bad_signature'],
  ["the issuer's certificate is not valid yet", 'bad_signature'],
  ["the issuer's certificate has expired", 'bad_signature'],
  ['the token is not active', 'not_active'],
  ['the token has expired', 'expired'],
  ['nbf is in the future', 'not_valid_yet'],
  ['iat is in the future', 'not_valid_yet'],
  ['aud is missing or not a text or list of texts', 'wrong_audience'],
  ['aud is none that is configured', 'wrong_audience'],
]);

/** What becomes of a good token in doubt, in words behind that doubt. */
const LET_THROUGH = {
  deny: '',
  introspect: '; the key manager is asked, and it passes if that says that it is active',
  allow: '; it is let through all the same, as configured',
} as const;

/** Says whether a token would pass here now, and if not why. Never rejects because of what the token is. */
export async function explain(token: string, parts: ExplainParts): Promise<Verdict> {
  let verified: VerifiedToken;
  try {
    const before = parts.verifier.identityBefore(token);
    const verdict = before === undefined ? undefined : await beforeAsking(before, parts);
    if (verdict !== undefined) return verdict;
    verified = await parts.verifier.verify(token);
  } catch (error) {
    if (!(error instanceof GatewayFault)) throw error;
    return refusedBy(error);
  }
  const denier = await parts.denier(verified.caller.identity);
  if (denier !== undefined) return deniedBy(denier);
  if (parts.knowledge() !== 'fresh') return doubted('the token is good, but ', parts);
  return { wouldPass: true, reason: 'valid', detail: endOf(verified) };
}

/** What an opaque token gets before the key manager is asked about it, if anything: in the order in which a request gets it. */
async function beforeAsking(
  identity: TokenIdentity,
  parts: ExplainParts,
): Promise<Verdict | undefined> {
  const denier = await parts.denier(identity);
  if (denier !== undefined) return deniedBy(denier);
  const isDenied = parts.knowledge() !== 'fresh' && parts.policy() === 'deny';
  return isDenied ? doubted('', parts) : undefined;
}

function deniedBy({ kind, record }: Denier): Verdict {
  const source = record?.source ?? 'a source that is not on record';
  return {
    wouldPass: false,
    reason: kind === 'token' ? 'token_revoked' : 'rule_revoked',
    status: 401,
    detail:
      kind === 'token'
        ? `the token is revoked, as ${source} said`
        : `a rule of kind ${record?.kind ?? 'unknown'}, made by ${source}, denies tokens issued up to ${timeOf(record?.issuedBeforeMs)}`,
    ...(record === undefined ? {} : { revocation: record, sinceMs: record.learntAtMs }),
  };
}

/** What a token gets while revocations are not known, or not all of them. */
function doubted(good: string, parts: ExplainParts): Verdict {
  const policy = parts.policy();
  const isUnknown = parts.knowledge() === 'never';
  const doubt = isUnknown
    ? 'nothing is known of revocations yet'
    : 'revocations may have been missed';
  return {
    wouldPass: policy !== 'deny',
    reason: isUnknown ? 'revocations_unknown' : 'stale',
    ...(policy === 'deny' ? { status: 503 } : {}),
    detail: `${good}${doubt}${LET_THROUGH[policy]}`,
    ...parts.behind(),
  };
}

function refusedBy({ fault, detail }: GatewayFault): Verdict {
  const isUnknowable = fault === 'serviceUnavailable' || fault === 'revocationStatusUnknown';
  const other = isUnknowable ? 'key_manager_unavailable' : 'refused_claims';
  const reason = REASONS.get(detail) ?? other;
  return { wouldPass: false, reason, status: isUnknowable ? 503 : 401, detail };
}

/** How long a good token goes on counting. */
function endOf({ caller, countsUntilMs }: VerifiedToken): string {
  // Of its end the key manager need not say anything, and it is asked again before.
  if (caller.tokenType === 'opaque') return 'the key manager says that the token is active';
  const until = `the token counts until ${timeOf(countsUntilMs)}`;
  const end = timeOf(caller.expiresAtMs);
  if (countsUntilMs > caller.expiresAtMs)
    return `${until}: its end, ${end}, and the difference of clocks that is allowed`;
  if (countsUntilMs < caller.expiresAtMs)
    return `${until}, the end of the issuer's certificate, before its own, ${end}`;
  return until;
}

function timeOf(ms: number | undefined): string {
  return ms === undefined || !Number.isFinite(ms) ? 'a time unknown' : new Date(ms).toISOString();
}
