import type { Api, Route } from '../openapi/route.ts';
import { CLOSED, type EdgeRules } from './edge-rules.ts';
import { RouteCache } from './route-cache.ts';
import { placesOf, routeKey } from './route-metrics.ts';
import { type RouteEntry, Router } from './router.ts';
import type { Endpoints, Upstream, Upstreams } from './upstream.ts';

/** A route with its endpoints resolved. */
export interface Operation {
  readonly route: Route;
  /** Base path and template: what it is called where requests are counted and written down. */
  readonly name: string;
  /** Of its figures; see route-metrics.ts. */
  readonly place: number;
  /** Segments of the API's base path: they do not go upstream. */
  readonly baseDepth: number;
  readonly production: Endpoints | undefined;
  readonly sandbox: Endpoints | undefined;
}

export type Routes = RouteCache<Operation>;

/**
 * Makes the routing table. Operations with the same endpoints share one rotation. TRACE, which reflects the request, is served only
 * where a rule says so.
 * @param used gets every upstream that a route names
 * @param placeOf the place of a route's figures, by its key
 * @throws OperatorError `ERR_DUPLICATE_ROUTE`, `ERR_ENDPOINT_URL`
 */
export function compileRoutes(
  apis: readonly Api[],
  upstreams: Upstreams,
  used: Set<Upstream>,
  rules: EdgeRules = CLOSED,
  placeOf: (key: string) => number = placesOf([]),
): Routes {
  const rotations = new Map<string, Endpoints | undefined>();
  const endpoints = (urls: readonly string[], http2 = false): Endpoints | undefined => {
    const key = [http2, ...urls].join('\n');
    let rotation = rotations.get(key);
    if (rotation === undefined) rotations.set(key, (rotation = upstreams.endpoints(urls, http2)));
    for (const upstream of rotation?.upstreams ?? []) used.add(upstream);
    return rotation;
  };
  const entries = apis.flatMap((api) =>
    api.routes
      .filter((route) => route.method !== 'TRACE' || rules.trace === 'serve')
      .map((route): RouteEntry<Operation> => ({
        basePath: api.basePath,
        method: route.method,
        template: route.template,
        value: {
          route,
          name: api.basePath + route.template,
          place: placeOf(routeKey(route.method, api.basePath + route.template)),
          baseDepth: api.basePath.split('/').length - 1,
          production: endpoints(route.production, route.http2),
          sandbox: endpoints(route.sandbox, route.http2),
        },
      })),
  );
  return new RouteCache(new Router(entries), rules);
}
