import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FIELD_TEXT, isFieldText } from '../../src/http1/characters.ts';
import { HeadScanner } from '../../src/http1/head-scanner.ts';
import {
  CHUNKED,
  type RequestHead,
  type ResponseHead,
  UNTIL_CLOSE,
} from '../../src/http1/message-head.ts';
import { GrammarError } from '../../src/http1/refusal.ts';
import { parseRequestHead } from '../../src/http1/request-parser.ts';
import { parseResponseHead } from '../../src/http1/response-parser.ts';
import { LIMITS } from './grammar.ts';

/** A head in the middle of a larger buffer, as it stands in a read. */
function within(text: string): { bytes: Buffer; start: number; end: number } {
  const bytes = Buffer.from(`\0\0\0${text}\0\0`, 'latin1');
  return { bytes, start: 3, end: 3 + text.length };
}

function request(lines: string, start = 'GET /p HTTP/1.1'): RequestHead {
  const { bytes, start: from, end } = within(`${start}\r\nHost: h\r\n${lines}\r\n`);
  return parseRequestHead(bytes, from, end, LIMITS);
}

function response(lines: string, start = 'HTTP/1.1 200 OK', method = 'GET'): ResponseHead {
  const { bytes, start: from, end } = within(`${start}\r\n${lines}\r\n`);
  return parseResponseHead(bytes, from, end, LIMITS, method);
}

test('a request head says everything that its fields say', () => {
  assert.deepEqual(
    request(
      'ACCEPT:  a/b \r\nX-Own-Name: \t1\r\ncontent-length: 7\r\nSet-Cookie:\r\nset-cookie: \xe9\r\n',
      'POST /p?q HTTP/1.1',
    ),
    {
      method: 'POST',
      target: '/p?q',
      minor: 1,
      fields: 'host=h=accept=a/b=x-own-name=1=content-length=7=set-cookie==set-cookie=\xe9'.split(
        '=',
      ),
      length: 7,
      persistent: true,
      expects: 'nothing',
      upgrade: false,
    },
  );
});

test('the CRLF before a request is no part of it', () => {
  const { bytes, start, end } = within('\r\nGET /p HTTP/1.0\r\nX: y\r\n\r\n');
  const head = parseRequestHead(bytes, start, end, LIMITS);
  assert.deepEqual(
    [head.method, head.target, head.minor, head.fields],
    ['GET', '/p', 0, ['x', 'y']],
  );
});

test('what is known of the body of a request', () => {
  const post = 'POST /p HTTP/1.1';
  assert.equal(request('', post).length, 0);
  assert.equal(request('Content-Length: 999999999999999\r\n', post).length, 999_999_999_999_999);
  assert.equal(request('Transfer-Encoding: CHUNKED\r\n', post).length, CHUNKED);
});

test('a connection stays for another request only where nobody can doubt where this one ends', () => {
  assert.ok(request('').persistent);
  assert.ok(request('Connection: Keep-Alive, x\r\n').persistent);
  assert.ok(!request('Connection: close\r\n').persistent);
  assert.ok(!request('Connection: a,\tClose\r\n').persistent);
  assert.ok(!request('Connection: keep-alive\r\n', 'GET /p HTTP/1.0').persistent);
  assert.ok(!request('Content-Length: 1\r\n').persistent);
  assert.ok(!request('Transfer-Encoding: chunked\r\n', 'HEAD /p HTTP/1.1').persistent);
  assert.ok(request('Content-Length: 1\r\n', 'DELETE /p HTTP/1.1').persistent);
});

test('only 100-continue, once and in HTTP/1.1, is an expectation that is known', () => {
  assert.equal(request('').expects, 'nothing');
  assert.equal(request('Expect: 100-Continue\r\n').expects, 'continue');
  assert.equal(request('Expect: 100-continue\r\n', 'GET /p HTTP/1.0').expects, 'nothing');
  for (const lines of [
    '200-ok\r\n',
    '\r\n',
    '100-continue, x\r\n',
    '100-continue\r\nExpect: y\r\n',
  ]) {
    assert.equal(request(`Expect: ${lines}`).expects, 'unknown', lines);
  }
});

test('an upgrade needs the field, its nomination and HTTP/1.1', () => {
  assert.ok(request('Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n').upgrade);
  assert.ok(!request('Upgrade: websocket\r\n').upgrade);
  assert.ok(!request('Connection: upgrade\r\n').upgrade);
  assert.ok(!request('Proxy-Connection: upgrade\r\nUpgrade: websocket\r\n').upgrade);
  assert.ok(!request('Connection: upgrade\r\nUpgrade: websocket\r\n', 'GET /p HTTP/1.0').upgrade);
});

