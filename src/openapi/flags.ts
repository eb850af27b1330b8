import type { Definition } from './definition.ts';
import { member } from './json.ts';
import type { JsonPath } from './json.ts';
import type { Problems } from './problems.ts';

/**
 * Whether an operation's endpoints are called over HTTP/2, and whether it may become a WebSocket: its own `x-portcullis-http2` and
 * `x-portcullis-websocket`, else the API's; absent where it is as without them.
 */
export function operationFlags(
  definition: Definition,
  path: JsonPath,
  operation: unknown,
  problems: Problems,
): { readonly http2?: true; readonly webSocket?: false } {
  const flag = (extension: string): boolean | undefined =>
    booleanExtension(definition, path, operation, extension, problems) ??
    booleanExtension(definition, [], definition.document, extension, problems);
  return {
    ...(flag('x-portcullis-http2') === true ? { http2: true } : {}),
    ...(flag('x-portcullis-websocket') === false ? { webSocket: false } : {}),
  };
}

/** The extension of an operation or, at an empty path, of the API. Undefined: there is none, or a problem with it. */
export function booleanExtension(
  definition: Definition,
  path: JsonPath,
  holder: unknown,
  extension: string,
  problems: Problems,
): boolean | undefined {
  const value = member(holder, extension);
  if (value === undefined || typeof value === 'boolean') return value;
  problems.invalid(
    definition.at([...path, extension]),
    `${extension} is ${JSON.stringify(value)}, not a boolean`,
    'Write true or false, without quotes.',
  );
  return undefined;
}
