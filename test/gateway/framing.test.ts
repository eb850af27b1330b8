import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  DESYNC_COUNTS,
  desyncBytes,
  desyncCases,
  REFUSED_COMPLIANT,
} from '../support/desync-corpus.ts';
import { ask, watched } from './recording-upstream.ts';
import { api, sendAll, statusOf, wire } from './stage.ts';

const HOST = 'Host: h\r\n';
const POST = `POST /p HTTP/1.1\r\n${HOST}`;
const GET = (target: string): string => `GET ${target} HTTP/1.1\r\n${HOST}\r\n`;

/** What became of a request at one of the four: `400`, `close`, or `->` when it went upstream. */
type Verdicts = readonly [haproxy: string, nginx: string, caddy: string, node: string];

interface Row {
  readonly bytes: string;
  /** HAProxy 2.6, nginx 1.22, Caddy 2.6 and the parser of node:http. */
  readonly four: Verdicts;
  readonly status: number;
  /** The request line at the upstream. */
  readonly line?: string;
  /** What must not be in the fields there. */
  readonly without?: RegExp;
}

const chunked = (body: string): string => `${POST}Transfer-Encoding: chunked\r\n\r\n${body}`;
const coding = (value: string): string => `${POST}Transfer-Encoding: ${value}\r\n\r\n0\r\n\r\n`;
const field = (lines: string): string => `GET /p HTTP/1.1\r\n${HOST}${lines}\r\n\r\n`;
const ALL = '->';

