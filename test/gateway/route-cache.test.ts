import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { GatewayFault } from '../../src/errors.ts';
import { CLOSED, edgeRules } from '../../src/gateway/edge-rules.ts';
import { readPath } from '../../src/gateway/path.ts';
import { RouteCache } from '../../src/gateway/route-cache.ts';
import { Router } from '../../src/gateway/router.ts';

/** A router that counts how often it is asked. */
class Counting extends Router<string> {
  asked = 0;

  override match(method: string, segments: readonly string[], bare?: readonly string[]): string {
    this.asked++;
    return super.match(method, segments, bare);
  }
}

function table(...routes: readonly string[]): Counting {
  return new Counting(
    routes.map((value) => {
      const [method = '', template = ''] = value.split(' ');
      return { basePath: '', method, template, value };
    }),
  );
}

test('a path is searched once per method, whatever its query', () => {
  const router = table('GET /pet/{id}', 'POST /pet/{id}');
  const routes = new RouteCache(router, CLOSED);
  const ask = (method: string, target: string): string =>
    routes.match(method, routes.read(method, target));
  assert.equal(ask('GET', '/pet/7'), 'GET /pet/{id}');
  assert.equal(ask('GET', '/pet/7'), 'GET /pet/{id}');
  assert.equal(ask('GET', '/pet/7?x=1'), 'GET /pet/{id}');
  assert.equal(router.asked, 1);
  assert.equal(ask('POST', '/pet/7?x=2'), 'POST /pet/{id}');
  assert.equal(ask('POST', '/pet/7'), 'POST /pet/{id}');
  assert.equal(router.asked, 2);
  assert.equal(routes.read('GET', '/pet/7?x=1').target, '/pet/7?x=1', 'each keeps its own query');
});

test('what is refused is not remembered, and a query is looked at each time', () => {
  const router = table('GET /a');
  const routes = new RouteCache(router, CLOSED);
  for (const _ of [1, 2]) {
    assert.throws(() => routes.match('PUT', routes.read('PUT', '/a')), GatewayFault);
    assert.throws(() => routes.match('GET', routes.read('GET', '/b')), GatewayFault);
    assert.throws(() => routes.read('GET', '/a/../a'), GatewayFault);
    routes.match('GET', routes.read('GET', '/a'));
    assert.throws(() => routes.read('GET', '/a?x#y'), GatewayFault);
    assert.throws(() => routes.read('GET', '/a?\x7f'), GatewayFault);
  }
  assert.equal(router.asked, 5);
});

test('it begins anew when it is full, and very long paths are not kept', () => {
  const router = table('GET /{x}');
  const routes = new RouteCache(router, CLOSED);
  const ask = (target: string): void => void routes.match('GET', routes.read('GET', target));
  for (let n = 0; n < 1_024; n++) ask(`/${n}`);
  ask('/0');
  assert.equal(router.asked, 1_024);
  ask('/new');
  ask('/0');
  assert.equal(router.asked, 1_026, 'all are forgotten');
  ask('/0');
  ask('/new');
  assert.equal(router.asked, 1_026);
  const long = `/${'x'.repeat(600)}`;
  ask(long);
  ask(long);
  assert.equal(router.asked, 1_028);
});

test('it says what reading and searching anew says, for every target, rule and order', () => {
  const target = fc
    .array(fc.constantFrom('a', 'b', '/', '//', '/../', '%2f', ';', '?', 'x', '%c3%a9', '%2e'), {
      maxLength: 6,
    })
    .map((pieces) => `/${pieces.join('')}`);
  const rules = fc.constantFrom(
    CLOSED,
    edgeRules({
      dotSegments: 'normalise',
      emptySegments: 'merge',
      encodedSlash: 'keep',
      pathParameters: 'keep',
    }),
  );
  const method = fc.constantFrom('GET', 'POST');
  fc.assert(
    fc.property(rules, fc.array(fc.tuple(method, target), { maxLength: 30 }), (rules, requests) => {
      const router = table('GET /', 'GET /{x}', 'POST /a', 'GET /{x}/{y}', 'POST /{x}/b', 'GET /a');
      const routes = new RouteCache(router, rules);
      const told = (ask: () => unknown): unknown => {
        try {
          return ask();
        } catch (error) {
          assert.ok(error instanceof GatewayFault);
          return `${error.fault}: ${error.detail}`;
        }
      };
      for (const [method, target] of [...requests, ...requests]) {
        assert.deepEqual(
          told(() => {
            const path = routes.read(method, target);
            const operation = routes.match(method, path);
            const { target: forwarded, end, segments, bare } = path;
            return { forwarded, end, segments, bare, operation };
          }),
          told(() => {
            const { target: forwarded, end, segments, bare } = readPath(target, rules);
            return {
              forwarded,
              end,
              segments,
              bare,
              operation: router.match(method, segments, bare),
            };
          }),
        );
      }
    }),
    { numRuns: 300 },
  );
});
