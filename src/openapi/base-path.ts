import type { Definition } from './definition.ts';
import { isSwagger2 } from './definition.ts';
import { isObject, member } from './json.ts';
import type { JsonPath } from './json.ts';
import { pathComplaint } from './path-template.ts';
import type { Problems } from './problems.ts';
import { serverText } from './servers.ts';

const EXTENSION = 'x-wso2-basePath';

/**
 * Where an API lives on the gateway: `x-wso2-basePath` with `{version}` replaced, else the path of the first server (Swagger 2:
 * `basePath`), else `/`.
 * @returns the path without a trailing slash, the root being the empty string
 */
export function basePath(definition: Definition, version: string, problems: Problems): string {
  const { path, text } = rawBasePath(definition, version, problems);
  const trimmed = text.replace(/\/+$/, '');
  if (trimmed === '') return '';
  const complaint = /[{}]/.test(trimmed)
    ? 'has a {variable} other than {version}'
    : pathComplaint(trimmed);
  if (complaint !== undefined) {
    const remedy = 'Write a path such as /petstore/v1.';
    problems.invalid(definition.at(path), `The base path '${text}' ${complaint}`, remedy);
  }
  return trimmed;
}

function rawBasePath(
  definition: Definition,
  version: string,
  problems: Problems,
): { path: JsonPath; text: string } {
  const { document } = definition;
  const given = member(document, EXTENSION);
  if (typeof given === 'string') {
    return { path: [EXTENSION], text: given.replaceAll('{version}', version) };
  }
  if (given !== undefined) {
    const message = `${EXTENSION} is ${JSON.stringify(given)}, not a path`;
    problems.invalid(definition.at([EXTENSION]), message, 'Write a path such as /petstore/v1.');
    return { path: [EXTENSION], text: '' };
  }
  const fallback = isSwagger2(definition) ? swagger2Path(definition) : serverPath(definition);
  if (fallback !== undefined) return fallback;
  problems.warn(
    { file: definition.at([]).file },
    `basePath not found in the open API '${definition.file}'. Hence defaults to '/'`,
  );
  return { path: [], text: '/' };

  function serverPath(from: Definition): { path: JsonPath; text: string } | undefined {
    const servers = member(document, 'servers');
    const first: unknown = Array.isArray(servers) ? servers[0] : undefined;
    if (!isObject(first)) return undefined;
    const path = ['servers', 0, 'url'];
    const text = serverText(first);
    if (text.startsWith('/')) return { path, text: text.replace(/[?#].*$/s, '') };
    const url = URL.parse(text);
    if (url !== null) return { path, text: decodeBraces(url.pathname) };
    problems.warn(
      from.at(path),
      `servers url in the open API '${from.file}' does not adhere to pattern '<scheme>://<host>/<basePath>/'. Hence the base path defaults to '/'`,
    );
    return { path, text: '/' };
  }
}

function swagger2Path(definition: Definition): { path: JsonPath; text: string } | undefined {
  const text = member(definition.document, 'basePath');
  return typeof text === 'string' ? { path: ['basePath'], text } : undefined;
}

function decodeBraces(text: string): string {
  return text.replaceAll(/%7b/gi, '{').replaceAll(/%7d/gi, '}');
}
