import { block, END_HEADERS, END_STREAM, type Fields, frame, HEADERS } from './http2-frames.ts';
import {
  type Case,
  data,
  get,
  malformed,
  only,
  post,
  requestFields,
  rule,
} from './rfc9113-case.ts';

/** What reaches an upstream in no form. */
export const FORBIDDEN = 'forbidden';

const METHOD = [':method', 'GET'] as const;
const SCHEME = [':scheme', 'https'] as const;
const AUTHORITY = [':authority', 'localhost'] as const;

const trailers = (...fields: Fields): Buffer =>
  frame(HEADERS, END_HEADERS | END_STREAM, 1, block(fields));

/** A request with one more field, that makes it malformed. */
const field = (section: string, name: string, ...fields: Fields): Case =>
  malformed(section, name, (path) => [get(path, 1, fields)]);

/** A field that may not be, nor be sent on. {@link FORBIDDEN} is part of it. */
const dropped = (name: string, field: Fields[number]): Case =>
  rule('8.2.1', name, ['stream PROTOCOL_ERROR', '4xx'], (path) => [get(path, 1, [field])]);

/** A request of these pseudo fields alone. */
const pseudo = (name: string, fields: (path: string) => Fields): Case =>
  malformed('8.3', name, (path) => [only(...fields(path))]);

/** A POST with a length and a body. */
const sized = (length: string, ...body: readonly Buffer[]) => {
  return (path: string): readonly Buffer[] => [
    post(path, 1, [['content-length', length]]),
    ...body,
  ];
};

