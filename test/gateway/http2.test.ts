import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { type ClientHttp2Session, constants, type OutgoingHttpHeaders } from 'node:http2';
import { test, type TestContext } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { startHttpServer } from '../support/http-server.ts';
import { until } from '../support/until.ts';
import { http2Stage } from './http2-peers.ts';
import { api, ENGINE, localCertificate, openApi, rawUpstream } from './stage.ts';

interface Answer {
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: string;
  /** RST_STREAM code. */
  readonly code: number;
}

/** Sends one request; resolves when its stream is over, however that came. */
async function ask(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body?: string,
): Promise<Answer> {
  const stream = session.request(headers, { endStream: body === undefined });
  let received: Answer['headers'] = {};
  let text = '';
  stream.on('response', (fields) => (received = fields as Answer['headers']));
  stream.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  stream.on('error', () => undefined);
  if (body !== undefined) stream.end(body);
  await new Promise((resolve) => stream.once('close', resolve));
  return { headers: received, body: text, code: stream.rstCode };
}

async function echo(t: TestContext) {
  const server = await startHttpServer((incoming, response) => {
    let body = '';
    incoming.on('data', (chunk: Buffer) => (body += chunk.toString()));
    incoming.on('end', () => {
      response.setHeader('Set-Cookie', ['a=1', 'b=2']);
      response.setHeader('Connection', 'keep-alive, X-Hop');
      response.setHeader('X-Hop', '1');
      response.end(
        JSON.stringify({
          method: incoming.method,
          url: incoming.url,
          headers: incoming.headers,
          body,
        }),
      );
    });
  });
  t.after(() => server.close());
  return server;
}

test('a request over HTTP/2 goes upstream as HTTP/1.1 and comes back', async (t) => {
  const upstream = await echo(t);
  const { session, port } = await http2Stage(t, {
    apis: [api('/v1', ['POST /a/{b}', { secured: true, production: [`${upstream.url}/back`] }])],
    serverHeader: 'ballerina',
  });
  const { headers, body } = await ask(
    session,
    {
      ':method': 'POST',
      ':path': '/v1/a/b?c',
      authorization: 'Bearer good',
      cookie: ['x=1', 'y=2'],
      'x-own': ['1', '2'],
      'x-forwarded-for': '6.6.6.6',
      te: 'trailers',
    },
    'hello',
  );
  assert.equal(headers[':status'], 200);
  assert.equal(headers['server'], 'ballerina');
  assert.deepEqual(headers['set-cookie'], ['a=1', 'b=2']);
  assert.equal(headers['x-hop'], undefined);
  const seen = JSON.parse(body) as {
    method: string;
    url: string;
    headers: Record<string, string>;
    body: string;
  };
  assert.equal(`${seen.method} ${seen.url} ${seen.body}`, 'POST /back/a/b?c hello');
  assert.deepEqual(seen.headers, {
    host: `127.0.0.1:${upstream.port}`,
    ...(ENGINE === 'node' && { connection: 'keep-alive' }), // undici says what HTTP/1.1 means anyway
    'x-own': '1, 2',
    cookie: 'x=1; y=2',
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': `localhost:${port}`,
    'transfer-encoding': 'chunked',
  });
  const known = await ask(
    session,
    { ':method': 'POST', ':path': '/v1/a/b', authorization: 'Bearer later', 'content-length': '5' },
    'hello',
  );
  assert.equal((JSON.parse(known.body) as typeof seen).headers['content-length'], '5');
});

