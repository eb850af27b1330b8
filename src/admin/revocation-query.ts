import { ApiRefusal } from '../errors.ts';
import { shownName } from './body.ts';
import { REVOCATION_KINDS, type RevocationQuery } from './operations.ts';

const PARAMETERS = ['kind', 'source', 'limit', 'cursor'] as const;
type Parameter = (typeof PARAMETERS)[number];

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1_000;
const MAX_TEXT = 512;

/**
 * Reads the query of `GET /revocations`.
 * @throws ApiRefusal naming the parameter: unknown, given twice, or of a wrong value
 */
export function parseRevocationQuery(query: string): RevocationQuery {
  const given = new Map<Parameter, string>();
  for (const [name, value] of new URLSearchParams(query)) {
    const known = PARAMETERS.find((parameter) => parameter === name);
    if (known === undefined)
      throw new ApiRefusal(
        'unknown_member',
        `there is no such parameter; there are: ${PARAMETERS.join(', ')}`,
        shownName(name),
      );
    if (given.has(known) || value === '' || value.length > MAX_TEXT)
      throw new ApiRefusal('invalid_value', `"${known}" is empty, too long or given twice`, known);
    given.set(known, value);
  }
  const kindText = given.get('kind');
  const kind = REVOCATION_KINDS.find((one) => one === kindText);
  if (kind === undefined && kindText !== undefined)
    throw new ApiRefusal(
      'invalid_value',
      `"kind" must be one of: ${REVOCATION_KINDS.join(', ')}`,
      'kind',
    );
  const limit = given.get('limit') ?? String(DEFAULT_LIMIT);
  if (!/^[1-9]\d{0,3}$/.test(limit) || Number(limit) > MAX_LIMIT)
    throw new ApiRefusal(
      'invalid_value',
      `"limit" must be a whole number from 1 to ${MAX_LIMIT}`,
      'limit',
    );
  const source = given.get('source');
  const cursor = given.get('cursor');
  return {
    limit: Number(limit),
    ...(kind === undefined ? {} : { kind }),
    ...(source === undefined ? {} : { source }),
    ...(cursor === undefined ? {} : { cursor }),
  };
}

/** @throws ApiRefusal when a call that takes no parameters has some */
export function refuseQuery(query: string): void {
  const [first] = new URLSearchParams(query).keys();
  if (first !== undefined)
    throw new ApiRefusal('unknown_member', 'there are no parameters here', shownName(first));
}
