import type { Definition } from './definition.ts';
import { member } from './json.ts';
import type { JsonPath } from './json.ts';
import type { Problems } from './problems.ts';

const EXTENSION = 'x-portcullis-http2';

/** Whether an operation's endpoints are called over HTTP/2: its own `x-portcullis-http2`, else the API's; absent where that is not so. */
export function operationHttp2(
  definition: Definition,
  path: JsonPath,
  operation: unknown,
  problems: Problems,
): { readonly http2?: true } {
  const own = flag(definition, path, operation, problems);
  return (own ?? flag(definition, [], definition.document, problems)) === true
    ? { http2: true }
    : {};
}

function flag(
  definition: Definition,
  path: JsonPath,
  holder: unknown,
  problems: Problems,
): boolean | undefined {
  const value = member(holder, EXTENSION);
  if (value === undefined || typeof value === 'boolean') return value;
  problems.invalid(
    definition.at([...path, EXTENSION]),
    `${EXTENSION} is ${JSON.stringify(value)}`,
    'Write true or false.',
  );
  return undefined;
}
