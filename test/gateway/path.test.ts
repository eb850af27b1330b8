import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { GatewayFault } from '../../src/errors.ts';
import { CLOSED, edgeRules } from '../../src/gateway/edge-rules.ts';
import { offsetBelow, readPath } from '../../src/gateway/path.ts';
import { Router } from '../../src/gateway/router.ts';

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
    target: '/pet/%e2%82%ac%20a?x=/../%2f//..',
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

const PIECES =
  'a b . .. %2e %2E / / // /../ /./ ; %2f %5C \\ %00 %25 %252e ? x=1 %c3%a9 %c0%ae %3b ~ : @';

const TARGET = fc
  .array(fc.constantFrom(...PIECES.split(' ')), { maxLength: 12 })
  .map((pieces) => `/${pieces.join('')}`);

const RULES = fc.record({
  dotSegments: fc.constantFrom('refuse', 'normalise'),
  emptySegments: fc.constantFrom('refuse', 'merge'),
  encodedSlash: fc.constantFrom('refuse', 'keep'),
  pathParameters: fc.constantFrom('both', 'refuse', 'keep'),
});

function readOr<T>(refused: T, read: () => T): T {
  try {
    return read();
  } catch (error) {
    assert.ok(error instanceof GatewayFault);
    return refused;
  }
}

test('a path that is accepted means the same to a WHATWG URL parser, whatever the rules', () => {
  let changed = 0;
  fc.assert(
    fc.property(TARGET, RULES, (target, rules) => {
      const path = readOr(undefined, () => readPath(target, rules));
      if (path === undefined) return;
      const url = new URL(`http://host${target}`);
      const merged =
        rules.emptySegments === 'merge' ? url.pathname.replaceAll(/\/{2,}/g, '/') : url.pathname;
      assert.equal(path.target.slice(0, path.end), merged);
      const query = path.target.slice(path.end);
      assert.equal(url.search, query === '?' ? '' : query);
      if (path.target !== target) changed++;
    }),
    { numRuns: 5_000 },
  );
  assert.ok(changed > 50, `${changed} paths were put in order: the rules were at work`);
});

test('what was put in order is in order: read again, by these rules or the closed ones, it is and leads to the same', () => {
  const router = new Router(
    ['/', '/a', '/a/{x}', '/{x}/b', '/{x}/{y}/{z}', '/a/;b', '/~/{x}'].map((template) => ({
      basePath: '',
      method: 'GET',
      template,
      value: template,
    })),
  );
  const lead = (path: ReturnType<typeof readPath>): string =>
    readOr('nowhere', () => router.match('GET', path.segments, path.bare));
  fc.assert(
    fc.property(TARGET, RULES, (target, rules) => {
      const path = readOr(undefined, () => readPath(target, rules));
      if (path === undefined) return;
      const again = readPath(path.target, rules);
      assert.deepEqual(again, path);
      assert.equal(lead(again), lead(path));
      const ordered = { ...rules, dotSegments: 'refuse', emptySegments: 'refuse' } as const;
      assert.deepEqual(
        readPath(path.target, ordered),
        path,
        'nothing of what a rule mends is left',
      );
    }),
    { numRuns: 5_000 },
  );
});

test('the rules only ever add to what is served: what the closed ones take means the same by all', () => {
  fc.assert(
    fc.property(TARGET, RULES, (target, rules) => {
      const closed = readOr(undefined, () => readPath(target));
      if (closed === undefined || closed.bare !== undefined) return;
      assert.deepEqual(readPath(target, rules), closed);
    }),
    { numRuns: 2_000 },
  );
});

test('dotSegments = "normalise" resolves, within the root and where nothing else is in doubt', () => {
  const read = (target: string): string =>
    readOr('refused', () => readPath(target, edgeRules({ dotSegments: 'normalise' })).target);
  for (const [target, forwarded] of [
    ['/a/../b', '/b'],
    ['/a/./b?x=/../', '/a/b?x=/../'],
    ['/a/%2e%2E/b', '/b'],
    ['/a/%2e/b', '/a/b'],
    ['/a/.%2e/b', '/b'],
    ['/a/b/..', '/a/'],
    ['/a/b/.', '/a/b/'],
    ['/a/..', '/'],
    ['/.', '/'],
    ['/a/...', '/a/...'],
    ['/a/%252e%252e/b', '/a/%252e%252e/b'],
  ] as const) {
    assert.equal(read(target), forwarded, target);
  }
  for (const target of [
    '/..',
    '/../a',
    '/a/../../b',
    '/a//../b',
    '/a/..//b',
    '//a',
    '/a/..;/b',
    '/a/..;x=1/b',
    '/a/..%3b/b',
    '/a\\b/../c',
    '/a/..\\c',
    '/%00/../a',
    '/a%2fb/../c',
    '/;/../a',
    '/%c0%ae/../a',
    '/\x01/../a',
    '/#/../a',
  ]) {
    assert.equal(read(target), 'refused', target);
  }
});

test('emptySegments = "merge" makes one slash of several', () => {
  const rules = edgeRules({ emptySegments: 'merge' });
  for (const [target, forwarded] of [
    ['//a', '/a'],
    ['/a///b?x=//', '/a/b?x=//'],
    ['/a//', '/a/'],
    ['//', '/'],
  ] as const) {
    assert.equal(readPath(target, rules).target, forwarded);
  }
  assert.deepEqual(readPath('//a//b', rules).segments, ['a', 'b']);
  const both = edgeRules({ emptySegments: 'merge', dotSegments: 'normalise' });
  assert.equal(readPath('/a/.//b/./c', both).target, '/a/b/c');
  for (const target of ['/a//../b', '/a/..//b', '//../a', '/a//./../b']) {
    assert.throws(() => readPath(target, both), GatewayFault, 'the order of the two would matter');
  }
  assert.throws(() => readPath('/a/../b', rules), GatewayFault);
  assert.throws(() => readPath('/;/b', rules), GatewayFault, 'empty without its parameters');
});

test('encodedSlash = "keep" leaves them in their segment, and no part of it climbs', () => {
  const rules = edgeRules({ encodedSlash: 'keep' });
  assert.deepEqual(readPath('/a%2Fb/c%5cd', rules), {
    target: '/a%2Fb/c%5cd',
    end: 12,
    segments: ['a/b', 'c\\d'],
    bare: undefined,
  });
  assert.deepEqual(readPath('/http%3A%2F%2Fh%2F', rules).segments, ['http://h/']);
  for (const target of [
    '/a%2f..%2fadmin',
    '/..%2fadmin',
    '/a%5c..',
    '/a%2f%2e',
    '/a%2f..;x',
    '/a%2f%00',
    '/a/%2f..%3bx',
    '/a\\b',
  ]) {
    assert.throws(() => readPath(target, rules), GatewayFault, target);
  }
});

test('pathParameters: refused altogether, or text', () => {
  const refuse = edgeRules({ pathParameters: 'refuse' });
  assert.throws(() => readPath('/a;x', refuse), GatewayFault);
  assert.equal(readPath('/a%3bx?;', refuse).target, '/a%3bx?;');
  const keep = edgeRules({ pathParameters: 'keep' });
  assert.deepEqual(readPath('/a;x/;', keep).segments, ['a;x', ';']);
  assert.equal(readPath('/a;x', keep).bare, undefined);
  assert.throws(() => readPath('/a/..;x', keep), GatewayFault, 'a servlet container climbs there');
  assert.deepEqual(readPath('/a;x').bare, readPath('/a;x', CLOSED).bare);
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
