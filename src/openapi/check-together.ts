import type { Definition } from './definition.ts';
import { pathShape } from './path-template.ts';
import type { Place, Problems } from './problems.ts';
import type { Api } from './route.ts';

/** An API and where it was read from. */
export interface LoadedApi {
  readonly api: Api;
  readonly definition: Definition;
}

/** Paths that the gateway answers by itself: health, readiness, and the token endpoints that it proxies. */
const OWN_PATHS = ['health', 'ready', 'token', 'revoke', 'authorize', 'userinfo'];

/** Refuses definitions that cannot live in one gateway: what names, base paths and requests may belong to is one of them. */
export function checkTogether(loaded: readonly LoadedApi[], problems: Problems): void {
  refuseSameName(loaded, problems);
  if (refuseSameBasePath(loaded, problems)) return;
  refuseAmbiguity(loaded, problems);
  refuseShadows(loaded, problems);
}

function refuseSameName(loaded: readonly LoadedApi[], problems: Problems): void {
  const byName = new Map<string, Api>();
  for (const { api, definition } of loaded) {
    const name = JSON.stringify([api.title, api.version]);
    const other = byName.get(name);
    byName.set(name, other ?? api);
    if (other === undefined) continue;
    problems.invalid(
      definition.at(['info', 'title']),
      `The API '${api.title}' version '${api.version}' is duplicated across multiple openAPI definitions: ${other.file}, ${api.file}`,
      'Give one of them another title or version.',
    );
  }
}

function refuseSameBasePath(loaded: readonly LoadedApi[], problems: Problems): boolean {
  const byBasePath = new Map<string, Api>();
  let refused = false;
  for (const { api, definition } of loaded) {
    const key = JSON.stringify(pathShape(api.basePath));
    const other = byBasePath.get(key);
    byBasePath.set(key, other ?? api);
    if (other === undefined) continue;
    refused = true;
    problems.invalid(
      definition.at(['x-wso2-basePath']),
      `The derived value for the base path '${api.basePath || '/'}' is duplicated in the following openAPI definitions: ${other.file}, ${api.file}`,
      'Give each definition its own x-wso2-basePath.',
    );
  }
  return refused;
}

/** Templates of one definition that the same requests match. */
function refuseAmbiguity(loaded: readonly LoadedApi[], problems: Problems): void {
  for (const { api, definition } of loaded) {
    const byShape = new Map<string, string>();
    for (const { method, template } of api.routes) {
      const shape = JSON.stringify([method, ...pathShape(template)]);
      const twin = byShape.get(shape);
      byShape.set(shape, twin ?? template);
      if (twin === undefined) continue;
      problems.invalid(
        definition.at(['paths', template, method.toLowerCase()]),
        `${method} ${template} is ambiguous: it matches the same requests as ${twin}`,
        'Keep one of them.',
      );
    }
  }
}

/** Of several base paths the longest that fits takes a request, so an operation below another definition's base path is never reached. */
function refuseShadows(loaded: readonly LoadedApi[], problems: Problems): void {
  const bases = loaded.map(({ api }) => ({ api, segments: pathShape(api.basePath) }));
  for (const { api, definition } of loaded) {
    const own = pathShape(api.basePath).length;
    for (const { method, template } of api.routes) {
      const segments = pathShape(api.basePath + template);
      const place = (): Place => definition.at(['paths', template, method.toLowerCase()]);
      if (segments.length === 1 && OWN_PATHS.includes(segments[0] ?? '')) {
        const message = `${method} ${template} is never reached: the gateway answers ${api.basePath}${template} by itself`;
        problems.invalid(place(), message, 'Give the API another base path.');
      }
      const shadow = bases.find(
        (base) =>
          base.segments.length > own &&
          base.segments.every((segment, index) => segment === segments[index]),
      );
      if (shadow === undefined) continue;
      problems.invalid(
        place(),
        `${method} ${template} is never reached: ${api.basePath}${template} lies below the base path ${shadow.api.basePath} of ${shadow.api.file}`,
        'Move the operation there, or change a base path.',
      );
    }
  }
}