/** Section 8: HTTP messages; 10.5: their size. */
export const MESSAGE_CASES: readonly Case[] = [
  rule('8.1', 'a request with trailers', '200', (path) => [
    post(path),
    data('x'),
    trailers(['x-sum', '1']),
  ]),
  malformed('8.1', 'a second head that does not end the stream', (path) => [
    post(path),
    frame(HEADERS, END_HEADERS, 1, block([['x-a', '1']])),
  ]),
  malformed('8.1', 'trailers with a pseudo field', (path) => [
    post(path),
    data('x'),
    trailers([':method', 'GET'], ['x-sum', '1']),
  ]),
  malformed('8.1', 'trailers with an upper-case name', (path) => [
    post(path),
    data('x'),
    trailers(['X-Sum', '1']),
  ]),
  malformed('8.1', 'trailers with a connection-specific field', (path) => [
    post(path),
    data('x'),
    trailers(['transfer-encoding', 'chunked']),
  ]),
  rule('8.1.1', 'a length that is kept', '200', sized('2', data('ab', END_STREAM))),
  malformed('8.1.1', 'a length without a body', (path) => [
    get(path, 1, [['content-length', '1']]),
  ]),
  malformed('8.1.1', 'a body shorter than its length', sized('3', data('ab', END_STREAM))),
  malformed('8.1.1', 'a body longer than its length', sized('1', data('ab', END_STREAM))),
  {
    ...malformed('8.1.1', 'the same in two frames', sized('2', data('ab'), data('c', END_STREAM))),
    refused: false, // it is whole, and may have left, before there is too much; that stays here
  },
  malformed('8.1.1', 'a length with a sign', sized('+2', data('ab', END_STREAM))),
  malformed('8.1.1', 'a length that is a list', sized('2, 2', data('ab', END_STREAM))),
  malformed('8.1.1', 'a length in hexadecimal', sized('0x2', data('ab', END_STREAM))),
  malformed('8.1.1', 'a length beyond any', sized('18446744073709551618', data('ab', END_STREAM))),
  malformed('8.1.1', 'two lengths', (path) => [
    post(path, 1, [
      ['content-length', '2'],
      ['content-length', '3'],
    ]),
    data('ab', END_STREAM),
  ]),
  malformed('8.1.1', 'trailers before the length is reached', (path) => [
    post(path, 1, [['content-length', '3']]),
    data('ab'),
    trailers(['x-sum', '1']),
  ]),
  field('8.2', 'an upper-case name', ['X-Test', '1']),
  dropped('an empty name', ['', FORBIDDEN]),
  dropped('a blank in a name', ['x test', FORBIDDEN]),
  dropped('a colon in a name', ['x:test', FORBIDDEN]),
  dropped('NUL in a name', ['x\0test', FORBIDDEN]),
  dropped('CR LF in a name', [`x: 1\r\n${FORBIDDEN}`, 'chunked']),
  dropped('a byte over 0x7e in a name', ['x-\xe4', FORBIDDEN]),
  dropped('NUL in a value', ['x-test', `a\0${FORBIDDEN}`]),
  dropped('LF in a value', ['x-test', `a\n${FORBIDDEN}: c`]),
  dropped('CR LF in a value', ['x-test', `a\r\n${FORBIDDEN}: c`]),
  dropped('CR in a value', ['x-test', `a\r${FORBIDDEN}`]),
  dropped('a blank before a value', ['x-test', ` ${FORBIDDEN}`]),
  dropped('a tab after a value', ['x-test', `${FORBIDDEN}\t`]),
  field('8.2.2', 'Connection', ['connection', 'close']),
  field('8.2.2', 'Keep-Alive', ['keep-alive', 'timeout=5']),
  field('8.2.2', 'Proxy-Connection', ['proxy-connection', 'close']),
  field('8.2.2', 'Transfer-Encoding', ['transfer-encoding', 'chunked']),
  field('8.2.2', 'Upgrade', ['upgrade', 'websocket']),
  field('8.2.2', 'TE of something else', ['te', 'gzip']),
  field('8.2.2', 'TE of trailers and something else', ['te', 'trailers, deflate']),
  rule('8.2.2', 'TE of trailers', '200', (path) => [get(path, 1, [['te', 'trailers']])]),
  rule('8.2.3', 'a cookie in two fields', '200', (path) => [
    get(path, 1, [
      ['cookie', 'a=1'],
      ['cookie', 'b=2'],
    ]),
  ]),
  field('8.3', 'an unknown pseudo field', [':unknown', '1']),
  field('8.3', 'a pseudo field of answers', [':status', '200']),
  field('8.3', 'an empty pseudo field name', [':', '1']),
  pseudo('a pseudo field after another field', (path) => [
    METHOD,
    SCHEME,
    [':path', path],
    ['x-a', '1'],
    AUTHORITY,
  ]),
  field('8.3', 'two methods', [':method', 'POST']),
  field('8.3', 'two schemes', [':scheme', 'https']),
  field('8.3', 'two paths', [':path', '/x']),
  field('8.3', 'two authorities', [':authority', 'localhost']),
  pseudo('no method', (path) => [SCHEME, [':path', path], AUTHORITY]),
  pseudo('an empty method', (path) => [[':method', ''], SCHEME, [':path', path], AUTHORITY]),
  pseudo('a method with a blank', (path) => [
    [':method', `GET ${path} HTTP/1.1`],
    SCHEME,
    [':path', path],
    AUTHORITY,
  ]),
  pseudo('no scheme', (path) => [METHOD, [':path', path], AUTHORITY]),
  pseudo('a scheme that is neither http nor https', (path) => [
    METHOD,
    [':scheme', 'ftp'],
    [':path', path],
    AUTHORITY,
  ]),
  pseudo('no path', () => [METHOD, SCHEME, AUTHORITY]),
  pseudo('an empty path', () => [METHOD, SCHEME, [':path', ''], AUTHORITY]),
  pseudo('a path that does not begin with a slash', (path) => [
    METHOD,
    SCHEME,
    [':path', path.slice(1)],
    AUTHORITY,
  ]),
  pseudo('a path with a blank', (path) => [
    METHOD,
    SCHEME,
    [':path', `${path} HTTP/1.1`],
    AUTHORITY,
  ]),
  pseudo('a path with CR LF', (path) => [
    METHOD,
    SCHEME,
    [':path', `${path} HTTP/1.1\r\nX: y`],
    AUTHORITY,
  ]),
  pseudo('a path of `*`, not of OPTIONS', () => [METHOD, SCHEME, [':path', '*'], AUTHORITY]),
  pseudo('neither authority nor Host', (path) => [METHOD, SCHEME, [':path', path]]),
  pseudo('an empty authority', (path) => [METHOD, SCHEME, [':path', path], [':authority', '']]),
  pseudo('user information in the authority', (path) => [
    METHOD,
    SCHEME,
    [':path', path],
    [':authority', 'user@localhost'],
  ]),
  ...[
    'localhost/path',
    'localhost, other',
    'localhost:port',
    'local host',
    `localhost\r\n${FORBIDDEN}: x`,
    `localhost\0${FORBIDDEN}`,
    '[::1',
  ].map((authority) =>
    pseudo(`an authority of ${JSON.stringify(authority)}`, (path) => [
      METHOD,
      SCHEME,
      [':path', path],
      [':authority', authority],
    ]),
  ),
  ...[`GET\r\n${FORBIDDEN}: x`, 'GET\0', '"GET"', 'GET,POST'].map((method) =>
    pseudo(`a method of ${JSON.stringify(method)}`, (path) => [
      [':method', method],
      SCHEME,
      [':path', path],
      AUTHORITY,
    ]),
  ),
  ...['/../', '/%2e%2e', '/\\', '/%00', '/\0', '/#x', '//'].map((trick) =>
    malformed('8.3.1', `a path with ${JSON.stringify(trick)}`, (path) => [get(`${path}${trick}`)]),
  ),
  rule('8.3.1', 'Host in place of the authority', '200', (path) => [
    only(METHOD, SCHEME, [':path', path], ['host', 'localhost']),
  ]),
  field('8.3.1', 'Host that differs from the authority', ['host', 'other']),
  field('8.3.1', 'two Hosts', ['host', 'localhost'], ['host', 'localhost']),
  malformed('8.5', 'CONNECT with a scheme and a path', (path) => [
    frame(HEADERS, END_HEADERS, 1, block(requestFields(path, 'CONNECT'))),
  ]),
  malformed('8.5', 'CONNECT without an authority', () => [
    frame(HEADERS, END_HEADERS, 1, block([[':method', 'CONNECT']])),
  ]),
  malformed('8.5', 'CONNECT of a protocol, which was not offered (RFC 8441)', (path) => [
    frame(
      HEADERS,
      END_HEADERS,
      1,
      block([...requestFields(path, 'CONNECT'), [':protocol', 'websocket']]),
    ),
  ]),
  {
    ...field('10.5.1', 'more fields than are allowed', ...many(300, 'v')),
    right: ['4xx', 'stream ENHANCE_YOUR_CALM', 'stream PROTOCOL_ERROR'],
  },
  {
    ...malformed('10.5.1', 'larger fields than are allowed', (path) => [
      frame(HEADERS, END_STREAM, 1, block(requestFields(path))),
      frame(9, 0, 1, block([['x-a', 'v'.repeat(16_000)]])),
      frame(9, 0, 1, block([['x-b', 'v'.repeat(16_000)]])),
      frame(9, END_HEADERS, 1, block([['x-c', 'v'.repeat(16_000)]])),
    ]),
    right: ['4xx', 'stream ENHANCE_YOUR_CALM', 'stream PROTOCOL_ERROR'],
  },
];

function many(count: number, value: string): Fields {
  return Array.from({ length: count }, (_, at) => [`x-${at}`, value] as const);
}
