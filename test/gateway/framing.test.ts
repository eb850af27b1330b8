import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { parse } from 'yaml';
import { startHttpServer } from '../support/http-server.ts';
import { openApi, sendAll, stage, statusOf, wire } from './stage.ts';

interface Seen {
  readonly line: string;
  readonly fields: string;
  readonly body: string;
}

/** A gateway that would forward anything, before an upstream that keeps what it saw. */
async function watched(t: TestContext): Promise<{ readonly port: number; readonly seen: Seen[] }> {
  const seen: Seen[] = [];
  const upstream = await startHttpServer((incoming, response) => {
    let body = '';
    incoming.setEncoding('latin1').on('data', (chunk: string) => (body += chunk));
    incoming.on('end', () => {
      const fields = incoming.rawHeaders.flatMap((name, at) =>
        at % 2 === 0 ? [`${name}: ${incoming.rawHeaders[at + 1]}\n`] : [],
      );
      seen.push({ line: `${incoming.method} ${incoming.url}`, fields: fields.join(''), body });
      response.end('ok');
    });
  });
  t.after(() => upstream.close());
  const { port } = await stage(t, { apis: [openApi(upstream.url)] });
  return { port, seen };
}

/** The first answer to some bytes, and whether the connection was closed after it. */
async function ask(
  t: TestContext,
  port: number,
  bytes: string | Buffer,
): Promise<{ readonly status: number; readonly closing: boolean }> {
  const client = await wire(t, port);
  client.send(bytes);
  try {
    const answer = await client.until(/^HTTP\/1\.1 [2-5]\d\d [^]*?\r\n\r\n/);
    return { status: statusOf(answer), closing: /\r\nConnection: close\r\n/i.test(answer) };
  } catch (error) {
    if (client.socket.closed) return { status: 0, closing: true };
    throw error;
  } finally {
    client.socket.destroy();
  }
}

const HOST = 'Host: h\r\n';
const POST = `POST /p HTTP/1.1\r\n${HOST}`;
const GET = (target: string): string => `GET ${target} HTTP/1.1\r\n${HOST}\r\n`;

