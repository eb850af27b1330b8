import { validate } from '@readme/openapi-parser';
import { isObject, member } from './json.ts';
import type { JsonObject, JsonPath } from './json.ts';
import type { Place, Problems } from './problems.ts';
import type { Bundle } from './references.ts';

/** Milliseconds for resolving one definition's references. */
const DEREFERENCE_TIMEOUT_MS = 30_000;

/** Slips that a gateway can live with: they describe payloads or documentation, not what is routed or secured. */
const LENIENT = {
  'array-without-items': 'warning',
  'duplicate-operation-id': 'warning',
  'duplicate-non-request-body-parameters': 'warning',
  'non-optional-path-parameters': 'warning',
  'path-parameters-not-in-parameters': 'warning',
  'path-parameters-not-in-path': 'warning',
} as const;

const VERSIONS = 'Portcullis reads Swagger 2.0, OpenAPI 3.0 and OpenAPI 3.1.';

/** True for a document that says it is an OpenAPI or Swagger definition, whatever its version. */
export function claimsToBeDefinition(value: unknown): boolean {
  return member(value, 'openapi') !== undefined || member(value, 'swagger') !== undefined;
}

/**
 * Checks a definition against its specification's schema and rules. @readme/openapi-parser does it because it knows Swagger 2.0, OpenAPI
 * 3.0 and 3.1 and is maintained; it is given one self-contained document and may read nothing by itself.
 * @returns the document with every reference resolved, or undefined when problems were noted
 */
export async function check(
  source: Bundle,
  problems: Problems,
  file: Place,
): Promise<JsonObject | undefined> {
  if (!hasKnownVersion(source, problems)) return undefined;
  const document = structuredClone(source.value) as Record<string, unknown>;
  let result: Awaited<ReturnType<typeof validate>>;
  try {
    result = await validate(document as unknown as Parameters<typeof validate>[0] & object, {
      resolve: { external: false, file: false },
      dereference: { circular: 'ignore' },
      timeoutMs: DEREFERENCE_TIMEOUT_MS,
      validate: {
        rules: {
          openapi: LENIENT,
          swagger: { ...LENIENT, 'unknown-required-schema-property': 'warning' },
        },
      },
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    problems.invalid(file, `The references cannot be resolved: ${reason}`, 'Mend the definition.');
    return undefined;
  }
  for (const warning of result.warnings) {
    problems.warn(placeOf(warning.message, source, document), headline(warning.message));
  }
  if (result.valid) return document;
  for (const error of result.errors) {
    const place = placeOf(error.message, source, document);
    problems.invalid(place, headline(error.message), 'Mend the definition.');
  }
  return undefined;
}

function hasKnownVersion(source: Bundle, problems: Problems): boolean {
  const key = member(source.value, 'swagger') === undefined ? 'openapi' : 'swagger';
  const version = member(source.value, key);
  const known =
    typeof version === 'string' &&
    (key === 'swagger' ? version === '2.0' : /^3\.[01](?:\.\d+)?$/.test(version));
  if (known) return true;
  const quoted = typeof version === 'number' ? ` Write it in quotes: "${version.toFixed(1)}".` : '';
  problems.invalid(
    source.at([key]),
    `Error while reading the open API version from file, Check the open API format: ${key} is ${JSON.stringify(version)}`,
    `${VERSIONS}${quoted}`,
  );
  return false;
}

/** The checker's message without its code frame, which shows lines of a file that nobody has. */
function headline(message: string): string {
  const [first = ''] = message.split('\n');
  const hint = /\^+ (.+)$/m.exec(message)?.[1];
  return hint === undefined || first.includes(hint) ? first : `${first}: ${hint}`;
}

/** Finds the place in the source that a message of the checker speaks of. */
function placeOf(message: string, source: Bundle, document: JsonObject): Place {
  const frameLine = /^> *(\d+) \|/m.exec(message)?.[1];
  if (frameLine !== undefined) return source.at(pathAtLine(document, Number(frameLine)));
  const pointer = /^Missing \$ref pointer "([^"]*)"/.exec(message)?.[1];
  const reference = pointer === undefined ? undefined : source.findReference(pointer);
  if (reference !== undefined) return source.at(reference);
  const id = /`(\/(?:paths|components|definitions)[^`]*)`/.exec(message)?.[1];
  return source.at(id === undefined ? [] : pathOfId(document, id));
}

/** The node that begins on the given line of `JSON.stringify(root, null, 2)`, which is the text the checker's frames show. */
export function pathAtLine(root: unknown, wanted: number): JsonPath {
  let line = 1;
  let path: JsonPath = [];
  let value = root;
  for (;;) {
    const entries: [string | number, unknown][] = Array.isArray(value)
      ? value.map((item: unknown, index): [number, unknown] => [index, item])
      : Object.entries(isObject(value) ? value : {});
    const entered = entries.find(([, item]) => {
      if (item === undefined) return false;
      const last = line + lineCount(item);
      if (wanted <= last) return true;
      line = last;
      return false;
    });
    if (wanted <= line || entered === undefined) return path;
    path = [...path, entered[0]];
    value = entered[1];
    line++;
  }
}

/** Lines that `JSON.stringify(value, null, 2)` prints. */
function lineCount(value: unknown): number {
  const items = typeof value === 'object' && value !== null ? Object.values(value) : [];
  if (items.length === 0) return 1;
  let lines = 2;
  for (const item of items) if (item !== undefined) lines += lineCount(item);
  return lines;
}

/** From the checker's `/paths/pet/{petId}/get`, whose path keys keep their slashes, to a path into the document. */
function pathOfId(root: JsonObject, id: string): JsonPath {
  const path: string[] = [];
  let value: unknown = root;
  let rest = id;
  while (rest !== '' && isObject(value)) {
    const left = rest;
    const key = Object.keys(value)
      .filter((name) => `${left}/`.startsWith(`${slashed(name)}/`))
      .reduce<string | undefined>(
        (a, b) => (a !== undefined && a.length > b.length ? a : b),
        undefined,
      );
    if (key === undefined) break;
    path.push(key);
    value = value[key];
    rest = rest.slice(slashed(key).length);
  }
  return path;
}

function slashed(name: string): string {
  return name.startsWith('/') ? name : `/${name}`;
}
