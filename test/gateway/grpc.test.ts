import assert from 'node:assert/strict';
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { test, type TestContext } from 'node:test';
import type { Api } from '../../src/openapi/route.ts';
import { startHttpServer } from '../support/http-server.ts';
import { until } from '../support/until.ts';
import { grpcCall, http2Stage, http2Upstream, message, Received } from './http2-peers.ts';
import { api } from './stage.ts';

const PATHS = ['Unary', 'ServerStream', 'ClientStream', 'Chat', 'Only', 'Reject', 'Break'];

function shop(url: string, http2 = true): Api {
  return api(
    '',
    ...PATHS.map(
      (name) =>
        [`POST /shop.v1.Books/${name}`, { secured: true, production: [url], http2 }] as const,
    ),
  );
}

/** What an upstream saw of a call. */
interface Seen {
  readonly headers: IncomingHttpHeaders;
  readonly stream: ServerHttp2Stream;
}

const HEAD = { ':status': 200, 'content-type': 'application/grpc' };

function respond(stream: ServerHttp2Stream, status = '0'): void {
  stream.respond(HEAD, { waitForTrailers: true });
  stream.on('wantTrailers', () => {
    if (stream.destroyed) return;
    stream.sendTrailers({
      'grpc-status': status,
      'grpc-message': 'said',
      'x-own': ['1', '2'],
      'set-cookie': 'a=b',
    });
  });
}

async function books(t: TestContext) {
  const seen: Seen[] = [];
  const upstream = await http2Upstream(t, (stream, headers) => {
    seen.push({ headers, stream });
    const name = headers[':path']?.split('/').pop();
    if (name === 'Only') {
      stream.resume();
      stream.respond({ ...HEAD, 'grpc-status': '5' }, { endStream: true });
    } else if (name === 'Reject') {
      respond(stream, '7'); // while the client still sends
      stream.end();
      stream.resume();
    } else if (name === 'ServerStream') {
      respond(stream);
      stream.resume().write(message('1'));
    } else if (name === 'Chat') {
      respond(stream);
      stream.on('data', (chunk: Buffer) => stream.write(chunk)).on('end', () => stream.end());
    } else if (name === 'Break') {
      stream.respond(HEAD, { waitForTrailers: true });
      stream.write(message('half'));
      stream.once('data', () => stream.close(constants.NGHTTP2_CANCEL));
    } else {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        if (stream.destroyed) return;
        respond(stream);
        stream.end(message(`${Buffer.concat(chunks).length} bytes`));
      });
    }
  });
  return { upstream, seen };
}

const GOOD = { authorization: 'Bearer good' };

test('a unary call passes with its metadata and trailers', async (t) => {
  const { upstream, seen } = await books(t);
  const { session, gateway } = await http2Stage(t, { apis: [shop(upstream.url)] });
  const call = grpcCall(session, '/shop.v1.Books/Unary', GOOD);
  call.stream.end(message('hello'));
  await call.closed();
  assert.equal(call.headers?.[':status'], 200);
  assert.equal(call.headers['content-type'], 'application/grpc');
  assert.deepEqual(call.messages, ['10 bytes']);
  assert.equal(call.trailers?.['grpc-status'], '0');
  assert.equal(call.trailers['grpc-message'], 'said');
  assert.equal(call.trailers['x-own'], '1, 2');
  assert.equal(call.trailers['set-cookie'], undefined, 'no trailer means that');
  assert.equal(call.stream.rstCode, 0);
  const { headers } = seen[0] ?? assert.fail();
  assert.equal(headers['te'], 'trailers');
  assert.equal(headers['grpc-timeout'], '30S');
  assert.equal(headers['x-data-bin'], 'AAEC');
  assert.equal(headers['authorization'], undefined);
  assert.equal(headers['x-forwarded-proto'], 'https');
  assert.equal(headers[':authority'], `127.0.0.1:${upstream.port}`);
  await until(() => gateway.counters().active === 0, 'the call is over');
  assert.deepEqual(gateway.counters().outcomes, { forwarded: 1 });
});

