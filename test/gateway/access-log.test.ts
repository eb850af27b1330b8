/** What is counted and written of a request, whatever engine and version of HTTP brought it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, constants } from 'node:http2';
import { test, type TestContext } from 'node:test';
import type { GatewayOptions } from '../../src/gateway/options.ts';
import { readRoutes, ROUTE_COUNTER_BYTES, routeKeys } from '../../src/gateway/route-metrics.ts';
import type { Span } from '../../src/telemetry/span.ts';
import { startHttpServer } from '../support/http-server.ts';
import { until } from '../support/until.ts';
import { http2Upstream } from './http2-peers.ts';
import {
  api,
  authenticator,
  ENGINE,
  localCertificate,
  openApi,
  rawUpstream,
  stage,
  wire,
} from './stage.ts';
import { frame, handshake, webSocketUpstream } from './web-socket.ts';

/** A gateway whose access lines are kept, and its figures by route. */
async function written(t: TestContext, upstream: string, more: Partial<GatewayOptions> = {}) {
  const lines: Record<string, unknown>[] = [];
  const write = (line: string): boolean =>
    lines.push(JSON.parse(line) as Record<string, unknown>) > 0;
  const { apis = [openApi(upstream)] } = more;
  const routeCounters = {
    memory: new SharedArrayBuffer(ROUTE_COUNTER_BYTES),
    keys: routeKeys(apis),
  };
  const staged = await stage(t, {
    accessLog: { format: 'json', sample: 1, write },
    routeCounters,
    ...more,
    apis,
  });
  const next = async (): Promise<Record<string, unknown>> => {
    await until(() => lines.length > 0, 'a line');
    const line = lines.shift() ?? {};
    const { client, ms, time, id } = line;
    assert.equal(client, '127.0.0.1');
    assert.ok(typeof ms === 'number' && ms >= 0 && Number.isFinite(Date.parse(String(time))));
    assert.match(String(id), /^[0-9a-f-]{36}$/);
    return line;
  };
  const routes = () => readRoutes([routeCounters.memory], routeCounters.keys);
  return { ...staged, lines, next, routes };
}

async function echo(t: TestContext): Promise<string> {
  const server = await startHttpServer((incoming, response) => incoming.pipe(response));
  t.after(() => server.close());
  return server.url;
}

const WATCHED = ['method', 'path', 'version', 'status', 'outcome', 'bytesIn', 'bytesOut', 'route'];

function seen(line: Record<string, unknown>): unknown[] {
  return WATCHED.map((name) => line[name]);
}

test('bytes of both bodies, as they are: of known length, chunked, none, and of HEAD', async (t) => {
  const { url, next, routes } = await written(t, await echo(t));
  const body = 'x'.repeat(100_000);
  await (await fetch(`${url}/a/b?secret`, { method: 'POST', body })).text();
  const first = await next();
  assert.deepEqual(seen(first), [
    'POST',
    '/a/b',
    '1.1',
    200,
    'forwarded',
    100_000,
    100_000,
    '/{a}/{b}',
  ]);
  assert.ok(Number(first['upstreamMs']) >= 0 && Number(first['upstreamMs']) <= Number(first['ms']));
  const chunks = new ReadableStream({
    start(controller) {
      for (let n = 0; n < 3; n++) controller.enqueue(Buffer.alloc(1_000));
      controller.close();
    },
  });
  await (await fetch(`${url}/a`, { method: 'PUT', body: chunks, duplex: 'half' })).text();
  assert.deepEqual(seen(await next()), [
    'PUT',
    '/a',
    '1.1',
    200,
    'forwarded',
    3_000,
    3_000,
    '/{a}',
  ]);
  await fetch(`${url}/a`, { method: 'HEAD' });
  assert.deepEqual(seen(await next()), ['HEAD', '/a', '1.1', 200, 'forwarded', 0, 0, '/{a}']);
  assert.deepEqual(
    routes().map(({ method, route, statuses, refused, timed }) => [
      method,
      route,
      statuses,
      refused,
      timed,
    ]),
    [
      ['HEAD', '/{a}', { '2xx': 1 }, 0, 1],
      ['POST', '/{a}/{b}', { '2xx': 1 }, 0, 1],
      ['PUT', '/{a}', { '2xx': 1 }, 0, 1],
    ],
  );
});