/** Differential table: the 51 ways in which requests were seen to be read differently, and what is done here. */
const DIFFERENTIAL: Readonly<Record<string, Row>> = {
  'CL+TE': {
    bytes: `${POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    four: [ALL, '400', ALL, '400'],
    status: 400,
  },
  'dup CL same': {
    bytes: `${POST}Content-Length: 2\r\nContent-Length: 2\r\n\r\nab`,
    four: [ALL, '400', ALL, '400'],
    status: 400,
  },
  'dup CL differ': {
    bytes: `${POST}Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc`,
    four: ['400', '400', '400', '400'],
    status: 400,
  },
  'CL +5': {
    bytes: `${POST}Content-Length: +5\r\n\r\nabcde`,
    four: ['400', '400', '400', '400'],
    status: 400,
  },
  'TE chunked,chunked': {
    bytes: coding('chunked,chunked'),
    four: ['400', '501', '501', '400'],
    status: 400,
  },
  'TE gzip, chunked': {
    bytes: coding('gzip, chunked'),
    four: ['422', '501', '501', ALL],
    status: 400,
  },
  'TE identity': { bytes: coding('identity'), four: ['400', '501', '501', '400'], status: 400 },
  'TE HTTP/1.0': {
    bytes: `POST /p HTTP/1.0\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    four: [ALL, '400', ALL, ALL],
    status: 400,
  },
  'chunk ext': {
    bytes: chunked('2;a=b\r\nab\r\n0\r\n\r\n'),
    four: [ALL, ALL, ALL, ALL],
    status: 200,
    line: 'POST /p',
  },
  'chunk ext LF': {
    bytes: chunked('2;a\nb\r\nab\r\n0\r\n\r\n'),
    four: [ALL, ALL, ALL, '400'],
    status: 400,
  },
  'chunk size 0x2': {
    bytes: chunked('0x2\r\nab\r\n0\r\n\r\n'),
    four: ['400', '400', '502', '400'],
    status: 400,
  },
  'chunk bare LF': { bytes: chunked('2\nab\n0\n\n'), four: [ALL, ALL, '502', '400'], status: 400 },
  trailer: {
    bytes: chunked('2\r\nab\r\n0\r\nX-Trailer: y\r\nTE: x\r\n\r\n'),
    four: [ALL, ALL, ALL, ALL],
    status: 200,
    line: 'POST /p',
    without: /trailer|^te:/im,
  },
  'no Host 1.1': {
    bytes: 'GET /p HTTP/1.1\r\n\r\n',
    four: [ALL, '400', '400', '400'],
    status: 400,
  },
  'dup Host': { bytes: field('Host: evil'), four: ['400', '400', '400', ALL], status: 400 },
  'obs-fold': { bytes: field('X: a\r\n b'), four: [ALL, '400', ALL, '400'], status: 400 },
  'sp before colon': { bytes: field('X : a'), four: ['400', '400', '400', '400'], status: 400 },
  'NUL in value': { bytes: field('X: a\0b'), four: [ALL, '400', '400', '400'], status: 400 },
  'CR in value': { bytes: field('X: a\rb'), four: ['400', '400', '400', '400'], status: 400 },
  'bare LF lines': {
    bytes: 'GET /p HTTP/1.1\nHost: h\n\n',
    four: [ALL, ALL, ALL, '400'],
    status: 400,
  },
  'underscore hdr': {
    bytes: field('X_User: admin\r\nC_L: 5'),
    four: [ALL, ALL, ALL, ALL],
    status: 200,
    line: 'GET /p',
    without: /x.user|c.l:/i,
  },
  'Connection: X-Auth': {
    bytes: field('Connection: X-Auth\r\nX-Auth: 1'),
    four: [ALL, ALL, ALL, ALL],
    status: 200,
    line: 'GET /p',
    without: /x-auth/i,
  },
  'absolute-form': {
    bytes: `GET http://evil/p HTTP/1.1\r\n${HOST}\r\n`,
    four: ['400', ALL, ALL, ALL],
    status: 400,
  },
  dotdot: { bytes: GET('/a/../admin'), four: [ALL, ALL, ALL, ALL], status: 400 },
  '%2e%2e': { bytes: GET('/a/%2e%2e/admin'), four: [ALL, ALL, ALL, ALL], status: 400 },
  '..;/': { bytes: GET('/a/..;/admin'), four: [ALL, ALL, ALL, ALL], status: 400 },
  '%2f': { bytes: GET('/a%2fadmin'), four: [ALL, ALL, ALL, ALL], status: 400 },
  '//': { bytes: GET('//admin'), four: [ALL, ALL, ALL, ALL], status: 400 },
  '/./': { bytes: GET('/./admin'), four: [ALL, ALL, ALL, ALL], status: 400 },
  backslash: { bytes: GET('/a\\..\\admin'), four: [ALL, ALL, ALL, ALL], status: 400 },
  '%5c': { bytes: GET('/a%5c..%5cadmin'), four: [ALL, ALL, ALL, ALL], status: 400 },
  '%00': { bytes: GET('/admin%00.x'), four: [ALL, '400', ALL, ALL], status: 400 },
  '%252e': {
    bytes: GET('/a/%252e%252e/admin'),
    four: [ALL, ALL, ALL, ALL],
    status: 200,
    line: 'GET /a/%252e%252e/admin',
  },
  '%c0%ae': { bytes: GET('/a/%c0%ae%c0%ae/admin'), four: [ALL, ALL, ALL, ALL], status: 400 },
  fragment: { bytes: GET('/p#x'), four: ['400', ALL, ALL, ALL], status: 400 },
  'raw utf8': { bytes: GET('/\xc3\xa9'), four: ['400', ALL, ALL, '400'], status: 400 },
  'X-HTTP-Method-Override': {
    bytes: field('X-HTTP-Method-Override: DELETE'),
    four: [ALL, ALL, ALL, ALL],
    status: 200,
    line: 'GET /p',
    without: /override/i,
  },
  'lower method': {
    bytes: `get /p HTTP/1.1\r\n${HOST}\r\n`,
    four: [ALL, '400', ALL, '400'],
    status: 400,
  },
  TRACE: { bytes: `TRACE /p HTTP/1.1\r\n${HOST}\r\n`, four: [ALL, '405', ALL, ALL], status: 405 },
  CONNECT: {
    bytes: `CONNECT h:443 HTTP/1.1\r\n${HOST}\r\n`,
    four: [ALL, '400', ALL, 'close'],
    status: 405,
  },
  'HTTP/0.9': { bytes: 'GET /p\r\n\r\n', four: ['400', ALL, '400', ALL], status: 400 },
  'HTTP/1.2': {
    bytes: `GET /p HTTP/1.2\r\n${HOST}\r\n`,
    four: [ALL, ALL, ALL, '400'],
    status: 400,
  },
  'HTTP/2.0 line': {
    bytes: `GET /p HTTP/2.0\r\n${HOST}\r\n`,
    four: [ALL, '505', '505', ALL],
    status: 400,
  },
  'hdr 20KB': {
    bytes: field(`X: ${'a'.repeat(20_000)}`),
    four: ['400', '400', ALL, '431'],
    status: 431,
  },
  'hdr 2MB': {
    bytes: field(`X: ${'a'.repeat(2_000_000)}`),
    four: ['400', '400', '431', '431'],
    status: 431,
  },
  '200 hdrs': {
    bytes: field(`${'X: y\r\n'.repeat(199)}X: y`),
    four: ['400', ALL, ALL, ALL],
    status: 431,
  },
  '3000 hdrs': {
    bytes: field(`${'X: y\r\n'.repeat(2_999)}X: y`),
    four: ['400', '400', ALL, ALL],
    status: 431,
  },
  '2 Authorization': {
    bytes: field('Authorization: Bearer good\r\nAuthorization: Bearer sandbox'),
    four: [ALL, '400', ALL, ALL],
    status: 400,
  },
  'GET+body': {
    bytes: `${field('Content-Length: 2')}ab`,
    four: [ALL, ALL, ALL, ALL],
    status: 200,
    line: 'GET /p',
  },
  Expect: {
    bytes: `${POST}Content-Length: 2\r\nExpect: 100-continue\r\n\r\nab`,
    four: [ALL, ALL, ALL, ALL],
    status: 200,
    line: 'POST /p',
    without: /expect/i,
  },
  'Upgrade h2c': {
    bytes: field('Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk'),
    four: [ALL, ALL, ALL, ALL],
    status: 200,
    line: 'GET /p',
    without: /upgrade|http2-settings/i,
  },
};

