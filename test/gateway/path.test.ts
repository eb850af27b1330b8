import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { GatewayFault } from '../../src/errors.ts';
import { offsetBelow, readPath } from '../../src/gateway/path.ts';

test('paths that parties read differently are refused', () => {
  const bad = [
    '/a/../admin',
    '/a/./b',
    '/..',
    '/.',
    '/a/..',
    '/a/%2e%2e/admin',
    '/a/.%2E/b',
    '/%2e',
    '/a/..;/admin',
    '/a/..;x=1/b',
    '/a/..%3b/b',
    '/.;x/b',
    '//admin',
    '/a//b',
    '/a//',
    '/a/%2fadmin',
    '/a%2Fadmin',
    '/a\\b',
    '/a/%5cb',
    '/a%5C',
    '/a%00',
    '/%00',
    '/a%c0%ae%c0%ae/b',
    '/%c0%af',
    '/%e0%80%af',
    '/%ff',
    '/%80',
    '/%ed%a0%80',
    '/%f4%90%80%80',
    '/%',
    '/%4',
    '/%zz',
    '/a%2',
  ];
  for (const target of bad) {
    assert.throws(
      () => readPath(target),
      (error) => error instanceof GatewayFault && error.fault === 'ambiguousPath',
      target,
    );
  }
});

test('targets that are no path are refused', () => {
  const bad = [
    '',
    '*',
    'a',
    'http://h/a',
    'h:443',
    '?x',
    '/a#x',
    '/a?x#y',
    '/a b',
    '/a?b c',
    '/a\tb',
    '/\x01',
    '/\x7f',
    '/é',
    '/a?é',
    '/a\r\nX: y',
    '/a?\n',
  ];
  for (const target of bad) {
    assert.throws(
      () => readPath(target),
      (error) => error instanceof GatewayFault && error.fault === 'badRequest',
      target,
    );
  }
});

test('segments are decoded once and the query is left alone', () => {
  assert.deepEqual(readPath('/pet/%e2%82%ac%20a?x=/../%2f//..'), {
    end: 18,
    segments: ['pet', '€ a'],
    bare: undefined,
  });
  assert.deepEqual(readPath('/').segments, ['']);
  assert.deepEqual(readPath('/?x').segments, ['']);
  assert.deepEqual(readPath('/a/').segments, ['a', '']);
  assert.deepEqual(
    readPath('/a/%252e%252e/b').segments,
    ['a', '%2e%2e', 'b'],
    'never decoded twice',
  );
  assert.deepEqual(readPath('/a/..b/...;x').segments, ['a', '..b', '...;x']);
  assert.deepEqual(readPath('/%0a/%09').segments, ['\n', '\t']);
});

test('a path with parameters is read without them too; %3B is text', () => {
  assert.deepEqual(readPath('/%61;b=%2b;c/d%3be/f%3b;g/?;').bare, ['a', 'd;e', 'f;', '']);
  assert.deepEqual(readPath('/%61;b=%2b;c/d%3be').segments, ['a;b=+;c', 'd;e']);
  assert.equal(readPath('/a%3bb?;').bare, undefined);
  for (const target of ['/;', '/a/;b', '/;a/b', '/a/;/b', '/a/..%3bx', '/a/..;x', '/.;/b']) {
    assert.throws(
      () => readPath(target),
      (error) => error instanceof GatewayFault && error.fault === 'ambiguousPath',
      target,
    );
  }
});

test('a path that is accepted means the same to a WHATWG URL parser', () => {
  const piece = fc.constantFrom(
    'a',
    'b',
    '.',
    '..',
    '%2e',
    '%2E',
    '/',
    '//',
    ';',
    '%2f',
    '%5c',
    '\\',
    '%00',
    '%25',
    '?',
    'x=1',
    '%c3%a9',
    '%3b',
    '~',
    ':',
    '@',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const target = `/${pieces.join('')}`;
      let end: number;
      try {
        ({ end } = readPath(target));
      } catch {
        return;
      }
      const url = new URL(`http://host${target}`);
      assert.equal(url.pathname, target.slice(0, end));
      assert.equal(url.search, target.slice(end) === '?' ? '' : target.slice(end));
    }),
    { numRuns: 3_000 },
  );
});

test('no string makes the check fail in another way than by a fault', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
      try {
        readPath(`/${text}`);
      } catch (error) {
        assert.ok(error instanceof GatewayFault);
      }
    }),
  );
});

test('the part below the base path is found in the target as it came', () => {
  const below = (target: string, depth: number): string => {
    const { end } = readPath(target);
    return target.slice(offsetBelow(target, depth, end));
  };
  assert.equal(below('/petstore/v1/pet/7?x=/1', 2), '/pet/7?x=/1');
  assert.equal(below('/p%65tstore/v1/pet', 2), '/pet');
  assert.equal(below('/petstore/v1', 2), '');
  assert.equal(below('/petstore/v1/', 2), '/');
  assert.equal(below('/petstore/v1?a=/b/c', 2), '?a=/b/c');
  assert.equal(below('/pet', 0), '/pet');
});