test('a response head says what body follows, and what was said of one that does not', () => {
  const said = ({ status, minor, length, contentLength, persistent }: ResponseHead): unknown[] => [
    status,
    minor,
    length,
    contentLength,
    persistent,
  ];
  assert.deepEqual(said(response('Content-Length: 7\r\n')), [200, 1, 7, 7, true]);
  assert.deepEqual(said(response('Transfer-Encoding: chunked\r\n')), [200, 1, CHUNKED, -1, true]);
  assert.deepEqual(said(response('')), [200, 1, UNTIL_CLOSE, -1, false]);
  assert.deepEqual(said(response('Content-Length: 7\r\n', undefined, 'HEAD')), [
    200,
    1,
    0,
    7,
    false,
  ]);
  assert.deepEqual(said(response('', undefined, 'HEAD')), [200, 1, 0, -1, true]);
  assert.deepEqual(said(response('Content-Length: 7\r\n', 'HTTP/1.1 304')), [304, 1, 0, 7, true]);
  assert.deepEqual(said(response('', 'HTTP/1.1 204 No Content')), [204, 1, 0, -1, true]);
  assert.deepEqual(said(response('', 'HTTP/1.1 100 Continue')), [100, 1, 0, -1, true]);
  assert.deepEqual(said(response('Content-Length: 0\r\n', 'HTTP/1.0 200 OK')), [
    200,
    0,
    0,
    0,
    false,
  ]);
  assert.ok(!response('Content-Length: 0\r\nConnection: x, close\r\n').persistent);
});

test('known names come in lower case, in whatever letters they were sent', () => {
  const names = ['Authorization', 'HOST', 'x-request-id', 'Sec-WebSocket-Key', 'ETag', 'te'];
  const { fields } = request(
    names
      .slice(2)
      .map((name) => `${name}: 1\r\n`)
      .join(''),
  );
  assert.deepEqual(fields, ['host', 'h', ...names.slice(2).flatMap((n) => [n.toLowerCase(), '1'])]);
});

test('a name that differs from a known one in a single byte is not taken for it', () => {
  for (const name of ['content-length', 'transfer-encoding', 'host', 'connection', 'expect']) {
    for (let at = 0; at < name.length; at++) {
      for (const other of "AZaz09-_.!#$%&'*+^`|~".split('')) {
        const changed = name.slice(0, at) + other + name.slice(at + 1);
        if (changed.toLowerCase() === name) continue;
        const { fields, length } = request(`${changed}: 9\r\n`, 'POST /p HTTP/1.1');
        assert.deepEqual([fields[2], length], [changed.toLowerCase(), 0]);
      }
    }
  }
});

test('a byte that no value may have is found wherever it stands, and no other is', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 0, maxLength: 80 }),
      fc.boolean(),
      fc.nat(9),
      fc.nat(9),
      (bytes, clean, before, behind) => {
        // Mostly text, so that a single odd byte decides.
        const value = bytes.map((byte, index) =>
          clean || index % 17 !== 3 ? 0x20 + (byte % 0x5f) : byte,
        );
        const padded = Buffer.concat([Buffer.alloc(before), value, Buffer.alloc(behind)]);
        const expected = value.every((byte) => FIELD_TEXT[byte] === 1);
        assert.equal(isFieldText(padded, before, before + value.length), expected);
      },
    ),
    { numRuns: 1_000 },
  );
  for (let byte = 0; byte < 256; byte++) {
    for (let at = 0; at < 40; at++) {
      const value = Buffer.alloc(40, 0x61);
      value[at] = byte;
      const allowed = byte === 9 || (byte >= 0x20 && byte !== 0x7f);
      assert.equal(isFieldText(value, 0, 40), allowed, `${byte} at ${at}`);
    }
  }
});

test('the words of a refusal have nothing of the message in them', () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(fc.string({ unit: 'binary-ascii', maxLength: 60 }), (text) => {
      try {
        request(`${text}\r\nX-Secret: s3cr3t\0\r\n`);
      } catch (error) {
        assert.ok(error instanceof GrammarError);
        assert.equal(error.message, error.at);
        seen.add(error.at);
      }
    }),
    { numRuns: 500 },
  );
  assert.ok(seen.size > 0 && seen.size < 15, [...seen].join('; '));
});

test('a scanner begins anew after an end, and after reset', () => {
  const scanner = new HeadScanner('request', LIMITS);
  const head = Buffer.from('GET /p HTTP/1.1\r\nHost: h\r\n\r\n');
  assert.equal(scanner.find(head.subarray(0, 20), 0), -1);
  scanner.reset();
  assert.equal(scanner.find(head, 0), head.length);
  for (let cut = 1; cut < head.length; cut++) {
    assert.equal(scanner.find(head.subarray(0, cut), 0), -1);
    const rest = Buffer.concat([head.subarray(cut), Buffer.from('\0behind')]);
    assert.equal(scanner.find(rest, 0), head.length - cut);
  }
});