/** The differential table of the reference, with what is done here: refused with a status, or forwarded as a request line. */
const TABLE: readonly (readonly [string, string, number, string?])[] = [
  [
    'length and chunks',
    `${POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    400,
  ],
  [
    'chunks and length',
    `${POST}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`,
    400,
  ],
  ['two equal lengths', `${POST}Content-Length: 2\r\nContent-Length: 2\r\n\r\nab`, 400],
  ['two lengths', `${POST}Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc`, 400],
  ['a list of lengths', `${POST}Content-Length: 2, 2\r\n\r\nab`, 400],
  ['length with a sign', `${POST}Content-Length: +5\r\n\r\nabcde`, 400],
  ['length with a minus', `${POST}Content-Length: -1\r\n\r\n`, 400],
  ['length in hex', `${POST}Content-Length: 0x5\r\n\r\nabcde`, 400],
  ['empty length', `${POST}Content-Length: \r\n\r\n`, 400],
  ['length beyond all numbers', `${POST}Content-Length: 99999999999999999999\r\n\r\n`, 400],
  ['chunked twice', `${POST}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n`, 400],
  [
    'chunked in two fields',
    `${POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    400,
  ],
  ['gzip, chunked', `${POST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`, 400],
  ['chunked, identity', `${POST}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`, 400],
  ['identity', `${POST}Transfer-Encoding: identity\r\n\r\n`, 400],
  ['xchunked', `${POST}Transfer-Encoding: xchunked\r\n\r\n`, 400],
  ['chunked with a vertical tab', `${POST}Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n`, 400],
  ['empty coding', `${POST}Transfer-Encoding: \r\n\r\n`, 400],
  [
    'chunked in HTTP/1.0',
    `POST /p HTTP/1.0\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    400,
  ],
  [
    'chunk extension',
    `${POST}Transfer-Encoding: chunked\r\n\r\n2;a=b\r\nab\r\n0\r\n\r\n`,
    200,
    'POST /p',
  ],
  [
    'chunk extension with LF',
    `${POST}Transfer-Encoding: chunked\r\n\r\n2;a\nb\r\nab\r\n0\r\n\r\n`,
    400,
  ],
  [
    'chunk extension of 64 KB',
    `${POST}Transfer-Encoding: chunked\r\n\r\n2;${'a'.repeat(65_536)}\r\nab\r\n0\r\n\r\n`,
    413,
  ],
  ['chunk size 0x2', `${POST}Transfer-Encoding: chunked\r\n\r\n0x2\r\nab\r\n0\r\n\r\n`, 400],
  ['chunk size with a sign', `${POST}Transfer-Encoding: chunked\r\n\r\n+2\r\nab\r\n0\r\n\r\n`, 400],
  [
    'chunk size beyond all numbers',
    `${POST}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nab\r\n0\r\n\r\n`,
    400,
  ],
  ['chunk with bare LF', `${POST}Transfer-Encoding: chunked\r\n\r\n2\nab\n0\n\n`, 400],
  [
    'chunk longer than it says',
    `${POST}Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n`,
    400,
  ],
  [
    'trailer',
    `${POST}Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nTE: x\r\nX-T: y\r\n\r\n`,
    200,
    'POST /p',
  ],
  [
    'trailer with a length',
    `${POST}Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nContent-Length: 5\r\n\r\n`,
    400,
  ],
  ['no Host', 'GET /p HTTP/1.1\r\n\r\n', 400],
  ['no Host in HTTP/1.0', 'GET /p HTTP/1.0\r\n\r\n', 200, 'GET /p'],
  ['two Hosts', `GET /p HTTP/1.1\r\n${HOST}Host: evil\r\n\r\n`, 400],
  ['empty Host', 'GET /p HTTP/1.1\r\nHost: \r\n\r\n', 400],
  ['Host with a user', 'GET /p HTTP/1.1\r\nHost: user@h\r\n\r\n', 400],
  ['Host with a path', 'GET /p HTTP/1.1\r\nHost: h/evil\r\n\r\n', 400],
  ['Host list', 'GET /p HTTP/1.1\r\nHost: h, evil\r\n\r\n', 400],
  ['folded line', `GET /p HTTP/1.1\r\n${HOST}X: a\r\n b\r\n\r\n`, 400],
  ['blank before the colon', `GET /p HTTP/1.1\r\n${HOST}X : a\r\n\r\n`, 400],
  ['blank before the first field', `GET /p HTTP/1.1\r\n ${HOST}\r\n`, 400],
  ['NUL in a value', `GET /p HTTP/1.1\r\n${HOST}X: a\0b\r\n\r\n`, 400],
  ['CR in a value', `GET /p HTTP/1.1\r\n${HOST}X: a\rb\r\n\r\n`, 400],
  ['bare LF lines', 'GET /p HTTP/1.1\nHost: h\n\n', 400],
  ['underscore length', `${POST}Content_Length: 5\r\n\r\n`, 400],
  ['underscore coding', `${POST}Transfer_Encoding: chunked\r\n\r\n`, 400],
  ['absolute-form', 'GET http://H/p?x HTTP/1.1\r\nHost: h\r\n\r\n', 200, 'GET /p?x'],
  ['absolute-form without a path', 'GET http://h?x HTTP/1.1\r\nHost: h\r\n\r\n', 200, 'GET /?x'],
  ['absolute-form of another host', 'GET http://evil/p HTTP/1.1\r\nHost: h\r\n\r\n', 400],
  ['absolute-form with a user', 'GET http://u@h/p HTTP/1.1\r\nHost: h\r\n\r\n', 400],
  ['absolute-form of another scheme', 'GET ftp://h/p HTTP/1.1\r\nHost: h\r\n\r\n', 400],
  ['asterisk-form', `OPTIONS * HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['dot segments', GET('/a/../admin'), 400],
  ['%2e%2e', GET('/a/%2e%2e/admin'), 400],
  ['..;', GET('/a/..;/admin'), 400],
  ['%2f', GET('/a%2fadmin'), 400],
  ['two slashes', GET('//admin'), 400],
  ['one dot', GET('/./admin'), 400],
  ['backslash', GET('/a\\..\\admin'), 400],
  ['%5c', GET('/a%5c..%5cadmin'), 400],
  ['%00', GET('/admin%00.x'), 400],
  ['%252e is text', GET('/a/%252e%252e/admin'), 200, 'GET /a/%252e%252e/admin'],
  ['overlong UTF-8', GET('/a/%c0%ae%c0%ae/admin'), 400],
  ['fragment', GET('/p#x'), 400],
  ['raw UTF-8', GET('/\xc3\xa9'), 400],
  ['lower-case method', `get /p HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['unknown method', `FROB /p HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['TRACE', `TRACE /p HTTP/1.1\r\n${HOST}\r\n`, 405],
  ['CONNECT', `CONNECT h:443 HTTP/1.1\r\n${HOST}\r\n`, 405],
  ['HTTP/0.9', 'GET /p\r\n\r\n', 400],
  ['HTTP/1.2', `GET /p HTTP/1.2\r\n${HOST}\r\n`, 400],
  ['HTTP/2.0 in a request line', `GET /p HTTP/2.0\r\n${HOST}\r\n`, 400],
  ['HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
  ['GET with a body', `GET /p HTTP/1.1\r\n${HOST}Content-Length: 2\r\n\r\nab`, 200, 'GET /p'],
  [
    'Upgrade to h2c',
    `GET /p HTTP/1.1\r\n${HOST}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n`,
    200,
    'GET /p',
  ],
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
    assert.ok(seen.every((one) => !/upgrade|http2-settings|^te:|trailer/im.test(one.fields)));
    if (what === 'GET with a body') assert.ok(answer.closing);
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

interface Case {
  readonly name: string;
  readonly uri: string;
  readonly method: string;
  readonly version: string;
  readonly headers: readonly { readonly name: string; readonly value: string | number }[] | null;
  readonly expected: { readonly tier: 'Compliant' | 'Acceptable' | 'Ambiguous' | 'Severe' };
}

/** Compliant requests that are refused here all the same, none for its framing by one length or by chunks. */
const REFUSED_COMPLIANT: ReadonlySet<string> = new Set([
  // A transfer coding beside chunked, or parameters of it: two parties may undo them differently.
  'Different Transfer-Encoding headers',
  'Different Transfer-Encoding headers combined',
  'Transfer-Encoding with a param: chunked;custom_param',
  'Transfer-Encoding: identity and chunked OK',
  'Multiple transfer encoding headers in a single request OK',
  'Correct TE OK',
  'TE with custom parameters OK',
  'Compliant URL', // fragment and backslash
  'International in URI', // raw UTF-8
  'Empty URI',
]);

function corpus(): Case[] | undefined {
  const folder = `${process.env['PORTCULLIS_CONFORMANCE'] ?? '../shared/conformance'}/http-desync-guardian/tests`;
  if (!existsSync(folder)) {
    if (process.env['CI'] === 'true') throw new Error(`test vectors are missing: ${folder}`);
    console.warn(`NOT TESTED: no test vectors at ${folder}; set PORTCULLIS_CONFORMANCE`);
    return undefined;
  }
  return readdirSync(folder)
    .filter((file) => file.endsWith('.yaml'))
    .flatMap((file) => parse(readFileSync(`${folder}/${file}`, 'utf8')) as Case[]);
}

/** The request, with a Host of its own so that only the case decides, and the body that its framing promises. */
function bytesOf({ uri, method, version, headers }: Case): Buffer {
  const fields = headers ?? [];
  const own = fields.some(({ name }) => name.toLowerCase() === 'host') ? '' : HOST;
  const lines = fields.map(({ name, value }) => `${name}: ${value}\r\n`).join('');
  const chunked = fields.some(
    ({ name, value }) => /^transfer-encoding$/i.test(name) && /chunked/i.test(String(value)),
  );
  const length = fields.find(
    ({ name, value }) => /^content-length$/i.test(name) && /^\s*\d{1,7}\s*$/.test(String(value)),
  );
  const body = chunked ? '0\r\n\r\n' : 'x'.repeat(Number(length?.value ?? 0));
  const end = version === '' ? '' : ` ${version}`;
  return Buffer.from(`${method} ${uri}${end}\r\n${own}${lines}\r\n${body}`, 'utf8');
}

test('requests of the desync corpus: severe refused, ambiguous never passed on as they are, compliant served', async (t) => {
  const cases = corpus();
  if (cases === undefined) return t.skip('no vectors');
  const { port, seen } = await watched(t);
  const refused: string[] = [];
  const counts = { Compliant: 0, Acceptable: 0, Ambiguous: 0, Severe: 0 };
  for (const one of cases) {
    seen.length = 0;
    const { tier } = one.expected;
    const { status, closing } = await ask(t, port, bytesOf(one));
    counts[tier]++;
    const turnedDown = status === 0 || status >= 400;
    if (turnedDown) assert.deepEqual(seen, [], `${one.name}: refused, but the upstream saw it`);
    if (tier === 'Severe') assert.ok(turnedDown && closing, `${one.name}: ${status}`);
    if (tier === 'Ambiguous') assert.ok(turnedDown || closing, `${one.name}: ${status}`);
    if (tier === 'Compliant' && turnedDown) refused.push(one.name);
  }
  if (counts.Severe === 0) return;
  assert.deepEqual(counts, { Compliant: 28, Acceptable: 15, Ambiguous: 58, Severe: 58 });
  assert.deepEqual(refused.toSorted(), [...REFUSED_COMPLIANT].toSorted());
});
