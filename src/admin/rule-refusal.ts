import { ApiRefusal } from '../errors.ts';
import type { RefusedRule } from '../revocation/parse-rule.ts';
import { shownName } from './body.ts';

/** Members of the body that stand for a claim. */
const MEMBER_OF_CLAIM: ReadonlyMap<string, string> = new Map([
  ['sub', 'subject'],
  ['sid', 'session'],
  ['client', 'client'],
]);

/** What the operator is told of a rule that the core does not take: the fixed phrase, and the member of the body that is to be mended. */
export function ruleRefusal({ refused, field, claim }: RefusedRule): ApiRefusal {
  if (field === 'kind') return new ApiRefusal('invalid_value', refused);
  if (claim === undefined) return new ApiRefusal('invalid_value', refused, field);
  const member = MEMBER_OF_CLAIM.get(claim) ?? `claims.${shownName(claim)}`;
  return new ApiRefusal('invalid_value', refused, member);
}
