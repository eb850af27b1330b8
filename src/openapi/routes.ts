import { basePath } from './base-path.ts';
import type { Definition } from './definition.ts';
import { METHODS } from './definition.ts';
import { apiEndpoints, operationEndpoints } from './endpoints.ts';
import { operationFlags } from './flags.ts';
import { isObject, member } from './json.ts';
import { templateComplaint } from './path-template.ts';
import type { Problems } from './problems.ts';
import type { Api, Route } from './route.ts';
import { operationSecurity } from './security.ts';
import { checkExtensions } from './vendor-extensions.ts';
import { operationWhenStale } from './when-stale.ts';

/** One checked definition as plain data. Problems are noted; the API is only meant to be used when there are none. */
export function toApi(definition: Definition, problems: Problems): Api {
  const { document, file } = definition;
  const info = member(document, 'info');
  const title = String(member(info, 'title'));
  const version = String(member(info, 'version'));
  checkExtensions(definition, problems);
  const path = basePath(definition, version, problems);
  const routes = toRoutes(definition, problems);
  return { title, version, basePath: path, file, routes };
}

function toRoutes(definition: Definition, problems: Problems): Route[] {
  const api = apiEndpoints(definition, problems);
  const paths = member(definition.document, 'paths');
  const routes: Route[] = [];
  let unserved = false;
  for (const [template, item] of Object.entries(isObject(paths) ? paths : {})) {
    if (/^x-/i.test(template)) continue;
    const itemPath = ['paths', template];
    const complaint = templateComplaint(template);
    if (complaint !== undefined) {
      const remedy = 'Write whole segments, such as /pet/{petId}.';
      problems.invalid(definition.at(itemPath), `The path '${template}' ${complaint}`, remedy);
    }
    for (const method of METHODS) {
      const operation = member(item, method);
      if (operation === undefined) continue;
      const own = operationEndpoints(definition, template, method, problems);
      const production = own.production ?? api.production;
      const sandbox = own.sandbox ?? api.sandbox;
      unserved ||= production === undefined && sandbox === undefined;
      routes.push({
        method: method.toUpperCase(),
        template,
        ...operationSecurity(definition, [...itemPath, method], operation, problems),
        production: production ?? [],
        sandbox: sandbox ?? [],
        ...operationWhenStale(definition, [...itemPath, method], operation, problems),
        ...operationFlags(definition, [...itemPath, method], operation, problems),
      });
    }
  }
  if (unserved) {
    problems.invalid(
      definition.at([]),
      "Either open API default attribute 'servers' or wso2 specific extensions 'x-wso2-production-endpoints' and 'x-wso2-sandbox-endpoints' are not included under API Level, and an operation has none of its own",
      'Add a server with an absolute URL, or the extension.',
    );
  }
  if (routes.length === 0) {
    const file = definition.at([]).file;
    problems.warn({ file }, 'the definition has no operations: nothing of it is served');
  }
  return routes;
}
