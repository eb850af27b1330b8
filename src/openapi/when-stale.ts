import type { Definition } from './definition.ts';
import { member } from './json.ts';
import type { JsonPath } from './json.ts';
import type { Problems } from './problems.ts';
import { WHEN_STALE } from './route.ts';
import type { WhenStale } from './route.ts';

const EXTENSION = 'x-portcullis-when-stale';

/**
 * What an operation's callers get while revocations may have been missed: the operation's own `x-portcullis-when-stale`, else the API's;
 * undefined where neither has one.
 */
export function operationWhenStale(
  definition: Definition,
  path: JsonPath,
  operation: unknown,
  problems: Problems,
): { readonly whenStale?: WhenStale } {
  const own = policy(definition, path, operation, problems);
  const whenStale = own ?? policy(definition, [], definition.document, problems);
  return whenStale === undefined ? {} : { whenStale };
}

function policy(
  definition: Definition,
  path: JsonPath,
  holder: unknown,
  problems: Problems,
): WhenStale | undefined {
  const value = member(holder, EXTENSION);
  if (value === undefined) return undefined;
  const known = WHEN_STALE.find((one) => one === value);
  if (known === undefined) {
    problems.invalid(
      definition.at([...path, EXTENSION]),
      `${EXTENSION} is ${JSON.stringify(value)}`,
      `Write one of ${WHEN_STALE.join(', ')}.`,
    );
  }
  return known;
}