test('refusals over HTTP/2 have the same shape, and HEAD has no body', async (t) => {
  const { session } = await http2Stage(t, {
    apis: [
      api(
        '',
        ['GET /a', { secured: true }],
        ['HEAD /a', { secured: true }],
        ['POST /a', { secured: true }],
      ),
    ],
  });
  const revoked = await ask(session, { ':path': '/a', authorization: 'Bearer revoked' });
  assert.equal(revoked.headers[':status'], 401);
  assert.equal(revoked.headers['content-length'], '146');
  assert.equal(Buffer.byteLength(revoked.body), 146);
  const two = await ask(session, {
    ':path': '/a',
    Authorization: 'Bearer good',
    'x-authorization': 'x',
  });
  assert.equal(two.headers[':status'], 403, 'no endpoint');
  const head = await ask(session, { ':method': 'HEAD', ':path': '/a' });
  assert.equal(head.headers[':status'], 401);
  assert.equal(head.body, '');
  const upload = await ask(session, { ':method': 'POST', ':path': '/a' }, 'x'.repeat(10_000));
  assert.equal(upload.headers[':status'], 401);
  assert.equal((await ask(session, { ':path': '/a/../b' })).headers[':status'], 400);
  assert.equal((await ask(session, { ':path': '/b' })).headers[':status'], 404);
  assert.equal((await ask(session, { ':method': 'get', ':path': '/a' })).headers[':status'], 405);
  assert.equal((await ask(session, { ':path': `/${'a'.repeat(5_000)}` })).headers[':status'], 414);
  assert.equal(
    (await ask(session, { ':path': '/a', ':authority': 'localhost', host: 'evil' })).headers[
      ':status'
    ],
    400,
  );
  assert.equal(
    (await ask(session, { ':path': '/a', x_forwarded_for: '1', content_length: '5' })).headers[
      ':status'
    ],
    400,
  );
  assert.equal(
    (await ask(session, { ':method': 'CONNECT', ':authority': 'h:443' })).headers[':status'],
    405,
  );
  for (const Expect of ['x', ['100-continue', 'x']]) {
    assert.equal((await ask(session, { ':path': '/a', Expect })).headers[':status'], 417);
  }
  const many = Object.fromEntries(Array.from({ length: 100 }, (_, at) => [`x-${at}`, 'y']));
  assert.equal((await ask(session, { ':path': '/a', ...many })).headers[':status'], 431);
  assert.equal((await ask(session, { ':path': '/health' })).body, '{"status":"healthy"}');
});

