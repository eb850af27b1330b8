import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import type { RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { ServerOptions } from 'node:https';
import { createServer as createTcpServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { afterEach, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { createHttpClient } from '../../src/net/http-client.ts';
import type { HttpClient, HttpClientOptions } from '../../src/net/http-client.ts';
import { issueCertificate } from '../../src/tls/certificate.ts';
import type { CertificateOrder, IssuedCertificate } from '../../src/tls/certificate.ts';

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function listen(server: Server, protocol: 'http' | 'https'): Promise<string> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  });
  return `${protocol}://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const http = (listener: RequestListener) => listen(createHttpServer(listener), 'http');
const https = (options: ServerOptions, listener: RequestListener) =>
  listen(createHttpsServer(options, listener), 'https');

function client(options: HttpClientOptions = {}): HttpClient {
  const made = createHttpClient(options);
  closers.push(() => made.close());
  return made;
}

const utf8 = new TextDecoder();
const portOf = (url: string) => new URL(url).host;

describe('one bounded exchange', () => {
  test('carries method, path, query, headers and body, and answers with status, headers and text', async () => {
    const base = await http((request, response) => {
      let body = '';
      request.setEncoding('utf8');
      request.on('data', (chunk: string) => (body += chunk));
      request.on('end', () => {
        response.writeHead(201, { 'x-seen': `${request.method} ${request.url}` });
        response.end(`${String(request.headers['x-given'])}:${body}é`);
      });
    });
    const answer = await client().request({
      method: 'POST',
      url: `${base}/a?b=c`,
      headers: { 'x-given': 'yes' },
      body: 'ü',
    });
    assert.equal(answer.status, 201);
    assert.equal(answer.headers['x-seen'], 'POST /a?b=c');
    assert.equal(answer.body, 'yes:üé');
  });

  test('does not follow a redirect', async () => {
    const seen: (string | undefined)[] = [];
    const base = await http((request, response) => {
      seen.push(request.url);
      response.writeHead(302, { location: '/login' }).end();
    });
    const answer = await client().request({ method: 'GET', url: `${base}/list` });
    assert.equal(answer.status, 302);
    assert.deepEqual(seen, ['/list']);
  });

  test('accepts a body of exactly maxBytes and stops reading one byte later', async () => {
    const base = await http((request, response) => {
      response.writeHead(200);
      if (request.url === '/exact') {
        response.end(Buffer.alloc(1000));
        return;
      }
      const more = () => {
        if (!response.destroyed && response.write(Buffer.alloc(65_536))) setImmediate(more);
      };
      response.on('drain', more);
      more();
    });
    const one = client();
    const exact = await one.request({ method: 'GET', url: `${base}/exact`, maxBytes: 1000 });
    assert.equal(exact.body.length, 1000);
    await assert.rejects(one.request({ method: 'GET', url: `${base}/endless`, maxBytes: 1000 }), {
      message: `${portOf(base)}: the answer is larger than 1000 bytes`,
    });
    await assert.rejects(one.request({ method: 'GET', url: `${base}/exact`, maxBytes: 999 }));
  });

  test('times out on a head that does not come and on a body that does not end', async () => {
    const base = await http((request, response) => {
      if (request.url === '/body') response.write('x');
    });
    const one = client();
    for (const path of ['/head', '/body']) {
      await assert.rejects(one.request({ method: 'GET', url: base + path, timeoutMs: 100 }), {
        message: `${portOf(base)}: no complete answer within 100 ms`,
      });
    }
  });

  test('a signal aborts it, also when it was aborted before', async () => {
    const base = await http(() => undefined);
    const controller = new AbortController();
    const call = client().request({ method: 'GET', url: base, signal: controller.signal });
    setImmediate(() => controller.abort());
    await assert.rejects(call, { message: `${portOf(base)}: the call was aborted` });
    await assert.rejects(
      client().request({ method: 'GET', url: base, signal: controller.signal }),
      /aborted/,
    );
  });

  test('an answer that ends early is an error, not a shorter body', async () => {
    const base = await http((_request, response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('{"half":');
      setImmediate(() => response.destroy());
    });
    await assert.rejects(
      client().request({ method: 'GET', url: base }),
      /closed the connection|ended early/,
    );
  });

  test('an idempotent request on a connection that breaks is sent once more, a POST never', async () => {
    const seen: string[] = [];
    const base = await http((request, response) => {
      seen.push(String(request.method));
      if (seen.length % 2 === 1) request.socket.destroy();
      else response.end('second');
    });
    const one = client();
    const answer = await one.request({ method: 'GET', url: base });
    assert.equal(answer.body, 'second');
    await assert.rejects(one.request({ method: 'POST', url: base }), /closed the connection/);
    assert.deepEqual(seen, ['GET', 'GET', 'POST']);
    seen.length = 0;
    const asked = await one.request({ method: 'POST', url: base, safe: true, body: 'a=b' });
    assert.equal(asked.body, 'second');
    assert.deepEqual(seen, ['POST', 'POST'], 'but one that only asks');
  });

  test('errors name host and port and nothing else of the URL or the headers', async () => {
    const free = createTcpServer();
    const base = await listen(free, 'http');
    await closers.pop()?.();
    const outcomes = await Promise.allSettled([
      client().request({
        method: 'GET',
        url: `${base}/path-secret?query=secret#secret`,
        headers: { authorization: 'Bearer secret' },
      }),
      client().request({ method: 'GET', url: base.replace('//', '//user:secret@') }),
      client().request({ method: 'GET', url: base, headers: { authorization: 'secret\r\nx: y' } }),
      client().request({ method: 'GET', url: base, headers: { Host: 'secret' } }),
      client().request({ method: 'GET', url: 'secret' }),
      client().request({ method: 'GET', url: 'file:///secret' }),
    ]);
    for (const outcome of outcomes) {
      assert.equal(outcome.status, 'rejected');
      const error: unknown = outcome.reason;
      assert.ok(error instanceof Error);
      assert.doesNotMatch(`${error.stack} ${String(error.cause)}`, /secret/);
    }
    await assert.rejects(client().request({ method: 'GET', url: base }), {
      message: `${portOf(base)}: the connection was refused (ECONNREFUSED)`,
    });
  });

  test('bytes that are not HTTP are an error without those bytes', async () => {
    const base = await listen(
      createTcpServer((socket) => socket.end('secret-banner\r\n')),
      'http',
    );
    const error: unknown = await client()
      .request({ method: 'GET', url: base })
      .catch((reason: unknown) => reason);
    assert.ok(error instanceof Error);
    assert.match(error.message, /the answer is not HTTP/);
    assert.equal(error.cause, undefined);
    assert.doesNotMatch(error.message, /secret/);
  });

  test('close() ends what is under way', async () => {
    const base = await http(() => undefined);
    const one = client();
    const call = one.request({ method: 'GET', url: base });
    setImmediate(() => void one.close());
    await assert.rejects(call, /the client was closed/);
  });
});