test('an answer that is its head alone stays so, with what gRPC says in it', async (t) => {
  const { upstream } = await books(t);
  const { session } = await http2Stage(t, { apis: [shop(upstream.url)] });
  const call = grpcCall(session, '/shop.v1.Books/Only', GOOD);
  call.stream.end(message('hello'));
  await call.closed();
  assert.equal(call.headers?.['grpc-status'], '5');
  assert.ok(call.headOnly, 'else clients say that there are no trailers');
});

test('messages pass one by one, in both directions and at once', async (t) => {
  const { upstream, seen } = await books(t);
  const { session } = await http2Stage(t, { apis: [shop(upstream.url)] });

  const server = grpcCall(session, '/shop.v1.Books/ServerStream', GOOD);
  server.stream.end(message('go'));
  await until(() => server.messages.length === 1, 'the first message');
  assert.equal(server.whole, false);
  const { stream } = seen[0] ?? assert.fail();
  stream.write(message('2'));
  await until(() => server.messages.length === 2, 'the second message');
  stream.end(message('3'));
  await server.closed();
  assert.deepEqual(server.messages, ['1', '2', '3']);
  assert.equal(server.trailers?.['grpc-status'], '0');

  const chat = grpcCall(session, '/shop.v1.Books/Chat', GOOD);
  for (const text of ['a', 'b', 'c']) {
    chat.stream.write(message(text));
    await until(() => chat.messages.at(-1) === text, `the echo of ${text}`);
  }
  chat.stream.end();
  await chat.closed();
  assert.deepEqual(chat.messages, ['a', 'b', 'c']);
  assert.equal(chat.trailers?.['grpc-status'], '0');

  const client = grpcCall(session, '/shop.v1.Books/ClientStream', GOOD);
  for (const text of ['one', 'two']) client.stream.write(message(text));
  client.stream.end(message('three'));
  await client.closed();
  assert.deepEqual(client.messages, ['29 bytes'.replace('29', String(3 * 5 + 11))]);
});

test('an answer with trailers before the request is whole ends both, and is whole', async (t) => {
  const { upstream, seen } = await books(t);
  const { session, gateway } = await http2Stage(t, { apis: [shop(upstream.url)] });
  const call = grpcCall(session, '/shop.v1.Books/Reject', GOOD);
  call.stream.write(message('first'));
  await call.closed();
  assert.ok(call.whole);
  assert.equal(call.trailers?.['grpc-status'], '7');
  assert.equal(call.stream.rstCode, constants.NGHTTP2_NO_ERROR);
  await until(() => seen[0]?.stream.destroyed === true, "the upstream's stream is over");
  await until(() => gateway.counters().active === 0, 'the call is over');
});

test('an answer that breaks is never whole', async (t) => {
  const { upstream } = await books(t);
  const { session, gateway } = await http2Stage(t, { apis: [shop(upstream.url)] });
  const call = grpcCall(session, '/shop.v1.Books/Break', GOOD);
  call.stream.write(message('x'));
  await call.closed();
  assert.equal(call.headers?.[':status'], 200);
  assert.equal(call.whole, false);
  assert.equal(call.trailers, undefined);
  assert.equal(call.stream.rstCode, constants.NGHTTP2_INTERNAL_ERROR);
  await until(() => gateway.counters().active === 0, 'the call is over');
  assert.deepEqual(gateway.counters().outcomes, { brokenOff: 1 });
});

test('a client that leaves ends the upstream call, and its half request never looks whole', async (t) => {
  const { upstream, seen } = await books(t);
  const { session } = await http2Stage(t, { apis: [shop(upstream.url)] });
  for (const code of [constants.NGHTTP2_CANCEL, constants.NGHTTP2_INTERNAL_ERROR]) {
    seen.length = 0;
    let whole = false;
    const call = grpcCall(session, '/shop.v1.Books/ClientStream', GOOD);
    call.stream.on('wantTrailers', () => undefined);
    call.stream.write(message('half'));
    await until(() => seen.length === 1, 'the call is at the upstream');
    const { stream } = seen[0] ?? assert.fail();
    const push = stream.push.bind(stream);
    stream.push = (chunk: unknown) => {
      if (chunk === null && !stream.closed) whole = true;
      return push(chunk);
    };
    call.stream.destroy(code === constants.NGHTTP2_CANCEL ? undefined : new Error('left'));
    await until(() => stream.destroyed, 'the upstream call is ended');
    assert.equal(whole, false);
  }
});

