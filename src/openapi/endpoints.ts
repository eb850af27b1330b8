import type { Definition } from './definition.ts';
import { nearest } from '../nearest.ts';
import { isObject, member } from './json.ts';
import type { JsonObject, JsonPath } from './json.ts';
import type { Problems } from './problems.ts';
import { endpointUrl, serverUrls } from './servers.ts';

/** Upstream base URLs, each absent where nothing was said. */
export interface Endpoints {
  readonly production: readonly string[] | undefined;
  readonly sandbox: readonly string[] | undefined;
}

const PRODUCTION = 'x-wso2-production-endpoints';
const SANDBOX = 'x-wso2-sandbox-endpoints';
const NAMED = 'x-wso2-endpoints';
const KEYS = ['urls', 'type', 'securityConfig', 'advanceEndpointConfig'];

/** The API's own endpoints: extensions first, then `servers` (Swagger 2: host, schemes, basePath) as production endpoints. */
export function apiEndpoints(definition: Definition, problems: Problems): Endpoints {
  checkNamed(definition, problems);
  const own = extensionEndpoints(definition, [], definition.document, problems);
  const production = own.production ?? serverUrls(definition, [], definition.document, problems);
  return { production, sandbox: own.sandbox };
}

/** Endpoints of one operation; what is absent is the API's. `servers` of the operation, then of its path, count as production endpoints. */
export function operationEndpoints(
  definition: Definition,
  template: string,
  method: string,
  problems: Problems,
): Endpoints {
  const itemPath = ['paths', template];
  const item = member(member(definition.document, 'paths'), template);
  const operation = member(item, method);
  const path = [...itemPath, method];
  const own = extensionEndpoints(definition, path, operation, problems);
  const production =
    own.production ??
    serverUrls(definition, path, operation, problems) ??
    serverUrls(definition, itemPath, item, problems);
  return { production, sandbox: own.sandbox };
}

function extensionEndpoints(
  definition: Definition,
  path: JsonPath,
  holder: unknown,
  problems: Problems,
): Endpoints {
  const read = (name: string): string[] | undefined => {
    const value = member(holder, name);
    if (value === undefined) return undefined;
    return endpointList(definition, [...path, name], value, problems);
  };
  return { production: read(PRODUCTION), sandbox: read(SANDBOX) };
}

/** An endpoint object, or `#/x-wso2-endpoints/<name>`. An empty list means that problems were noted. */
function endpointList(
  definition: Definition,
  path: JsonPath,
  value: unknown,
  problems: Problems,
): string[] {
  if (typeof value === 'string') {
    const name = new RegExp(`^#/${NAMED}/(.+)$`).exec(value)?.[1];
    const named = namedEndpoints(definition.document);
    const found = name === undefined ? undefined : named.get(name);
    if (found !== undefined) return endpointUrls(definition, found.path, found.value, problems);
    const near = name === undefined ? undefined : nearest(name, named.keys());
    problems.invalid(
      definition.at(path),
      `The endpoint reference '${value}' is not defined under ${NAMED}`,
      near === undefined
        ? `Write '#/${NAMED}/<name>' with a name that is listed there.`
        : `Did you mean '#/${NAMED}/${near}'?`,
    );
    return [];
  }
  return endpointUrls(definition, path, value, problems);
}

function endpointUrls(
  definition: Definition,
  path: JsonPath,
  value: unknown,
  problems: Problems,
): string[] {
  if (!isObject(value)) {
    const remedy = 'Write a mapping with `urls`.';
    problems.invalid(definition.at(path), 'The endpoint is not a mapping', remedy);
    return [];
  }
  checkOptions(definition, path, value, problems);
  const { urls } = value;
  if (!Array.isArray(urls) || urls.length === 0) {
    problems.invalid(definition.at(path), 'The endpoint has no `urls`', 'List at least one URL.');
    return [];
  }
  return urls.flatMap((url: unknown, index) => {
    const parsed = endpointUrl(definition, [...path, 'urls', index], url, problems);
    return parsed === undefined ? [] : [parsed];
  });
}

/** Everything beside `urls` is either the round robin that happens anyway, or not built yet. */
function checkOptions(
  definition: Definition,
  path: JsonPath,
  endpoint: JsonObject,
  problems: Problems,
): void {
  for (const key of Object.keys(endpoint)) {
    const place = definition.at([...path, key]);
    if (key === 'securityConfig') {
      problems.notBuilt(place, 'securityConfig (endpoint authentication)', 'Remove it.');
    } else if (key === 'advanceEndpointConfig') {
      const parts = Object.keys(isObject(endpoint[key]) ? endpoint[key] : {}).join(', ');
      problems.notBuilt(place, `advanceEndpointConfig (${parts})`, 'Remove it.');
    } else if (key !== 'urls' && key !== 'type') {
      const near = nearest(key, KEYS);
      const remedy = near === undefined ? 'Remove it.' : `Did you mean ${near}?`;
      problems.invalid(place, `The endpoint key '${key}' is not known`, remedy);
    }
  }
  const { type, urls } = endpoint;
  if (type === undefined || type === 'load_balance') return;
  const place = definition.at([...path, 'type']);
  if (type === 'failover') {
    const remedy = 'Remove it, or use load_balance.';
    problems.notBuilt(place, 'type failover (failover endpoints)', remedy);
  } else if (type !== 'http') {
    const remedy = 'Write http, load_balance or failover.';
    problems.invalid(place, `The endpoint type ${JSON.stringify(type)} is not known`, remedy);
  } else if (Array.isArray(urls) && urls.length > 1) {
    const message = 'The endpoint type http takes one URL, and several are given';
    problems.invalid(place, message, 'Use load_balance, or keep one URL.');
  }
}

/** Entries of `x-wso2-endpoints`: a list of mappings with one name each. */
function namedEndpoints(document: JsonObject): Map<string, { path: JsonPath; value: unknown }> {
  const list = member(document, NAMED);
  const found = new Map<string, { path: JsonPath; value: unknown }>();
  for (const [index, entry] of (Array.isArray(list) ? list : []).entries()) {
    if (!isObject(entry)) continue;
    for (const [name, value] of Object.entries(entry)) {
      found.set(name, { path: [NAMED, index, name], value });
    }
  }
  return found;
}

/** Checks the named endpoints that nothing refers to as well, and that no name is given twice. */
function checkNamed(definition: Definition, problems: Problems): void {
  const list = member(definition.document, NAMED);
  if (list === undefined) return;
  if (!Array.isArray(list) || !list.every(isObject)) {
    const remedy = 'Write one `- <name>:` with its endpoint per entry.';
    problems.invalid(definition.at([NAMED]), `${NAMED} is not a list of mappings`, remedy);
    return;
  }
  const seen = new Set<string>();
  for (const [index, entry] of list.entries()) {
    for (const [name, value] of Object.entries(entry)) {
      const path = [NAMED, index, name];
      if (seen.has(name)) {
        const message = `The endpoint '${name}' is defined more than once`;
        problems.invalid(definition.at(path), message, 'Rename one of them.');
      }
      seen.add(name);
      endpointUrls(definition, path, value, problems);
    }
  }
}