test('header fields over the limit are refused with the fault body, far over it by a reset', async (t) => {
  const upstream = await echo(t);
  const { session } = await http2Stage(t, { apis: [openApi(upstream.url)] });
  const get = (size: number): Promise<Answer> =>
    ask(session, { ':path': '/a', 'x-big': 'x'.repeat(size) });
  assert.equal((await get(8_000)).headers[':status'], 200);
  for (const size of [8_192, 12_000, 16_000]) {
    const { headers, body } = await get(size);
    assert.equal(headers[':status'], 431, `${size}`);
    assert.match(body, /^\{"fault":\{"code":431, /);
  }
  assert.equal((await get(40_000)).code, constants.NGHTTP2_ENHANCE_YOUR_CALM);
  assert.equal((await get(1)).headers[':status'], 200, 'the session lives on');
});

test('a response head that HTTP/2 does not allow is answered all the same', async (t) => {
  const upstream = await rawUpstream(t, (socket) => {
    socket.on('data', (bytes: Buffer) => {
      const fields = decodeURIComponent(/\?(\S*)/.exec(bytes.toString('latin1'))?.[1] ?? '');
      socket.write(`HTTP/1.1 200 OK\r\n${fields}\r\nContent-Length: 2\r\n\r\nok`);
    });
  });
  const { session, gateway } = await http2Stage(t, { apis: [openApi(upstream.url)] });
  const get = (fields: string): Promise<Answer> =>
    ask(session, { ':path': `/a?${encodeURIComponent(fields)}` });
  for (const fields of [
    'HTTP2-Settings: AAMAAABkAAQAAP__',
    'Keep-Alive: timeout=5',
    'Upgrade: h2c',
    'Proxy-Connection: close',
    'TE: gzip',
  ]) {
    const { headers, body } = await get(fields);
    assert.equal(headers[':status'], 200, fields);
    assert.equal(body, 'ok', fields);
  }
  for (const fields of [
    'ETag: 1\r\nETag: 2',
    'Content-Type: a/b\r\nContent-Type: c/d',
    'Location: /a\r\nX-A: 1\r\nLocation: /b',
  ]) {
    const { headers, body } = await get(fields);
    assert.equal(headers[':status'], 502, fields);
    assert.match(body, /^\{"fault":\{"code":101503, /);
    assert.equal(headers['etag'] ?? headers['location'] ?? headers['x-a'], undefined);
    assert.equal(headers['content-type'], 'application/json');
  }
  await until(() => gateway.counters().active === 0, 'the requests are over');
});

test('an upstream body that breaks ends the stream with an error', async (t) => {
  const upstream = await rawUpstream(
    t,
    (socket) =>
      void socket.once('data', () =>
        socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n'),
      ),
  );
  const { session } = await http2Stage(t, { apis: [openApi(upstream.url)] });
  const answer = await ask(session, { ':path': '/a' });
  assert.equal(answer.headers[':status'], 200);
  assert.equal(answer.code, constants.NGHTTP2_INTERNAL_ERROR);
});

test('a length over HTTP/2 that is not kept does not reach the upstream as a whole body', async (t) => {
  let body = '';
  let whole = false;
  const upstream = await startHttpServer((incoming, response) => {
    incoming.on('data', (chunk: Buffer) => (body += chunk.toString()));
    incoming.on('end', () => {
      whole = true;
      response.end('ok');
    });
    incoming.on('error', () => undefined);
  });
  t.after(() => upstream.close());
  const { session, gateway } = await http2Stage(t, { apis: [openApi(upstream.url)] });
  const answer = await ask(
    session,
    { ':method': 'POST', ':path': '/a', 'content-length': '50' },
    'GET /hidden HTTP/1.1',
  );
  assert.notEqual(answer.headers[':status'], 200);
  await until(() => gateway.counters().active === 0, 'the request is over');
  assert.ok(!whole, body);
});

test('resetting a stream stops the upstream call; streams beyond the limit wait', async (t) => {
  let open = 0;
  const upstream = await rawUpstream(t, (socket) => {
    socket.once('data', () => open++);
    socket.on('end', () => socket.destroy());
    socket.on('close', () => open--);
  });
  const { session, gateway } = await http2Stage(t, {
    apis: [openApi(upstream.url)],
    limits: { maxStreams: 3 },
  });
  await once(session, 'remoteSettings').catch(() => undefined);
  assert.equal(session.remoteSettings.maxConcurrentStreams, 3);
  const streams = Array.from({ length: 3 }, () => session.request({ ':path': '/a' }));
  for (const stream of streams) stream.on('error', () => undefined);
  await until(() => open === 3, 'the calls are at the upstream');
  for (const stream of streams) stream.close(constants.NGHTTP2_CANCEL);
  await until(() => open === 0, 'the upstream calls are ended');
  await until(() => gateway.counters().active === 0, 'the requests are over');
  assert.deepEqual(gateway.counters().outcomes, { aborted: 3 });
});

test('a download over HTTP/2 that nobody reads is held back, and cut off in the end', async (t) => {
  let written = 0;
  const upstream = await rawUpstream(t, (socket) => {
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 268435456\r\n\r\n');
      const pump = (): void => {
        do written += 65_536;
        while (socket.write(Buffer.alloc(65_536)) && written < 268_435_456);
      };
      socket.on('drain', pump);
      pump();
    });
  });
  const { session, gateway } = await http2Stage(t, {
    apis: [openApi(upstream.url)],
    upstream: { idleBodyTimeoutMs: 300 },
  });
  const stream = session.request({ ':path': '/a' });
  stream.on('error', () => undefined);
  await once(stream, 'response');
  stream.pause();
  await until(() => gateway.counters().active === 0, 'the client is cut off');
  assert.ok(written < 32 * 1024 * 1024, `${written}`);
  assert.deepEqual(gateway.counters().outcomes, { aborted: 1 });
});

test('small pieces that wait for a reader over HTTP/2 arrive as they were', async (t) => {
  const pieces = Array.from({ length: 200 }, (_, at) => `${at}:`.padEnd(3_000, String(at % 10)));
  const left = [...pieces];
  const upstream = await rawUpstream(t, (socket) => {
    const next = (): void => {
      const piece = left.shift();
      if (piece === undefined) socket.end();
      else socket.write(piece, () => setImmediate(next));
    };
    socket.once('data', () => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${pieces.join('').length}\r\n\r\n`);
      next();
    });
  });
  const { session } = await http2Stage(t, { apis: [openApi(upstream.url)] });
  const stream = session.request({ ':path': '/a' });
  await once(stream, 'response');
  stream.pause();
  await until(() => left.length < 100, 'more is on its way than the window takes');
  let text = '';
  stream.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
  stream.resume();
  await once(stream, 'close');
  assert.ok(text === pieces.join(''), `${text.length} bytes`);
});

test('HTTP/1.1 over the same port, with the same refusals for what cannot be parsed', async (t) => {
  const upstream = await echo(t);
  const { port, bound } = await http2Stage(t, { apis: [openApi(upstream.url)] });
  const { cert } = await localCertificate();
  const call = httpsRequest({ port, host: 'localhost', path: '/a', ca: cert, agent: false }).end();
  const [response] = (await once(call, 'response')) as [IncomingMessage];
  assert.equal(response.statusCode, 200);
  assert.equal(response.httpVersion, '1.1');
  response.resume();
  assert.equal(bound[0]?.kind, 'https');
  const socket = connectTls({ port, host: 'localhost', ca: cert, ALPNProtocols: ['http/1.1'] });
  socket.setEncoding('latin1').write('GET /a HTTP/1.1\r\nHost: h\r\nX : y\r\n\r\n');
  let text = '';
  socket.on('data', (chunk: string) => (text += chunk));
  await once(socket, 'close');
  assert.match(text, /^HTTP\/1\.1 400 [^]*\{"fault":\{"code":400, /);
});
