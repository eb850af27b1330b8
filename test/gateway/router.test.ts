import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FAULTS, GatewayFault, OperatorError } from '../../src/errors.ts';
import { readPath } from '../../src/gateway/path.ts';
import { Router } from '../../src/gateway/router.ts';

/** Routes written `GET /base|/template`; their value is what was written. */
function router(...routes: readonly string[]): (request: string) => string {
  const made = new Router(
    routes.map((value) => {
      const [method = '', path = ''] = value.split(' ');
      const [basePath = '', template = ''] = path.split('|');
      return { method, basePath, template, value };
    }),
  );
  return (request) => {
    const [method = '', target = ''] = request.split(' ');
    try {
      const { segments, bare } = readPath(target);
      return made.match(method, segments, bare);
    } catch (error) {
      assert.ok(error instanceof GatewayFault);
      const { status } = FAULTS[error.fault];
      return error.allow === undefined ? `${status}` : `${status} ${error.allow}`;
    }
  };
}

test('text goes before parameters, whatever the order of definition', () => {
  const match = router(
    'GET /v1|/pet/{id}',
    'GET /v1|/pet/findByStatus',
    'GET /v1|/{kind}/findByStatus',
    'GET /v1|/pet/{id}/photo',
  );
  assert.equal(match('GET /v1/pet/findByStatus'), 'GET /v1|/pet/findByStatus');
  assert.equal(match('GET /v1/pet/7'), 'GET /v1|/pet/{id}');
  assert.equal(match('GET /v1/dog/findByStatus'), 'GET /v1|/{kind}/findByStatus');
  assert.equal(
    match('GET /v1/pet/findByStatus/photo'),
    'GET /v1|/pet/{id}/photo',
    'goes back to the parameter',
  );
  assert.equal(match('GET /v1/pet'), '404');
  assert.equal(match('GET /v1/pet/7/photo/1'), '404');
  assert.equal(match('GET /v2/pet/7'), '404');
});

test('the method is looked at last, and Allow names the others', () => {
  const match = router('GET |/pet/{id}', 'POST |/pet/{id}', 'DELETE |/pet/me');
  assert.equal(match('PUT /pet/7'), '405 GET, POST');
  assert.equal(
    match('GET /pet/me'),
    '405 DELETE',
    'the text decides the path before the method is asked',
  );
  assert.equal(match('get /pet/7'), '405 GET, POST');
});

test('the longest base path wins and is asked alone', () => {
  const match = router('GET /shop|/{a}/{b}', 'GET /shop/v2|/pets', 'GET |/{a}');
  assert.equal(match('GET /shop/v2/pets'), 'GET /shop/v2|/pets');
  assert.equal(match('GET /shop/v2/dogs'), '404');
  assert.equal(match('GET /shop/v3/dogs'), 'GET /shop|/{a}/{b}');
  assert.equal(match('GET /shopping'), 'GET |/{a}');
  assert.equal(match('GET /shop'), '404');
});

test('one slash at the end is ignored unless a template has one; an empty parameter never matches', () => {
  const match = router('GET /v1|/', 'GET /v1|/pet', 'GET /v1|/dog/', 'GET /v1|/cat/{id}');
  assert.equal(match('GET /v1'), 'GET /v1|/');
  assert.equal(match('GET /v1/'), 'GET /v1|/');
  assert.equal(match('GET /v1/pet/'), 'GET /v1|/pet');
  assert.equal(match('GET /v1/dog/'), 'GET /v1|/dog/');
  assert.equal(match('GET /v1/dog'), '404');
  assert.equal(match('GET /v1/cat/'), '404');
  assert.equal(match('GET /v1/cat/7/'), 'GET /v1|/cat/{id}');
});

test('no spelling of a text segment slips past it into a parameter', () => {
  const match = router('DELETE |/admin', 'GET |/{page}', 'GET |/caf%C3%A9', 'GET /base|/x');
  for (const path of ['/admin', '/%61dmin', '/%61%64%6d%69%6e', '/admin/']) {
    assert.equal(match(`GET ${path}`), '405 DELETE', path);
  }
  assert.equal(match('GET /administrator'), 'GET |/{page}');
  assert.equal(match('GET /caf%c3%a9'), 'GET |/caf%C3%A9');
  assert.equal(match('GET /b%61se/x'), 'GET /base|/x');
});

test('path parameters never choose between two operations', () => {
  const match = router(
    'GET |/user/login',
    'GET |/user/{name}',
    'POST |/user/{name}',
    'GET |/shop',
    'GET /base|/x',
    'GET |/{a}/x',
  );
  for (const request of [
    'GET /user/login;x',
    'GET /user/login;',
    'GET /user/login;x=1/',
    'GET /user/%6cogin;x',
    'POST /user/login;x',
    'GET /base;y/x',
    'GET /b%61se;y/x',
    'GET /user/;x',
    'GET /;x/login',
    'GET /user/;',
  ]) {
    assert.equal(match(request), '400', request);
  }
  assert.equal(match('GET /user/login%3Bx'), 'GET |/user/{name}', 'text, not a parameter');
  assert.equal(match('GET /user/login%3bx;y'), 'GET |/user/{name}');
  assert.equal(match('GET /user/me;x=1'), 'GET |/user/{name}');
  assert.equal(match('GET /user;v=1/me'), 'GET |/user/{name}');
  assert.equal(match('GET /user;a/login;b'), 'GET |/user/login', 'nothing else has this path');
  assert.equal(match('GET /shop;x'), 'GET |/shop');
  assert.equal(match('GET /base/x;y'), 'GET /base|/x');
  assert.equal(match('POST /shop;x'), '405 GET');
});

test('names of object members are names like any other', () => {
  const match = router('GET |/constructor', 'GET |/a/{id}');
  assert.equal(match('GET /__proto__'), '404');
  assert.equal(match('GET /constructor'), 'GET |/constructor');
  assert.equal(match('GET /a/__proto__'), 'GET |/a/{id}');
});

test('two operations that the same request could mean are refused', () => {
  assert.throws(() => router('GET |/pet/{id}', 'GET |/pet/{name}'), OperatorError);
  assert.throws(() => router('GET /a|/b', 'GET /a|/b'), OperatorError);
});

test('whatever is matched is the most specific template that fits', () => {
  const part = fc.constantFrom('a', 'b', '{p}');
  const template = fc
    .array(part, { minLength: 1, maxLength: 4 })
    .map((parts) => `/${parts.join('/')}`);
  const path = fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(fc.uniqueArray(template, { maxLength: 12 }), path, (templates, parts) => {
      const match = router(...templates.map((one) => `GET |${one}`));
      const fits = templates.filter((one) => {
        const texts = one.split('/').slice(1);
        return (
          texts.length === parts.length &&
          texts.every((text, at) => text === '{p}' || text === parts[at])
        );
      });
      const rank = (one: string): string => one.replaceAll('{p}', '~'); // parameters sort last, leftmost text first
      const best = fits.sort((a, b) => (rank(a) < rank(b) ? -1 : 1))[0];
      assert.equal(match(`GET /${parts.join('/')}`), best === undefined ? '404' : `GET |${best}`);
    }),
  );
});