test('the differential table is whole, and what two of the four refuse is refused here', () => {
  const rows = Object.entries(DIFFERENTIAL);
  assert.equal(rows.length, 51);
  for (const [name, { four, status }] of rows) {
    if (four.filter((verdict) => verdict !== ALL).length >= 2) assert.ok(status >= 400, name);
  }
});

for (const [name, { bytes, status, line, without }] of Object.entries(DIFFERENTIAL)) {
  test(`differential table, ${name}: ${line ?? status}`, async (t) => {
    const { port, seen } = await watched(t);
    const answer = await ask(t, port, bytes);
    assert.equal(answer.status, status);
    const lines = seen.map((one) => one.line);
    assert.deepEqual(lines, line === undefined ? [] : [line]);
    for (const { fields } of seen) if (without !== undefined) assert.doesNotMatch(fields, without);
    // What no reader could have meant ends its connection; a method that is not served does not.
    if (line === undefined) assert.ok(answer.closing || name === 'TRACE');
    if (name === 'GET+body') assert.ok(answer.closing);
  });
}

test('two Authorization fields are 401 where a token is asked for, and nothing goes upstream', async (t) => {
  const { port, seen } = await watched(t, (url) => ({
    apis: [api('', ['GET /p', { secured: true, production: [url] }])],
  }));
  const two = 'Authorization: Bearer good\r\n'.repeat(2);
  assert.equal((await ask(t, port, `GET /p HTTP/1.1\r\n${HOST}${two}\r\n`)).status, 401);
  assert.deepEqual(seen, []);
});