test('a token that was let through in doubt is marked in its line and its span, and no other', async (t) => {
  const spans: Span[] = [];
  const server = await startHttpServer((_, response) => response.end());
  t.after(() => server.close());
  const { url, next } = await written(t, '', {
    apis: [api('', ['GET /{a}', { production: [server.url], secured: true }])],
    tracing: { sample: 1, record: (span) => spans.push(span) },
    authenticator: {
      authenticate(authorization, route, id, presenter) {
        const doubtful = authorization[0] === 'Bearer later';
        if (doubtful && presenter !== undefined) presenter.degraded = 'allowed';
        return authenticator.authenticate(authorization, route, id, presenter);
      },
    },
  });
  for (const [token, degraded] of [
    ['later', 'allowed'],
    ['good', undefined],
  ] as const) {
    await (await fetch(`${url}/a`, { headers: { authorization: `Bearer ${token}` } })).text();
    const line = await next();
    assert.deepEqual([line['status'], line['degraded']], [200, degraded]);
    const [span] = spans.splice(0);
    assert.equal(span?.attributes['portcullis.degraded'], degraded);
  }
});

test('pipelined requests have a line each, in their order', async (t) => {
  const { port, next } = await written(t, await echo(t));
  const client = await wire(t, port);
  client.send(['/a', '/b', '/c'].map((path) => `GET ${path} HTTP/1.1\r\nHost: h\r\n\r\n`).join(''));
  for (const path of ['/a', '/b', '/c']) assert.equal((await next())['path'], path);
});

test('what the gateway refuses, and an upstream that fails, are written with their faults', async (t) => {
  const { url, port, next, routes } = await written(t, 'http://127.0.0.1:1');
  const failed = await fetch(`${url}/a`);
  const text = await failed.text();
  const line = await next();
  assert.deepEqual(seen(line), ['GET', '/a', '1.1', 502, 'upstreamFailed', 0, text.length, '/{a}']);
  assert.equal(line['id'], failed.headers.get('x-request-id'));
  assert.ok(!('upstreamMs' in line), 'no answer came');
  await (await fetch(`${url}/1/2/3/4`)).text();
  assert.deepEqual((await next())['outcome'], 'notFound');
  const client = await wire(t, port);
  client.send('GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n');
  const answer = await client.closed();
  const refused = await next();
  assert.equal(refused['id'], /X-Request-Id: (\S+)/i.exec(answer)?.[1]);
  assert.equal(refused['bytesOut'], answer.length - answer.indexOf('\r\n\r\n') - 4);
  assert.deepEqual([refused['status'], refused['outcome']], [400, 'badRequest']);
  const [figures, ...others] = routes();
  assert.deepEqual([figures?.refused, figures?.statuses, others], [1, { '5xx': 1 }, []]);
});

test('of a head that its parser refuses an engine says no method and no path', async (t) => {
  const { port, next } = await written(t, 'http://127.0.0.1:1');
  const known = ['GET', '/a', '1.1'];
  const unknown = ['-', '-', undefined];
  const none = ENGINE === 'own' ? unknown : known;
  for (const [bytes, status, line] of [
    ['GET /a HTTP/1.1\r\nHost: h\r\nX : y\r\n\r\n', 400, unknown],
    ['GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n', 400, unknown],
    ['CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n', 405, unknown],
    ['GET /a HTTP/1.1\r\n\r\n', 400, none],
    [`GET /a HTTP/1.1\r\nHost: h\r\nX: ${'y'.repeat(8_192)}\r\n\r\n`, 431, none],
    [`GET /a HTTP/1.1\r\nHost: h\r\nX: ${'y'.repeat(80_000)}\r\n\r\n`, 431, unknown],
    ['GET /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n', 400, none],
    ['GET /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', 400, known],
    ['GET /a/../b HTTP/1.1\r\nHost: h\r\n\r\n', 400, ['GET', '/a/../b', '1.1']],
  ] as const) {
    (await wire(t, port)).send(bytes);
    const { method, path, version, status: answered } = await next();
    assert.deepEqual([answered, method, path, version], [status, ...line], bytes.slice(0, 80));
  }
});

