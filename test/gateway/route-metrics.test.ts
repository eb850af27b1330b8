import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  DURATION_BOUNDS,
  placesOf,
  readRoutes,
  ROUTE_COUNTER_BYTES,
  routeKeys,
  RouteMetrics,
} from '../../src/gateway/route-metrics.ts';
import { api } from './stage.ts';

const memory = (): SharedArrayBuffer => new SharedArrayBuffer(ROUTE_COUNTER_BYTES);
const APIS = [api('/pets/v1', ['GET /{id}', {}], ['PUT /{id}', {}]), api('', ['GET /', {}])];
const KEYS = routeKeys(APIS);

test('routes have places in the order of the definitions, and keep them when routes come and go', () => {
  assert.deepEqual(KEYS, ['GET /pets/v1/{id}', 'PUT /pets/v1/{id}', 'GET /']);
  const later = routeKeys([api('', ['GET /new', {}], ['GET /', {}])], KEYS);
  assert.deepEqual(later, [...KEYS, 'GET /new']);
  const place = placesOf(later);
  assert.deepEqual(later.map(place), [0, 1, 2, 3]);
});

test('routes beyond the last place are counted together', () => {
  const many = api('', ...Array.from({ length: 3_000 }, (_, n) => [`GET /${n}`, {}] as const));
  const keys = routeKeys([many]);
  assert.equal(keys.length, 2_048);
  const shared = memory();
  const metrics = new RouteMetrics(shared);
  const place = placesOf(keys);
  for (const key of ['GET /2047', 'GET /2048', 'GET /2999'])
    metrics.count(place(key), 200, false, 0);
  assert.deepEqual(
    readRoutes([shared], keys).map(({ method, route, statuses }) => [method, route, statuses]),
    [
      ['GET', '/2047', { '2xx': 1 }],
      ['other', 'other', { '2xx': 2 }],
    ],
  );
});

test('what threads have counted is added up, a replacement goes on where the one before it stopped, and idle routes are left out', () => {
  const memories = [memory(), memory()];
  const [first, second] = memories.map((own) => new RouteMetrics(own));
  first?.count(0, 200, false, 0.5);
  second?.count(0, 404, true, 0.25);
  const [one = memory()] = memories;
  new RouteMetrics(one).count(0, 0, false, 0.125);
  assert.deepEqual(readRoutes(memories, KEYS), [
    {
      method: 'GET',
      route: '/pets/v1/{id}',
      statuses: { none: 1, '2xx': 1, '4xx': 1 },
      refused: 1,
      seconds: 0.875,
      withinBounds: [0, 0, 0, 0, 0, 0, 0, 2, 3, 3],
      timed: 3,
    },
  ]);
});

test('a connection that switched protocols is counted, and how long it lasted is not', () => {
  const shared = memory();
  new RouteMetrics(shared).count(2, 101, false, 3_600);
  const [figures] = readRoutes([shared], KEYS);
  assert.deepEqual(figures?.statuses, { '1xx': 1 });
  assert.deepEqual([figures.timed, figures.seconds], [0, 0]);
});

test('buckets are what their bounds say, for any durations', () => {
  const seconds = fc.oneof(
    fc.double({ min: 0, max: 10, noNaN: true }),
    fc.constantFrom(...DURATION_BOUNDS),
  );
  fc.assert(
    fc.property(fc.array(seconds, { maxLength: 50 }), (durations) => {
      const shared = memory();
      const metrics = new RouteMetrics(shared);
      for (const duration of durations) metrics.count(1, 200, false, duration);
      const [figures] = readRoutes([shared], KEYS);
      assert.equal(figures?.timed ?? 0, durations.length);
      assert.deepEqual(
        figures?.withinBounds ?? DURATION_BOUNDS.map(() => 0),
        DURATION_BOUNDS.map((bound) => durations.filter((duration) => duration <= bound).length),
      );
    }),
    { numRuns: 50 },
  );
});
