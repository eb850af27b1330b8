import type { Api, Route } from '../openapi/route.ts';
import { type RouteEntry, Router } from './router.ts';
import type { Endpoints, Upstream, Upstreams } from './upstream.ts';

/** A route with its endpoints resolved. */
export interface Operation {
  readonly route: Route;
  /** Segments of the API's base path: they do not go upstream. */
  readonly baseDepth: number;
  readonly production: Endpoints | undefined;
  readonly sandbox: Endpoints | undefined;
}

export type Routes = Router<Operation>;

/**
 * Makes the routing table. Operations with the same endpoints share one rotation. TRACE is never served: it reflects the request.
 * @param used gets every upstream that a route names
 * @throws OperatorError `ERR_DUPLICATE_ROUTE`, `ERR_ENDPOINT_URL`
 */
export function compileRoutes(
  apis: readonly Api[],
  upstreams: Upstreams,
  used: Set<Upstream>,
): Routes {
  const rotations = new Map<string, Endpoints | undefined>();
  const endpoints = (urls: readonly string[]): Endpoints | undefined => {
    const key = urls.join('\n');
    let rotation = rotations.get(key);
    if (rotation === undefined) rotations.set(key, (rotation = upstreams.endpoints(urls)));
    for (const upstream of rotation?.upstreams ?? []) used.add(upstream);
    return rotation;
  };
  const entries = apis.flatMap((api) =>
    api.routes
      .filter((route) => route.method !== 'TRACE')
      .map((route): RouteEntry<Operation> => ({
        basePath: api.basePath,
        method: route.method,
        template: route.template,
        value: {
          route,
          baseDepth: api.basePath.split('/').length - 1,
          production: endpoints(route.production),
          sandbox: endpoints(route.sandbox),
        },
      })),
  );
  return new Router(entries);
}
