import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { test, type TestContext } from 'node:test';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { GatewayOptions } from '../../src/gateway/options.ts';
import { startHttpServer } from '../support/http-server.ts';
import { until } from '../support/until.ts';
import { issueCertificate } from '../../src/tls/certificate.ts';
import {
  api,
  caller,
  localCertificate,
  openApi,
  rawUpstream,
  stage,
  type Stage,
  wire,
  type Wire,
} from './stage.ts';
import { frame, handshake, webSocketUpstream } from './web-socket.ts';

const GET = 'GET /a HTTP/1.1\r\nHost: h\r\n\r\n';

/** Answers with what it was sent, and holds `/slow` until it is told. */
async function upstreamOf(t: TestContext) {
  const held: ServerResponse[] = [];
  const upstream = await startHttpServer((request, response) => {
    if (request.url === '/slow') held.push(response);
    else response.end(JSON.stringify(request.headers));
  });
  t.after(() => upstream.close());
  return { ...upstream, held };
}

function change({ gateway, options }: Stage, more: Partial<GatewayOptions>): void {
  gateway.prepare({ ...options, ...more }).commit();
}

/** The next answer on a connection. */
async function next(connection: Wire, bytes: string, pattern = /\r\n\r\n[^]*\}$/): Promise<string> {
  connection.text = '';
  connection.send(bytes);
  return connection.until(pattern);
}

test('requests on an open connection are served with what was committed, those that have begun with what they began with', async (t) => {
  const upstream = await upstreamOf(t);
  let over = 0;
  const first = await stage(t, {
    apis: [openApi(upstream.url)],
    serverHeader: 'first',
    onOver: () => over++,
  });
  const [open, slow] = [await wire(t, first.port), await wire(t, first.port)];
  assert.match(await next(open, GET), /Server: first/i);
  slow.send('GET /slow HTTP/1.1\r\nHost: h\r\n\r\n');
  await until(() => upstream.held.length === 1, 'it is at the upstream');

  const prepared = first.gateway.prepare({ ...first.options, serverHeader: 'second' });
  assert.match(await next(open, GET), /Server: first/i, 'what is prepared is not in use');
  prepared.commit();
  assert.match(await next(open, GET), /Server: second/i);
  upstream.held[0]?.end('{}');
  assert.match(await slow.until(/\{\}$/), /Server: first/i);
  await until(() => over === 1, 'the first ones are over');
  assert.equal(open.ending, 'open');
  assert.equal(first.gateway.counters().outcomes.forwarded, 4, 'one set of counters');
});

test('what is discarded, and what cannot be used, changes nothing and leaves nothing', async (t) => {
  const upstream = await upstreamOf(t);
  const { key } = await localCertificate();
  const { cert } = await otherCertificate();
  let over = 0;
  const first = await stage(t, { apis: [openApi(upstream.url)], serverHeader: 'first' });
  const { gateway, options } = first;
  const more = { ...options, serverHeader: 'second', onOver: () => over++ };
  const listeners = [{ kind: 'https', host: '127.0.0.1', port: 0, tls: { key, cert } }] as const;
  for (const bad of [{ apis: [openApi('ftp://x')] }, { trustedProxies: ['nobody'] }, { listeners }])
    assert.throws(() => gateway.prepare({ ...more, ...bad }), { name: 'OperatorError' });
  await gateway.prepare(more).discard();
  const open = await wire(t, first.port);
  assert.match(await next(open, GET), /Server: first/i);
  assert.equal(over, 0);
});

test('a proxy that is not trusted any more is not believed on the connection that it has', async (t) => {
  const upstream = await upstreamOf(t);
  const first = await stage(t, {
    apis: [openApi(upstream.url)],
    trustedProxies: ['127.0.0.1'],
  });
  const open = await wire(t, first.port);
  const ask = 'GET /a HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n';
  assert.match(await next(open, ask), /"x-forwarded-for":"192\.0\.2\.7, 127\.0\.0\.1"/);
  change(first, { trustedProxies: [] });
  assert.match(await next(open, ask), /"x-forwarded-for":"127\.0\.0\.1"/);
});

test('limits of heads hold for new connections, limits of requests at once', async (t) => {
  const upstream = await upstreamOf(t);
  const first = await stage(t, { apis: [openApi(upstream.url)] });
  const open = await wire(t, first.port);
  const large = `GET /a HTTP/1.1\r\nHost: h\r\nX-Large: ${'x'.repeat(1_000)}\r\n\r\n`;
  assert.match(await next(open, large), / 200 /);
  change(first, { limits: { maxHeaderSize: 500, maxBodySize: 3 } });
  assert.match((await (await wire(t, first.port)).send(large).closed()).slice(0, 20), / 431 /);
  const body = 'POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody';
  assert.match(await next(open, body, /\r\n\r\n/), / 413 /);
});