/** More of the same kind, with what is done here: refused with a status, or forwarded as a request line. */
const TABLE: readonly (readonly [string, string, number, string?])[] = [
  [
    'chunks and length',
    `${POST}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`,
    400,
  ],
  ['a list of lengths', `${POST}Content-Length: 2, 2\r\n\r\nab`, 400],
  ['length with a minus', `${POST}Content-Length: -1\r\n\r\n`, 400],
  ['length in hex', `${POST}Content-Length: 0x5\r\n\r\nabcde`, 400],
  ['empty length', `${POST}Content-Length: \r\n\r\n`, 400],
  ['length beyond all numbers', `${POST}Content-Length: 99999999999999999999\r\n\r\n`, 400],
  [
    'chunked in two fields',
    `${POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    400,
  ],
  ['chunked, identity', `${POST}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`, 400],
  ['xchunked', `${POST}Transfer-Encoding: xchunked\r\n\r\n`, 400],
  ['chunked with a vertical tab', `${POST}Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n`, 400],
  ['empty coding', `${POST}Transfer-Encoding: \r\n\r\n`, 400],
  [
    'chunk extension of 64 KB',
    `${POST}Transfer-Encoding: chunked\r\n\r\n2;${'a'.repeat(65_536)}\r\nab\r\n0\r\n\r\n`,
    413,
  ],
  ['chunk size with a sign', `${POST}Transfer-Encoding: chunked\r\n\r\n+2\r\nab\r\n0\r\n\r\n`, 400],
  [
    'chunk size beyond all numbers',
    `${POST}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nab\r\n0\r\n\r\n`,
    400,
  ],
  [
    'chunk longer than it says',
    `${POST}Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n`,
    400,
  ],
  [
    'trailer with a length',
    `${POST}Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nContent-Length: 5\r\n\r\n`,
    400,
  ],
  ['no Host in HTTP/1.0', 'GET /p HTTP/1.0\r\n\r\n', 200, 'GET /p'],
  ['empty Host', 'GET /p HTTP/1.1\r\nHost: \r\n\r\n', 400],
  ['Host with a user', 'GET /p HTTP/1.1\r\nHost: user@h\r\n\r\n', 400],
  ['Host with a path', 'GET /p HTTP/1.1\r\nHost: h/evil\r\n\r\n', 400],
  ['Host list', 'GET /p HTTP/1.1\r\nHost: h, evil\r\n\r\n', 400],
  ['blank before the first field', `GET /p HTTP/1.1\r\n ${HOST}\r\n`, 400],
  ['underscore length', `${POST}Content_Length: 5\r\n\r\n`, 400],
  ['underscore coding', `${POST}Transfer_Encoding: chunked\r\n\r\n`, 400],
  ['absolute-form', 'GET http://H/p?x HTTP/1.1\r\nHost: h\r\n\r\n', 200, 'GET /p?x'],
  ['absolute-form without a path', 'GET http://h?x HTTP/1.1\r\nHost: h\r\n\r\n', 200, 'GET /?x'],
  ['absolute-form with a user', 'GET http://u@h/p HTTP/1.1\r\nHost: h\r\n\r\n', 400],
  ['absolute-form of another scheme', 'GET ftp://h/p HTTP/1.1\r\nHost: h\r\n\r\n', 400],
  ['asterisk-form', `OPTIONS * HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['unknown method', `FROB /p HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
  [
    'Upgrade to websocket without a version',
    `GET /p HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
    426,
  ],
];

for (const [what, bytes, status, line] of TABLE) {
  test(`${what}: ${line ?? status}`, async (t) => {
    const { port, seen } = await watched(t);
    const answer = await ask(t, port, bytes);
    assert.equal(answer.status, status);
    assert.deepEqual(
      seen.map((one) => one.line),
      line === undefined ? [] : [line],
    );
    if (line === undefined && status !== 426) assert.ok(answer.closing, what);
  });
}

test('a request hidden in the body of a refused one is never worked on', async (t) => {
  const { port, seen } = await watched(t);
  const hidden = `GET /hidden HTTP/1.1\r\n${HOST}\r\n`;
  for (const head of [
    `${POST}Content-Length: ${hidden.length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`,
    `${POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n${hidden}`,
    `POST /p HTTP/1.0\r\n${HOST}Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n${hidden}`,
    `${POST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n${hidden}`,
    `${POST}Content_Length: 5\r\n\r\n${hidden}`,
    `${POST}Host: other\r\n\r\n${hidden}`,
    `${POST}Transfer-Encoding: chunked\r\n\r\nzz\r\n${hidden}`,
  ]) {
    const client = await wire(t, port);
    const answer = await client.send(head).closed();
    assert.equal(answer.match(/HTTP\/1\.1 \d{3}/g)?.join(), 'HTTP/1.1 400', answer);
  }
  assert.deepEqual(seen, []);
});

test('CONNECT is told that no method is allowed', async (t) => {
  const { port } = await watched(t);
  const answer = await sendAll(t, port, `CONNECT h:443 HTTP/1.1\r\n${HOST}\r\n`);
  assert.match(answer, /\r\nAllow: ?\r\n/);
});

test('the same bytes, one at a time, mean the same', async (t) => {
  const { port, seen } = await watched(t);
  const client = await wire(t, port);
  client.socket.setNoDelay(true);
  for (const byte of `POST /p?q HTTP/1.1\r\n${HOST}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`) {
    client.send(byte);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(statusOf(await client.closed()), 200);
  assert.deepEqual(
    seen.map(({ line, body }) => ({ line, body })),
    [{ line: 'POST /p?q', body: 'abc' }],
  );
});

test('requests of the desync corpus: severe refused, ambiguous never passed on as they are, compliant served', async (t) => {
  const cases = desyncCases();
  if (cases === undefined) return t.skip('no vectors');
  const { port, seen } = await watched(t);
  const refused: string[] = [];
  const counts = { Compliant: 0, Acceptable: 0, Ambiguous: 0, Severe: 0 };
  for (const one of cases) {
    seen.length = 0;
    const { tier } = one.expected;
    const { status, closing } = await ask(t, port, desyncBytes(one));
    counts[tier]++;
    const turnedDown = status === 0 || status >= 400;
    if (turnedDown) assert.deepEqual(seen, [], `${one.name}: refused, but the upstream saw it`);
    if (tier === 'Severe') assert.ok(turnedDown && closing, `${one.name}: ${status}`);
    if (tier === 'Ambiguous') assert.ok(turnedDown || closing, `${one.name}: ${status}`);
    if (tier === 'Compliant' && turnedDown) refused.push(one.name);
  }
  assert.deepEqual(counts, DESYNC_COUNTS);
  assert.deepEqual(refused.toSorted(), [...REFUSED_COMPLIANT].toSorted());
});
