import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeBase64url, stripPadding } from '../../src/auth/base64url.ts';
import { parseJsonObject } from '../../src/strict-json.ts';

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

test('base64url: every byte string has exactly one spelling', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const text = Buffer.from(bytes).toString('base64url');
      assert.deepEqual(decodeBase64url(text), Buffer.from(bytes));
      if (text.length % 4 === 0) return;
      for (const end of ALPHABET)
        if (end !== text.at(-1)) {
          const other = decodeBase64url(`${text.slice(0, -1)}${end}`);
          assert.ok(other === undefined || !other.equals(Buffer.from(bytes)));
        }
    }),
  );
});

test('base64url: any text either decodes and comes back the same, or not at all', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom(...`${ALPHABET}+/= \n.~é`.split('')), maxLength: 12 }),
      (text) => {
        const bytes = decodeBase64url(text);
        if (bytes === undefined) return;
        assert.match(text, /^[\w-]*$/);
        assert.equal(bytes.toString('base64url'), text);
      },
    ),
  );
});

test('padding: exactly as much as the length calls for, or none', () => {
  for (const [part, bare] of [
    ['', ''],
    ['QUJD', 'QUJD'],
    ['QUI', 'QUI'],
    ['QUI=', 'QUI'],
    ['QQ==', 'QQ'],
    ['QQ', 'QQ'],
    ['QQ=', undefined],
    ['QQ===', undefined],
    ['QUJD=', undefined],
    ['QUJD====', undefined],
    ['QUI==', undefined],
    ['=', undefined],
    ['Q===', 'Q'],
    ['Q=Q=', undefined],
    ['=QQ=', undefined],
  ] as const)
    assert.equal(stripPadding(part), bare, part);
  assert.equal(decodeBase64url('Q'), undefined);
});

test('JSON: what it reads is what JSON.parse reads', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 6 })), (object) => {
      const text = JSON.stringify(object);
      assert.deepEqual(parseJsonObject(Buffer.from(text)), JSON.parse(text));
    }),
  );
});

test('JSON: a member twice, at any level and however escaped, is refused; the same name in two objects is not', () => {
  for (const text of [
    '{"a":1,"a":1}',
    '{"a":1,"\\u0061":2}',
    '{"a":{"b":1,"c":2,"b":3}}',
    '{"x":[1,{"b":1,"b":2}]}',
    '{"\\"":1,"\\u0022":2}',
    '{"__proto__":1,"__proto__":2}',
    '{"":1,"":2}',
  ])
    assert.equal(parseJsonObject(Buffer.from(text)), undefined, text);
  for (const text of [
    '{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}',
    '{"a":"a:{}[]\\\\","b":"\\"a\\":"}',
    '{"a":["a","a"],"A":1}',
  ])
    assert.deepEqual(parseJsonObject(Buffer.from(text)), JSON.parse(text), text);
});

test('JSON: anything but one object of valid UTF-8 within the depth is refused', () => {
  const nested = (depth: number): string => '{"a":'.repeat(depth) + '1' + '}'.repeat(depth);
  assert.ok(parseJsonObject(Buffer.from(nested(16))));
  for (const bytes of [
    Buffer.from(nested(17)),
    Buffer.from(nested(10_000)),
    Buffer.from('\uFEFF{}'),
    Buffer.from('[]'),
    Buffer.from('null'),
    Buffer.from('"{}"'),
    Buffer.from(''),
    Buffer.from('{}{}'),
    Buffer.from('{"a":NaN}'),
    Buffer.from("{'a':1}"),
    Buffer.from('{"a":1,}'),
    Buffer.from('{} // x'),
    Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
    Buffer.from('{}', 'utf16le'),
  ])
    assert.equal(parseJsonObject(bytes), undefined);
});

test('JSON: a member called __proto__ changes no prototype', () => {
  const object = parseJsonObject(Buffer.from('{"__proto__":{"polluted":true}}'));
  assert.ok(object);
  assert.equal(Object.getPrototypeOf(object), Object.prototype);
  assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
});