describe('an answer that goes on', () => {
  test('yields chunks as they come and ends when the other side ends', async () => {
    let finish = () => {};
    const base = await http((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('one');
      finish = () => response.end('two');
    });
    const answer = await client().stream({ method: 'GET', url: base, idleTimeoutMs: 5000 });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['content-type'], 'text/event-stream');
    const seen: string[] = [];
    for await (const chunk of answer.body) {
      seen.push(utf8.decode(chunk));
      if (seen.length === 1) finish();
    }
    assert.deepEqual(seen, ['one', 'two']);
  });

  test('is not bounded by timeoutMs once its head is there', async () => {
    const base = await http((_request, response) => {
      response.write('one');
      setTimeout(() => response.end('two'), 1_200);
    });
    const answer = await client().stream({
      method: 'GET',
      url: base,
      timeoutMs: 1_000,
      idleTimeoutMs: 5000,
    });
    let text = '';
    for await (const chunk of answer.body) text += utf8.decode(chunk);
    assert.equal(text, 'onetwo');
  });

  test('a head that does not come, silence, an abort and a broken connection are errors', async () => {
    const base = await http((request, response) => {
      if (request.url === '/head') return;
      response.write('x');
      if (request.url === '/break') setTimeout(() => request.socket.destroy(), 20);
    });
    const one = client();
    await assert.rejects(
      one.stream({ method: 'GET', url: `${base}/head`, timeoutMs: 50, idleTimeoutMs: 5000 }),
      { message: `${portOf(base)}: no answer within 50 ms` },
    );
    const read = async (path: string, idleTimeoutMs: number, signal?: AbortSignal) => {
      const answer = await one.stream({
        method: 'GET',
        url: base + path,
        idleTimeoutMs,
        ...(signal && { signal }),
      });
      for await (const chunk of answer.body) assert.equal(utf8.decode(chunk), 'x');
    };
    await assert.rejects(read('/idle', 50), { message: `${portOf(base)}: nothing came for 50 ms` });
    await assert.rejects(read('/break', 5000), /closed the connection/);
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 50);
    await assert.rejects(read('/abort', 5000, controller.signal), /the call was aborted/);
  });

  test('leaving the loop, or never reading, closes the connection', async () => {
    const open = new Set<unknown>();
    const base = await http((_request, response) => {
      open.add(response);
      response.on('close', () => open.delete(response));
      response.write('x');
    });
    const one = client();
    const left = await one.stream({ method: 'GET', url: base, idleTimeoutMs: 5000 });
    for await (const chunk of left.body) {
      assert.equal(utf8.decode(chunk), 'x');
      break;
    }
    await one.stream({ method: 'GET', url: base, idleTimeoutMs: 50 });
    const controller = new AbortController();
    await one.stream({
      method: 'GET',
      url: base,
      idleTimeoutMs: 5000,
      signal: controller.signal,
    });
    controller.abort();
    for (const deadline = Date.now() + 5000; open.size > 0 && Date.now() < deadline;)
      await pause(10);
    assert.equal(open.size, 0);
  });
});

