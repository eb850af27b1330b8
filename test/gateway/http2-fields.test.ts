import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkHttp2Fields } from '../../src/gateway/http2-fields.ts';

const HEAD = [':method', 'GET', ':scheme', 'https', ':path', '/a', ':authority', 'h'];

const refused = (fields: readonly string[], why: RegExp): void =>
  assert.throws(
    () => checkHttp2Fields(fields),
    (error: Error & { fault?: string }) => why.test(error.message),
    fields.join(' '),
  );

test('fields that HTTP/2 allows pass', () => {
  for (const more of [
    [],
    ['te', 'trailers'],
    ['x-empty', ''],
    ['x-a', 'a b\tc'],
    ['x-latin', '\xe4'],
    ['cookie', 'a=1', 'cookie', 'b=2'],
    ["!#$%&'*+.^_`|~09az-", '1'],
  ]) {
    checkHttp2Fields([...HEAD, ...more]);
  }
  checkHttp2Fields([':path', '/', ':scheme', 'http', ':method', 'GET', 'host', 'h']);
});

test('pseudo fields come first, once, and are those of requests', () => {
  refused([...HEAD, 'x-a', '1', ':path', '/b'], /after another/);
  refused([...HEAD, ':path', '/b'], /twice/);
  for (const name of [':status', ':protocol', ':', ':Path'])
    refused([...HEAD, name, '1'], /unknown/);
  for (const at of [0, 2, 4]) refused(HEAD.toSpliced(at, 2), /missing/);
  for (const scheme of ['', 'ftp', 'HTTPS', 'https:', 'http https']) {
    refused(HEAD.with(3, scheme), /neither/);
  }
});

test('fields of HTTP/1.1 connections are refused', () => {
  for (const name of [
    'connection',
    'http2-settings',
    'keep-alive',
    'proxy-connection',
    'transfer-encoding',
    'upgrade',
  ]) {
    refused([...HEAD, name, 'x'], /HTTP\/1\.1/);
  }
  for (const value of ['', 'gzip', 'trailers, gzip', 'Trailers']) {
    refused([...HEAD, 'te', value], /HTTP\/1\.1/);
  }
});

test('what passes is one line of HTTP/1.1, whatever bytes came', () => {
  const nasty = fc.constantFrom(
    'a',
    'B',
    ' ',
    '\t',
    '\r',
    '\n',
    '\0',
    ':',
    ',',
    '\x7f',
    '\xe4',
    '\u010a',
  );
  const text = fc.string({ unit: nasty, maxLength: 6 });
  fc.assert(
    fc.property(text, text, (name, value) => {
      let passed = true;
      try {
        checkHttp2Fields([...HEAD, name, value]);
      } catch {
        passed = false;
      }
      const clean =
        /^[a-z]+$/.test(name) &&
        /^[^\0\r\n\x7f\u0100-\uffff]*$/.test(value) &&
        value === value.trim();
      assert.equal(passed, clean);
    }),
    { numRuns: 2_000 },
  );
});
