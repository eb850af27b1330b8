import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:http2';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { OperatorError } from '../../src/errors.ts';
import { createGateway } from '../../src/gateway/gateway.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { startHttpServer } from '../support/http-server.ts';
import { until } from '../support/until.ts';
import { authenticator, localCertificate, openApi, stage, statusOf, wire } from './stage.ts';

const GET = 'GET /a HTTP/1.1\r\nHost: h\r\n\r\n';

test('an address that is taken opens none of the others', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  t.after(() => taken.close());
  const address = taken.address();
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  const free = createServer().listen(0, '127.0.0.1');
  await once(free, 'listening');
  const other = free.address();
  const freed = other !== null && typeof other === 'object' ? other.port : 0;
  await new Promise((resolve) => free.close(resolve));
  const gateway = createGateway({
    listeners: [
      { kind: 'http', host: '127.0.0.1', port: freed },
      { kind: 'http', host: '127.0.0.1', port },
    ],
    apis: [],
    authenticator,
    ready: () => true,
    log: recordedLog(),
  });
  await assert.rejects(
    gateway.listen(),
    (error) =>
      error instanceof OperatorError &&
      error.code === 'ERR_LISTEN' &&
      error.message.includes(`127.0.0.1:${port} (EADDRINUSE)`),
  );
  const again = createServer().listen(freed, '127.0.0.1');
  await once(again, 'listening');
  await new Promise((resolve) => again.close(resolve));
});

test('the addresses that are bound are told', async (t) => {
  const tls = await localCertificate();
  const { bound } = await stage(t, {
    listeners: [
      { kind: 'http', host: '127.0.0.1', port: 0 },
      { kind: 'token', host: '127.0.0.1', port: 0, tls },
    ],
  });
  assert.deepEqual(
    bound.map(({ kind, host }) => ({ kind, host })),
    [
      { kind: 'http', host: '127.0.0.1' },
      { kind: 'token', host: '127.0.0.1' },
    ],
  );
  assert.ok(bound.every(({ port }) => port > 0));
});

test('closing lets requests finish, tells their clients to go, and takes no new ones', async (t) => {
  const held: (() => void)[] = [];
  const upstream = await startHttpServer((_, response) => held.push(() => response.end('done')));
  t.after(() => upstream.close());
  const { gateway, port } = await stage(t, { apis: [openApi(upstream.url)] });
  const idle = await wire(t, port);
  const busy = (await wire(t, port)).send(GET);
  await until(() => held.length === 1, 'the request is at the upstream');
  let closed = false;
  const closing = gateway.close(10_000).then(() => (closed = true));
  await idle.closed();
  await assert.rejects(wire(t, port), /ECONNREFUSED/);
  assert.equal(closed, false);
  held[0]?.();
  const answer = await busy.closed();
  assert.equal(statusOf(answer), 200);
  assert.match(answer, /\r\nConnection: close\r\n/);
  await closing;
});

test('what is not finished after the grace is ended', async (t) => {
  let ended = false;
  const upstream = await startHttpServer(
    (incoming) => void incoming.socket.on('close', () => (ended = true)),
  );
  t.after(() => upstream.close());
  const { gateway, port } = await stage(t, { apis: [openApi(upstream.url)] });
  const client = (await wire(t, port)).send(GET);
  await until(() => gateway.counters().active === 1, 'the request has begun');
  await gateway.close(50);
  assert.equal(await client.closed(), '');
  await until(() => ended, 'the upstream call is ended');
  await until(() => gateway.counters().active === 0, 'the request is over');
  assert.deepEqual(gateway.counters().outcomes, { aborted: 1 });
});

test('an HTTP/2 client gets GOAWAY and the end of its streams', async (t) => {
  const held: (() => void)[] = [];
  const upstream = await startHttpServer((_, response) => held.push(() => response.end('done')));
  t.after(() => upstream.close());
  const tls = await localCertificate();
  const { gateway, port } = await stage(t, {
    listeners: [{ kind: 'https', host: '127.0.0.1', port: 0, tls }],
    apis: [openApi(upstream.url)],
  });
  const session = connect(`https://localhost:${port}`, { ca: tls.cert });
  t.after(() => session.destroy());
  const stream = session.request({ ':path': '/a' });
  let body = '';
  stream.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
  await until(() => held.length === 1, 'the request is at the upstream');
  const goaway = once(session, 'goaway');
  const closing = gateway.close(10_000);
  await goaway;
  held[0]?.();
  await once(stream, 'close');
  assert.equal(body, 'done');
  await closing;
});

test('keepAlive false closes after each answer', async (t) => {
  const { port } = await stage(t, { keepAlive: false });
  const client = await wire(t, port);
  assert.match(
    await client.send('GET /health HTTP/1.1\r\nHost: h\r\n\r\n').closed(),
    /\r\nConnection: close\r\n/,
  );
});
