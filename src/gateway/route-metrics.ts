import type { Api } from '../openapi/route.ts';

/** Routes with figures of their own; those beyond share one place. */
const MAX_ROUTES = 2_048;
const OTHER = MAX_ROUTES;

/** Upper bounds of the buckets, seconds; what took longer is in one more. */
export const DURATION_BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5] as const;

/** The classes of answers, by the first digit of the status: the cell's place is that digit. */
const CLASSES = ['none', '1xx', '2xx', '3xx', '4xx', '5xx'] as const;
export type StatusClass = (typeof CLASSES)[number];

/** Places of the cells of one route: the classes first. */
const REFUSED = CLASSES.length;
const SECONDS = REFUSED + 1;
const FIRST_BUCKET = SECONDS + 1;
const CELLS = FIRST_BUCKET + DURATION_BOUNDS.length + 1;

/** Size of the memory that one thread's routes are counted in. Pages of routes that are not there are never touched. */
export const ROUTE_COUNTER_BYTES = (MAX_ROUTES + 1) * CELLS * Float64Array.BYTES_PER_ELEMENT;

const SWITCHING = 101;

/** What a route is called where its requests are counted: `GET /petstore/v1/pet/{petId}`. */
export function routeKey(method: string, name: string): string {
  return `${method} ${name}`;
}

/**
 * The keys of all routes, in the order of their places. A route keeps its place as long as the process lives, so that counts go on over a
 * change of routes: new ones are appended, and old ones stay.
 * @param known what this function gave before
 */
export function routeKeys(apis: readonly Api[], known: readonly string[] = []): readonly string[] {
  const keys = new Set(known);
  for (const { basePath, routes } of apis)
    for (const { method, template } of routes)
      if (keys.size < MAX_ROUTES) keys.add(routeKey(method, basePath + template));
  return [...keys];
}

/** Finds the place of a route. */
export function placesOf(keys: readonly string[]): (key: string) => number {
  const places = new Map(keys.map((key, place) => [key, place]));
  return (key) => places.get(key) ?? OTHER;
}

/** Counts the requests of one thread by route. Every cell is a 64-bit float with one writer: no reader sees half of one. */
export class RouteMetrics {
  readonly #cells: Float64Array;

  /** @param memory {@link ROUTE_COUNTER_BYTES} that only this thread writes; counts that are in it go on */
  constructor(memory: SharedArrayBuffer) {
    this.#cells = new Float64Array(memory);
  }

  /**
   * A request is over.
   * @param status of its answer; 0: there was none
   * @param failed whether the gateway refused it, its upstream failed, or its answer was broken off
   * @param seconds how long it took. Not counted for a connection that switched protocols: it lasts as long as somebody likes
   */
  count(place: number, status: number, failed: boolean, seconds: number): void {
    const base = place * CELLS;
    this.#add(base + Math.trunc(status / 100), 1);
    if (failed) this.#add(base + REFUSED, 1);
    if (status === SWITCHING) return;
    this.#add(base + SECONDS, seconds);
    let bucket = 0;
    for (const bound of DURATION_BOUNDS) {
      if (seconds <= bound) break;
      bucket++;
    }
    this.#add(base + FIRST_BUCKET + bucket, 1);
  }

  #add(at: number, change: number): void {
    this.#cells[at] = (this.#cells[at] ?? 0) + change;
  }
}

/** What happened on one route. */
export interface RouteFigures {
  readonly method: string;
  /** Base path and path template. */
  readonly route: string;
  /** Requests that have ended by class of their answer; classes that never came are absent. */
  readonly statuses: Readonly<Partial<Record<StatusClass, number>>>;
  /** Those that were refused, whose upstream failed, or whose answer was broken off. */
  readonly refused: number;
  /** Seconds of all together. */
  readonly seconds: number;
  /** How many took no longer than each of {@link DURATION_BOUNDS}, and how many there were. */
  readonly withinBounds: readonly number[];
  readonly timed: number;
}

/** Of every route that was called: what threads have counted in their memories, added up. */
export function readRoutes(
  memories: readonly SharedArrayBuffer[],
  keys: readonly string[],
): RouteFigures[] {
  const cells = memories.map((memory) => new Float64Array(memory));
  return [...keys.entries(), [OTHER, 'other other'] as const].flatMap(([place, key]) => {
    const sum = (cell: number): number =>
      cells.reduce((total, own) => total + (own[place * CELLS + cell] ?? 0), 0);
    const counts = CLASSES.map((name, cell) => [name, sum(cell)] as const);
    if (counts.every(([, count]) => count === 0)) return [];
    let timed = 0;
    const withinBounds = DURATION_BOUNDS.map((_, n) => (timed += sum(FIRST_BUCKET + n)));
    timed += sum(FIRST_BUCKET + DURATION_BOUNDS.length);
    const blank = key.indexOf(' ');
    return {
      method: key.slice(0, blank),
      route: key.slice(blank + 1),
      statuses: Object.fromEntries(counts.filter(([, count]) => count > 0)),
      refused: sum(REFUSED),
      seconds: sum(SECONDS),
      withinBounds,
      timed,
    };
  });
}