test('refusals are HTTP statuses with the fault body, and the upstream sees nothing', async (t) => {
  const { upstream, seen } = await books(t);
  const { session } = await http2Stage(t, { apis: [shop(upstream.url)] });
  for (const [path, token, status] of [
    ['/shop.v1.Books/Unary', 'revoked', 401],
    ['/shop.v1.Books/None', 'good', 404],
  ] as const) {
    const call = grpcCall(session, path, { authorization: `Bearer ${token}` });
    call.stream.end(message('hello'));
    await call.closed();
    assert.equal(call.headers?.[':status'], status);
    assert.equal(call.headers['content-type'], 'application/json');
    assert.match(call.body.toString(), /^\{"fault":/);
  }
  assert.equal(seen.length, 0);
});

test('a revoked token ends running streams within a second, and never looks like an end', async (t) => {
  const { upstream, seen } = await books(t);
  const revoked = new Set<string>();
  const { session, gateway } = await http2Stage(t, {
    apis: [shop(upstream.url)],
    revoked: ({ subject }) => revoked.has(subject ?? ''),
  });
  const streaming = grpcCall(session, '/shop.v1.Books/ServerStream', GOOD);
  streaming.stream.end(message('go'));
  const chat = grpcCall(session, '/shop.v1.Books/Chat', GOOD);
  chat.stream.write(message('a'));
  const other = grpcCall(session, '/shop.v1.Books/Chat', { authorization: 'Bearer sandbox' });
  other.stream.end(message('x'));
  await until(
    () => streaming.messages.length === 1 && chat.messages.length === 1,
    'both are under way',
  );
  const began = performance.now();
  revoked.add('good');
  await Promise.all([streaming.closed(), chat.closed()]);
  assert.ok(performance.now() - began < 1_000, `${performance.now() - began} ms`);
  for (const call of [streaming, chat]) {
    assert.equal(call.whole, false);
    assert.equal(call.trailers, undefined);
    assert.equal(call.stream.rstCode, constants.NGHTTP2_INTERNAL_ERROR);
  }
  await until(() => seen.every(({ stream }) => stream.destroyed), 'the upstream calls are ended');
  await until(() => gateway.counters().active === 0, 'the calls are over');
  assert.equal(gateway.counters().outcomes.revoked, 2);
  assert.ok(!session.destroyed, 'other streams of the connection go on');
});

test('a call on a route over HTTP/1.1 is forwarded without its trailers', async (t) => {
  const upstream = await startHttpServer((incoming, response) => {
    incoming.resume().on('end', () => {
      response.writeHead(200, { 'content-type': 'application/grpc', trailer: 'grpc-status' });
      response.write(message(String(incoming.headers['te'])));
      response.addTrailers({ 'grpc-status': '0' });
      response.end();
    });
  });
  t.after(() => upstream.close());
  const { session } = await http2Stage(t, { apis: [shop(upstream.url, false)] });
  const call = grpcCall(session, '/shop.v1.Books/Unary', GOOD);
  call.stream.end(message('hello'));
  await call.closed();
  assert.deepEqual(call.messages, ['undefined']);
  assert.equal(call.trailers, undefined);
});

test('a client that did not ask for trailers gets none', async (t) => {
  const { upstream, seen } = await books(t);
  const { session } = await http2Stage(t, { apis: [shop(upstream.url)] });
  const headers = { ':method': 'POST', ':path': '/shop.v1.Books/Unary', ...GOOD };
  const call = new Received(session.request(headers, { endStream: false }));
  call.stream.end(message('hello'));
  await call.closed();
  assert.ok(call.whole);
  assert.deepEqual(call.messages, ['10 bytes']);
  assert.equal(call.trailers, undefined);
  assert.equal(seen[0]?.headers['te'], undefined);
});
