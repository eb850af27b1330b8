import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Complaints } from '../../src/config/config-error.ts';
import { parseTomlFile } from '../../src/config/toml-file.ts';
import { load, problemOf, problemsOf } from './fixture.ts';

test('syntax errors and double keys have their line, and never a value', () => {
  for (const [text, line] of [
    ['a = 1\na = 2', 2],
    ['[http2]\nenable = true\n\n[http2]\n', 4],
    ['[http2]\nenable = true\n[b7a.log\nlevel = "INFO"', 3],
    ['\n\npassword = "canary\n', 3],
    ['[http2]\nenable =\n', 2],
    ['password = canary', 1],
    ['password = "x" canary', 1],
  ] as const) {
    const [problem, ...others] = problemsOf(text);
    assert.deepEqual(others, []);
    assert.equal(problem?.code, 'ERR_CONFIG_SYNTAX');
    assert.equal(problem.place.line, line, text);
    assert.doesNotMatch(problem.message, /canary/);
  }
  assert.match(problemsOf('[a]\nb = 1\nb = 2')[0]?.message ?? '', /defined twice.*`b`/);
});

test('a text without quotation marks is told so, where that can be seen', () => {
  for (const [text, bare] of [
    ['header = portcullis', true],
    ['header = true-ish', true],
    ['timeout = 30s', true],
    ['size = 16 KiB', true],
    ['path = ./x', true],
    ['name = “x”', true],
    ['list = ["a", b]', false], // what stands behind a quotation mark may be the rest of a text
    ['list = [INFO, "b"]', true],
    ['table = { a = x }', true],
    ['url = http://x?a=b', true],
    ['a = "x" y', false],
    ['a = 1 b = 2', false],
    ['a = [1, ]]', false],
    ['a b = 1', false],
    ['[a] b', false],
  ] as const) {
    const message = problemsOf(text)[0]?.message ?? '';
    assert.equal(
      message.endsWith(': texts, durations and sizes need quotation marks ("...")'),
      bare,
      text,
    );
  }
});

test('quoted keys with dots are other keys than dotted ones', () => {
  assert.equal(problemOf('"b7a.log.level" = "DEBUG"'), 'ERR_CONFIG_UNKNOWN_KEY 1 "b7a.log.level"');
  assert.equal(load('b7a.log.level = "DEBUG"').config.log.level, 'DEBUG');
  assert.equal(load('b7a = { log = { level = "DEBUG" } }').config.log.level, 'DEBUG');
});

test('names of object internals are unknown keys like any other', () => {
  for (const name of ['__proto__', 'constructor', 'toString'])
    for (const text of [`${name} = 1`, `[http2]\n${name} = 1`, `[${name}]\nx = 1`])
      assert.match(problemOf(text), /^ERR_CONFIG_UNKNOWN_KEY/, text);
  const own = '[tokenRevocationConfig.persistent]\ntype = "redis"\n__proto__ = { polluted = true }';
  assert.match(problemOf(own), /^ERR_CONFIG_UNKNOWN_KEY/);
  assert.equal(Reflect.get({}, 'polluted'), undefined);
});

test('a table where a value is meant, and the other way round, is refused', () => {
  assert.match(problemOf('[http2.enable]\nx = 1'), /^ERR_CONFIG_WRONG_TYPE 1 http2\.enable/);
  assert.equal(problemOf('http2 = true'), 'ERR_CONFIG_WRONG_TYPE 1 http2');
  assert.equal(problemOf('b7a = "x"'), 'ERR_CONFIG_WRONG_TYPE 1 b7a');
});

test('deep nesting is a complaint, not a crash', () => {
  for (const text of [
    `a = ${'['.repeat(100_000)}`,
    `a = ${'['.repeat(40)}${']'.repeat(40)}`,
    `a${'.a'.repeat(50)} = 1`,
  ]) {
    assert.ok(problemsOf(text).length > 0);
  }
});

test('any text is read or complained about', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc
          .array(fc.constantFrom('[', ']', 'a', '=', '"', '.', '\n', '{', '}', '1', ',', '#', "'"))
          .map((parts) => parts.join('')),
      ),
      (text) => {
        const complaints = new Complaints();
        const entries = parseTomlFile(text, 'x.conf', '/', complaints);
        for (const entry of entries) assert.ok((entry.place.line ?? 0) >= 1);
      },
    ),
  );
});
