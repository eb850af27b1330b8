import { checkQuery, type PathRules, readPath, type RequestPath } from './path.ts';
import type { Router } from './router.ts';

/** A path that was read, with where it leads once that is known. */
export interface KnownPath<T> extends RequestPath {
  /** What the router found for it. */
  operation: T | undefined;
  /** The path as it came, without the query. */
  readonly key: string;
}

/** Most paths that are remembered, and the longest one: together they bound the memory of one routing table. */
const MAX_PATHS = 1_024;
const MAX_LENGTH = 512;

/**
 * A routing table that remembers the paths that it led somewhere lately: what was accepted once is not read and searched again. Refused
 * paths are not remembered, so whoever sends many of them pushes nobody out; whoever sends many good ones makes it begin anew.
 */
export class RouteCache<T> {
  readonly #router: Router<T>;
  readonly #rules: PathRules;
  readonly #known = new Map<string, Map<string, KnownPath<T>>>();
  #size = 0;

  constructor(router: Router<T>, rules: PathRules) {
    this.#router = router;
    this.#rules = rules;
  }

  /**
   * As {@link readPath}.
   * @throws GatewayFault `ambiguousPath` or `badRequest`
   */
  read(method: string, target: string): KnownPath<T> {
    const query = target.indexOf('?');
    const key = query === -1 ? target : target.slice(0, query);
    const known = this.#known.get(method)?.get(key);
    if (known === undefined) {
      const { target: forwarded, end, segments, bare } = readPath(target, this.#rules);
      return { target: forwarded, end, segments, bare, operation: undefined, key };
    }
    if (query === -1) return known;
    checkQuery(target, query);
    const { end, segments, bare, operation } = known;
    const forwarded = known.target === key ? target : known.target + target.slice(query);
    return { target: forwarded, end, segments, bare, operation, key };
  }

  /**
   * Where `path` leads, as {@link Router.match}.
   * @param path what {@link read} gave for this method
   * @throws GatewayFault `notFound`, `ambiguousPath`, or `methodNotAllowed` with `allow`
   */
  match(method: string, path: KnownPath<T>): T {
    if (path.operation !== undefined) return path.operation;
    const operation = this.#router.match(method, path.segments, path.bare);
    path.operation = operation;
    if (path.key.length <= MAX_LENGTH) this.#remember(method, path, operation);
    return operation;
  }

  #remember(method: string, path: KnownPath<T>, operation: T): void {
    if (this.#size >= MAX_PATHS) {
      this.#known.clear();
      this.#size = 0;
    }
    let paths = this.#known.get(method);
    if (paths === undefined) {
      paths = new Map<string, KnownPath<T>>();
      this.#known.set(flat(method), paths);
    }
    const key = flat(path.key);
    const { end, bare } = path;
    const forwarded = path.target.slice(0, end);
    if (!paths.has(key)) this.#size++;
    paths.set(key, {
      target: forwarded === key ? key : flat(forwarded),
      end,
      segments: path.segments.map(flat),
      bare: bare?.map(flat),
      operation,
      key,
    });
  }
}

/** A copy that does not keep alive the text of a whole request, which it may be a slice of. */
function flat(text: string): string {
  return Buffer.from(text, 'utf8').toString('utf8');
}