test('of a target that is no path, or has a query or a fragment, neither log has more than the path', async (t) => {
  const { port, lines, log } = await written(t, 'http://127.0.0.1:1');
  const targets = ['http://kim:s3cret@h/a', 'http://s3cret/a', '/a?t=s3cret', '/a#t=s3cret'];
  for (const target of targets) {
    const client = await wire(t, port);
    client.send(`GET ${target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`);
    await client.closed();
  }
  await until(() => lines.length === targets.length, 'a line for each');
  assert.equal(log.lines.length, targets.length);
  assert.ok(!JSON.stringify([lines, log.lines]).includes('s3cret'), log.lines.join('\n'));
});

test('a client that leaves: no answer, and what it sent', async (t) => {
  const upstream = await rawUpstream(t, (socket) => socket.resume());
  const { port, next, routes } = await written(t, upstream.url);
  const client = await wire(t, port);
  client.send(`POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n${'x'.repeat(10)}`);
  await until(() => upstream.connections() === 1, 'the call is under way');
  client.socket.destroy();
  const line = await next();
  assert.deepEqual([line['status'], line['outcome']], [0, 'aborted']);
  assert.ok(!('upstreamMs' in line));
  assert.deepEqual(routes()[0]?.statuses, { none: 1 });
});

test('an upstream whose body breaks, over each version of HTTP: its route has failed', async (t) => {
  const old = await rawUpstream(t, (socket) => {
    socket.once('data', () =>
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n12345', () => socket.destroy()),
    );
  });
  const modern = await http2Upstream(t, (stream) => {
    stream.respond({ 'content-length': '100' });
    stream.write('12345', () => stream.close(constants.NGHTTP2_CANCEL));
  });
  for (const [production, http2] of [
    [[old.url], {}],
    [[modern.url], { http2: true }],
  ] as const) {
    const apis = [api('', ['GET /a', { production, ...http2 }])];
    const { url, next, routes } = await written(t, '', { apis });
    await assert.rejects(fetch(`${url}/a`).then((response) => response.text()));
    const line = await next();
    assert.deepEqual([line['outcome'], line['bytesOut']], ['brokenOff', 5]);
    const [{ refused, statuses } = {}] = routes();
    assert.deepEqual([refused, statuses], [1, { '2xx': 1 }]);
  }
});

test('HTTP/2: a line for each stream', async (t) => {
  const tls = await localCertificate();
  const { port, next } = await written(t, await echo(t), {
    listeners: [{ kind: 'https', host: '127.0.0.1', port: 0, tls }],
  });
  const session = connect(`https://localhost:${port}`, { ca: tls.cert });
  t.after(() => session.destroy());
  const stream = session.request({ ':path': '/a?b', ':method': 'POST' });
  stream.end('four');
  stream.resume();
  await once(stream, 'close');
  assert.deepEqual(seen(await next()), ['POST', '/a', '2.0', 200, 'forwarded', 4, 4, '/{a}']);
});

test('a WebSocket has its line when it has ended, with the bytes that passed; how long it lasted is in no histogram', async (t) => {
  const upstream = await webSocketUpstream(t);
  const { port, next, lines, routes } = await written(t, upstream.url);
  const client = await wire(t, port);
  client.send(handshake('/a'));
  await client.until(/\r\n\r\n/);
  const head = client.text.length;
  const hello = frame(1, 'hello', true);
  client.send(hello);
  await until(() => client.text.length > head, 'an echo');
  assert.deepEqual(lines, []);
  const close = frame(8, Buffer.from([3, 232]), true);
  client.send(close);
  await client.closed();
  const line = await next();
  assert.deepEqual(seen(line).slice(0, 5), ['GET', '/a', '1.1', 101, 'forwarded']);
  assert.equal(line['bytesIn'], hello.length + close.length);
  assert.equal(line['bytesOut'], client.text.length - head);
  assert.ok('upstreamMs' in line);
  assert.deepEqual([routes()[0]?.statuses, routes()[0]?.timed], [{ '1xx': 1 }, 0]);
});