describe('TLS', () => {
  const year = 365 * 86_400_000;
  const order = (
    purpose: CertificateOrder['purpose'],
    extra: Partial<CertificateOrder> = {},
  ): CertificateOrder => ({
    commonName: purpose,
    purpose,
    notBefore: new Date(Date.now() - year),
    notAfter: new Date(Date.now() + year),
    ...extra,
  });
  let authority: IssuedCertificate;
  let other: IssuedCertificate;
  let server: IssuedCertificate;
  let elsewhere: IssuedCertificate;
  before(async () => {
    [authority, other] = await Promise.all([
      issueCertificate(order('authority')),
      issueCertificate(order('authority', { commonName: 'other' })),
    ]);
    [server, elsewhere] = await Promise.all([
      issueCertificate(order('server', { issuer: authority, hosts: ['127.0.0.1'] })),
      issueCertificate(order('server', { issuer: authority, hosts: ['elsewhere.example'] })),
    ]);
  });
  const hello: RequestListener = (_request, response) => response.end('hello');
  const get = (one: HttpClient, url: string) => one.request({ method: 'GET', url });

  test('a certificate of a trusted authority is accepted; a trusted server certificate itself too', async () => {
    const base = await https(server, hello);
    for (const ca of [[authority.cert], [other.cert, authority.cert], [server.cert]]) {
      const answer = await get(client({ ca }), base);
      assert.equal(answer.body, 'hello');
    }
  });

  test('an authority that is not trusted is refused: by another list, an empty list, Node roots', async () => {
    const base = await https(server, hello);
    for (const options of [{ ca: [other.cert] }, { ca: [] }, {}]) {
      await assert.rejects(get(client(options), base), /not in the trust store/);
    }
  });

  test('the environment cannot switch verification off', async (t) => {
    const base = await https(server, hello);
    const old = process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
    t.after(() => {
      if (old === undefined) delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
      else process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = old;
    });
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
    await assert.rejects(get(client(), base), /not in the trust store/);
  });

  test('a certificate for another host is refused every time, unless verifyHostname is off', async () => {
    const base = await https(elsewhere, hello);
    const strict = client({ ca: [authority.cert] });
    for (let call = 0; call < 3; call += 1) {
      await assert.rejects(get(strict, base), /certificate is for another host name/);
    }
    const lax = client({ ca: [authority.cert], verifyHostname: false });
    assert.equal((await get(lax, base)).body, 'hello');
    await assert.rejects(
      get(client({ ca: [other.cert], verifyHostname: false }), base),
      /not in the trust store/,
    );
  });

  test('an expired certificate is refused; disableSslVerification alone accepts anything', async () => {
    const expired = await issueCertificate(
      order('server', {
        issuer: authority,
        hosts: ['127.0.0.1'],
        notAfter: new Date(Date.now() - 1000),
      }),
    );
    const base = await https(expired, hello);
    await assert.rejects(get(client({ ca: [authority.cert] }), base), /has expired/);
    await assert.rejects(get(client({ ca: [authority.cert], verifyHostname: false }), base));
    assert.equal((await get(client({ disableSslVerification: true }), base)).body, 'hello');
  });

  test('a client certificate is presented, and its absence is an error', async () => {
    const mine = await issueCertificate(order('client', { issuer: authority }));
    const base = await https(
      { ...server, ca: authority.cert, requestCert: true, rejectUnauthorized: true },
      hello,
    );
    const ca = [authority.cert];
    assert.equal((await get(client({ ca, cert: mine.cert, key: mine.key }), base)).body, 'hello');
    await assert.rejects(
      get(client({ ca }), base),
      /asks for a client certificate|closed the connection/,
    );
  });

  test('a server that does not speak TLS, and one that never finishes the handshake', async () => {
    const plain = await http(hello);
    await assert.rejects(get(client(), plain.replace('http:', 'https:')), /does not speak TLS/);
    const silent = await listen(createTcpServer(), 'https');
    await assert.rejects(get(client({ connectTimeoutMs: 100 }), silent), /connecting timed out/);
  });

  test('certificates or keys that cannot be used are refused at once, without showing them', () => {
    const damaged = '-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n';
    for (const options of [
      { cert: server.cert, key: damaged },
      { cert: server.cert, key: other.key },
      { ca: ['-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n'] },
    ]) {
      assert.throws(
        () => createHttpClient(options),
        (error: Error) => /cannot be used/.test(error.message) && !/c2Vj/.test(error.message),
      );
    }
  });
});