test('connections to upstreams are kept over a change that does not concern them, and closed after one that does', async (t) => {
  let ended = 0;
  const upstream = await rawUpstream(t, (socket) => {
    socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}'));
    socket.on('end', () => socket.end()).on('close', () => ended++);
  });
  const first = await stage(t, { apis: [openApi(upstream.url)] });
  const open = await wire(t, first.port);
  await next(open, GET);
  change(first, { serverHeader: 'second' });
  await next(open, GET);
  assert.equal(upstream.connections(), 1);
  change(first, { upstream: { maxActive: 3 } });
  await next(open, GET);
  assert.equal(upstream.connections(), 2);
  await until(() => ended === 1, 'the old connection is closed');
});

function otherCertificate() {
  return issueCertificate({
    commonName: 'localhost',
    purpose: 'server',
    hosts: ['localhost', '127.0.0.1'],
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 86_400_000),
  });
}

async function tlsTo(
  t: TestContext,
  port: number,
  more: { session?: Buffer; alpn?: string } = {},
): Promise<TLSSocket> {
  const socket = connectTls({
    port,
    host: '127.0.0.1',
    rejectUnauthorized: false,
    ALPNProtocols: [more.alpn ?? 'http/1.1'],
    ...(more.session === undefined ? {} : { session: more.session }),
  });
  t.after(() => socket.destroy());
  socket.on('error', () => undefined).setEncoding('latin1');
  await once(socket, 'secureConnect');
  return socket;
}

function serial(socket: TLSSocket): string {
  return socket.getPeerCertificate().serialNumber;
}

async function ask(socket: TLSSocket): Promise<string> {
  let text = '';
  const more = (chunk: string): string => (text += chunk);
  socket.on('data', more).write(GET);
  await until(() => /\r\n\r\n[^]*\}$/.test(text), 'an answer');
  socket.off('data', more);
  return text;
}

test('new connections are shown the new certificate, open ones live on, and sessions are resumed', async (t) => {
  const upstream = await upstreamOf(t);
  const [old, young] = [await localCertificate(), await otherCertificate()];
  const ticketKeys = new Uint8Array(48).fill(7);
  const listeners = (tls: typeof old): GatewayOptions['listeners'] => [
    { kind: 'https', host: '127.0.0.1', port: 0, tls: { ...tls, ticketKeys } },
  ];
  const first = await stage(t, { apis: [openApi(upstream.url)], listeners: listeners(old) });
  const open = await tlsTo(t, first.port);
  const session = once(open, 'session').then(([ticket]) => ticket as Buffer);
  assert.match(await ask(open), / 200 /);
  const ticket = await session;
  const h2: ClientHttp2Session = connectHttp2(`https://localhost:${first.port}`, {
    rejectUnauthorized: false,
  });
  t.after(() => h2.destroy());
  h2.on('error', () => undefined);
  await once(h2, 'connect');

  change(first, { listeners: listeners(young), serverHeader: 'second' });
  const fresh = await tlsTo(t, first.port);
  assert.notEqual(serial(fresh), serial(open));
  assert.match(await ask(fresh), / 200 /);
  assert.match(await ask(open), /Server: second/i);
  assert.equal((await tlsTo(t, first.port, { session: ticket })).isSessionReused(), true);
  const stream = h2.request({ ':path': '/a' });
  const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
  stream.resume();
  await once(stream, 'close');
  assert.equal(headers[':status'], 200);
  assert.equal(headers['server'], 'second');
  assert.equal(h2.closed, false);
});

test('a WebSocket lives on, keeps what it began with from ending, and ends when its token is revoked', async (t) => {
  const upstream = await webSocketUpstream(t);
  let [over, revoked] = [0, false];
  const first = await stage(t, {
    apis: [api('', ['GET /ws', { production: [upstream.url], secured: true }])],
    authenticator: { authenticate: () => caller('kim') },
    revoked: () => revoked,
    onOver: () => over++,
  });
  const open = await wire(t, first.port);
  open.send(handshake('/ws', { Authorization: 'Bearer kim' }));
  await open.until(/101 Switching/);
  change(first, { serverHeader: 'second', upstream: { maxActive: 3 } });
  change(first, { serverHeader: 'third' });
  open.text = '';
  open.send(frame(1, 'still here', true));
  await open.until(/still here/);
  assert.equal(over, 0);
  revoked = true;
  await open.closed(10_000);
  await until(() => over === 1, 'what it began with is over');
});
