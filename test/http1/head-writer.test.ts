import assert from 'node:assert/strict';
import { METHODS } from 'node:http';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  checkFields,
  chunkStart,
  LAST_CHUNK,
  requestHead,
  responseHead,
} from '../../src/http1/head-writer.ts';
import { CHUNKED, UNTIL_CLOSE } from '../../src/http1/message-head.ts';
import { LIMITS } from './grammar.ts';
import { readOwn } from './own-parser.ts';

const name = fc
  .stringMatching(/^[!#$%&'*+.^_`|~0-9a-z-]{1,16}$/)
  .filter(
    (text) =>
      !/^(?:host|content-length|transfer-encoding|connection|proxy-connection|expect|upgrade)$/.test(
        text,
      ),
  );
const value = fc
  .array(fc.constantFrom(...'aZ09!"(),/:;<=>?@[\\]{}~\x80\xa0\xff \t'.split('')), { maxLength: 12 })
  .map((characters) => characters.join('').replace(/^[ \t]+|[ \t]+$/g, ''));
const fields = fc
  .array(fc.tuple(name, value), { maxLength: 6 })
  .map((pairs): string[] => pairs.flat());
const body = fc.string({ unit: 'binary', maxLength: 40 }).map(latin1);

function latin1(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** A body as it goes over the wire: whole behind a length, or in two chunks. */
function framed(text: string, length: number | undefined): string {
  if (length !== CHUNKED) return text;
  const half = text.length >> 1;
  const chunk = (data: string): string =>
    data === '' ? '' : `${chunkStart(data.length)}${data}\r\n`;
  return chunk(text.slice(0, half)) + chunk(text.slice(half)) + LAST_CHUNK;
}

test('a request that is written is read as what it was', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...METHODS.filter((method) => method !== 'CONNECT')),
      fc.stringMatching(/^\/[!-"$-~]{0,40}$/),
      fields,
      body,
      fc.constantFrom('none', 'length', 'chunks'),
      (method, path, fields, text, framing) => {
        checkFields(fields);
        const length =
          framing === 'none' ? undefined : framing === 'length' ? text.length : CHUNKED;
        const sent = framing === 'none' ? '' : text;
        const head = requestHead(method, path, 'Host: h:1\r\n', fields, length, 'X-Own: 1\r\n');
        const bytes = Buffer.from(head + framed(sent, length), 'latin1');
        const { messages, refused } = readOwn('request', [bytes], LIMITS);
        assert.equal(refused, undefined);
        assert.equal(messages.length, 1);
        const [message] = messages;
        assert.equal(message?.first, `${method} ${path} 1.1`);
        const framingField = {
          none: [],
          length: ['content-length', `${text.length}`],
          chunks: ['transfer-encoding', 'chunked'],
        }[framing];
        assert.deepEqual(message.fields, [
          'host',
          'h:1',
          ...fields,
          'x-own',
          '1',
          ...(framingField ?? []),
        ]);
        assert.deepEqual([message.body, message.whole], [sent, true]);
      },
    ),
  );
});

test('a response that is written is read as what it was', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 200, max: 599 }).filter((status) => status !== 204 && status !== 304),
      fields,
      body,
      fc.boolean(),
      fc.boolean(),
      (status, fields, text, chunked, close) => {
        const length = chunked ? CHUNKED : text.length;
        const head = responseHead(status, 1, fields, length, close, 'Date: now\r\n');
        const bytes = Buffer.from(head + framed(text, length), 'latin1');
        const { messages, refused, keeps } = readOwn('response', [bytes], LIMITS);
        assert.equal(refused, undefined);
        const [message] = messages;
        assert.deepEqual(
          [message?.first, message?.body, message?.whole, keeps],
          [`${status} 1.1`, text, true, !close],
        );
        assert.deepEqual(message?.fields.slice(0, fields.length + 2), [...fields, 'date', 'now']);
      },
    ),
  );
});

test('a response says of its body what its status and its client allow', () => {
  const head = (status: number, minor: 0 | 1, length: number | undefined): string =>
    responseHead(status, minor, ['a', 'b'], length, false, '');
  assert.equal(head(200, 1, 3), 'HTTP/1.1 200 OK\r\na: b\r\nContent-Length: 3\r\n\r\n');
  assert.equal(
    head(200, 1, CHUNKED),
    'HTTP/1.1 200 OK\r\na: b\r\nTransfer-Encoding: chunked\r\n\r\n',
  );
  assert.equal(head(200, 0, CHUNKED), 'HTTP/1.1 200 OK\r\na: b\r\nConnection: close\r\n\r\n');
  assert.equal(
    head(200, 0, 3),
    'HTTP/1.1 200 OK\r\na: b\r\nContent-Length: 3\r\nConnection: close\r\n\r\n',
  );
  assert.equal(head(304, 1, 3), 'HTTP/1.1 304 Not Modified\r\na: b\r\nContent-Length: 3\r\n\r\n');
  assert.equal(head(304, 1, CHUNKED), 'HTTP/1.1 304 Not Modified\r\na: b\r\n\r\n');
  assert.equal(head(204, 1, 3), 'HTTP/1.1 204 No Content\r\na: b\r\n\r\n');
  assert.equal(head(100, 1, CHUNKED), 'HTTP/1.1 100 Continue\r\na: b\r\n\r\n');
  assert.equal(
    head(101, 1, undefined),
    'HTTP/1.1 101 Switching Protocols\r\na: b\r\nConnection: Upgrade\r\n\r\n',
  );
  assert.equal(head(299, 1, undefined), 'HTTP/1.1 299 \r\na: b\r\n\r\n');
});

test('what would break the framing is never written', () => {
  for (const name of [
    'content-length',
    'Content-Length',
    'transfer-encoding',
    'TRANSFER-ENCODING',
  ]) {
    assert.throws(() => responseHead(200, 1, [name, '1'], 0, false, ''), TypeError);
    assert.throws(
      () => requestHead('GET', '/', '', ['a', 'b', name, '1'], undefined, ''),
      TypeError,
    );
  }
  for (const length of [UNTIL_CLOSE, -3, 1.5, Number.NaN, 2 ** 53]) {
    assert.throws(() => responseHead(200, 1, [], length, false, ''), RangeError);
  }
  for (const status of [0, 99, 600, 200.5, -1]) {
    assert.throws(() => responseHead(status, 1, [], 0, false, ''), RangeError);
  }
  for (const size of [0, -1, Number.NaN]) assert.throws(() => chunkStart(size), RangeError);
  assert.equal(chunkStart(255), 'ff\r\n');
});

test('fields from elsewhere are checked', () => {
  checkFields(['x', '', 'Y-z', '\ta \xff']);
  for (const name of ['', ' x', 'x ', 'x:', 'a b', 'x\r\n', 'x\0', '\xe9', '\u0178', '(x)']) {
    assert.throws(() => checkFields([name, 'v']), TypeError, JSON.stringify(name));
  }
  for (const value of [
    'a\r\nb: c',
    'a\n',
    '\r',
    '\0',
    '\x7f',
    '\x1b',
    '\u010d\u010a',
    '\u{1f600}',
  ]) {
    assert.throws(() => checkFields(['x', value]), TypeError, JSON.stringify(value));
  }
  assert.throws(() => checkFields(['x']), TypeError);
});
