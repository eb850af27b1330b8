/** From here on an `iat` is milliseconds: WSO2 writes it so. As seconds it would be the year 33658. */
const FIRST_MILLISECONDS = 1e12;

/**
 * When a token was issued, epoch milliseconds, from its `iat` as the claim stands (RFC 7519 section 4.1.6: seconds, fractions allowed; those of a
 * millisecond do not count).
 * Undefined for what is no such number.
 */
function issuedAtMs(iat: unknown): number | undefined {
  if (typeof iat !== 'number' || !Number.isFinite(iat) || iat < 0) return undefined;
  return Math.floor(iat >= FIRST_MILLISECONDS ? iat : iat * 1_000);
}

/**
 * Whether a rule with this cut-off denies a token that it matches: one issued up to and with the cut-off, and one that does not say when it was
 * issued. What says that it was issued in the future, by more than the clock skew, says nothing. Of several rules that match a token the
 * latest cut-off decides, which is the same as asking for each of them.
 * @param iat the claim as it is in the token, undefined where there is none
 * @param cutoffMs epoch milliseconds; negative: no rule matches
 * @param nowMs epoch milliseconds
 */
export function deniedByCutoff(
  iat: unknown,
  cutoffMs: number,
  nowMs: number,
  clockSkewMs: number,
): boolean {
  if (cutoffMs < 0) return false;
  const issued = issuedAtMs(iat);
  return issued === undefined || issued > nowMs + clockSkewMs || issued <= cutoffMs;
}
