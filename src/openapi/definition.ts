import type { JsonObject, JsonPath } from './json.ts';
import { member } from './json.ts';
import type { Place } from './problems.ts';

/** One checked definition, every `$ref` in it resolved. */
export interface Definition {
  /** Path below `api_definitions/`. */
  readonly file: string;
  readonly document: JsonObject;
  /** File and line of a node, for messages. */
  at(path: JsonPath): Place;
}

/** Methods that an operation may have, in the specifications' order. */
export const METHODS = [
  'get',
  'put',
  'post',
  'delete',
  'options',
  'head',
  'patch',
  'trace',
] as const;

/** True for Swagger 2, whose servers and security schemes are written differently. */
export function isSwagger2(definition: Definition): boolean {
  return member(definition.document, 'swagger') !== undefined;
}
