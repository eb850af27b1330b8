import { GatewayFault, OperatorError } from '../errors.ts';

/** One operation at its place: `basePath` and `template` as in {@link ../openapi/route.ts}. */
export interface RouteEntry<T> {
  readonly basePath: string;
  readonly method: string;
  readonly template: string;
  readonly value: T;
}

/** All ways to go on from one point of a path. A tree, so no search visits a node twice: hostile paths cost no more than long ones. */
class PathNode<T> {
  readonly literals = new Map<string, PathNode<T>>();
  parameter: PathNode<T> | undefined;
  readonly operations = new Map<string, T>();
  allow = '';
}

interface BaseNode<T> {
  readonly children: Map<string, BaseNode<T>>;
  templates: PathNode<T> | undefined;
}

/**
 * From method and path to an operation. The API with the longest base path is asked alone; in it literal text goes before parameters,
 * segment by segment, and the method is looked at last. A single trailing slash is ignored unless a template has one.
 */
export class Router<T> {
  readonly #root: BaseNode<T> = { children: new Map(), templates: undefined };

  /** @throws OperatorError `ERR_DUPLICATE_ROUTE` */
  constructor(entries: Iterable<RouteEntry<T>>) {
    for (const entry of entries) this.#add(entry);
  }

  /**
   * @param bare the segments without path parameters, when some have any. Upstreams read the path one way or the other: `/login;x` is
   * `/login` to a servlet container and may be a `/{name}` to others, so a path that is two operations is neither.
   * @throws GatewayFault `notFound`, `ambiguousPath`, or `methodNotAllowed` with `allow`
   */
  match(method: string, segments: readonly string[], bare?: readonly string[]): T {
    let node = this.#find(segments);
    if (bare !== undefined) {
      const other = this.#find(bare);
      if (node !== undefined && other !== undefined && node !== other) {
        throw new GatewayFault('ambiguousPath', 'path parameters that decide on the operation');
      }
      node ??= other;
    }
    if (node === undefined) throw new GatewayFault('notFound', 'no operation has this path');
    const value = node.operations.get(method);
    if (value === undefined) {
      throw new GatewayFault('methodNotAllowed', 'the path has no such method', {
        allow: node.allow,
      });
    }
    return value;
  }

  #find(segments: readonly string[]): PathNode<T> | undefined {
    let base = this.#root;
    let templates = base.templates;
    let below = 0;
    for (let depth = 0; depth < segments.length; depth++) {
      const next = base.children.get(segments[depth] ?? '');
      if (next === undefined) break;
      base = next;
      if (base.templates !== undefined) {
        templates = base.templates;
        below = depth + 1;
      }
    }
    return templates === undefined ? undefined : find(templates, segments, below);
  }

  #add({ basePath, method, template, value }: RouteEntry<T>): void {
    let base = this.#root;
    for (const text of split(basePath)) {
      let next = base.children.get(decodeText(text));
      if (next === undefined) {
        next = { children: new Map(), templates: undefined };
        base.children.set(decodeText(text), next);
      }
      base = next;
    }
    let node = (base.templates ??= new PathNode<T>());
    for (const part of split(template)) node = step(node, part);
    if (node.operations.has(method)) {
      throw new OperatorError(
        'ERR_DUPLICATE_ROUTE',
        `${method} ${basePath}${template} is defined twice`,
      );
    }
    node.operations.set(method, value);
    node.allow = [...node.operations.keys()].sort().join(', ');
  }
}

/** `/a/b` -> a, b; `/` -> nothing; `/a/` -> a and an empty segment. */
function split(path: string): string[] {
  const parts = path.split('/').slice(1);
  return parts.length === 1 && parts[0] === '' ? [] : parts;
}

function decodeText(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The node below `parent` for one segment of a template, made when it is new. */
function step<T>(parent: PathNode<T>, part: string): PathNode<T> {
  if (/^\{[^{}]*\}$/.test(part)) return (parent.parameter ??= new PathNode<T>());
  const text = decodeText(part);
  let node = parent.literals.get(text);
  if (node === undefined) parent.literals.set(text, (node = new PathNode<T>()));
  return node;
}

function find<T>(
  node: PathNode<T>,
  segments: readonly string[],
  index: number,
): PathNode<T> | undefined {
  const segment = segments[index];
  if (segment === undefined) return served(node);
  const text = node.literals.get(segment);
  const found = text === undefined ? undefined : find(text, segments, index + 1);
  if (found !== undefined) return found;
  if (segment === '') return served(node);
  return node.parameter === undefined ? undefined : find(node.parameter, segments, index + 1);
}

function served<T>(node: PathNode<T>): PathNode<T> | undefined {
  return node.operations.size > 0 ? node : undefined;
}
