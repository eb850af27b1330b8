import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, constants, type ServerHttp2Stream } from 'node:http2';
import { after, test } from 'node:test';
import { grpcCall, http2Upstream, message } from '../gateway/http2-peers.ts';
import { claimsOf, testIssuer } from '../support/issuer.ts';
import { buildPetstore, owned, startGateway, type Owner } from '../support/product.ts';
import { until } from '../support/until.ts';

const file: Owner = { after };
const streaming = new Set<ServerHttp2Stream>();
const upstream = await http2Upstream({ after }, (stream, headers) => {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.resume();
  if (headers[':path'] === '/shop.v1.Books/Watch') {
    streaming.add(stream);
    stream.on('close', () => streaming.delete(stream));
    stream.write(message('first'));
  } else {
    stream.on('end', () => stream.end(message('a book')));
  }
});
const { artifact } = await buildPetstore(file, {
  definitions: {
    'books.yaml': `openapi: 3.0.3
info: { title: Books, version: v1 }
x-portcullis-http2: true
x-wso2-basePath: /
x-wso2-production-endpoints: { urls: ['${upstream.url}'] }
paths:
  /shop.v1.Books/Get:
    post: { responses: { '200': { description: A book } } }
  /shop.v1.Books/Watch:
    post: { responses: { '200': { description: Books as they come } } }
`,
  },
});
const issuer = testIssuer();

for (const engine of ['own', 'node']) {
  test(`gRPC through a built project, and a revoked token ends its streams (${engine})`, async (t) => {
    const gateway = await startGateway(t, {
      artifact,
      issuers: [issuer],
      flags: [`--server.httpEngine=${engine}`],
    });
    const session = connect(gateway.https, { ca: gateway.ca });
    session.on('error', () => undefined);
    owned(t, async () => session.destroy());
    await once(session, 'connect');
    const token = issuer.token();
    const bearer = { authorization: `Bearer ${token}` };

    const unary = grpcCall(session, '/shop.v1.Books/Get', bearer);
    unary.stream.end(message('7'));
    await unary.closed();
    assert.equal(unary.headers?.[':status'], 200);
    assert.deepEqual(unary.messages, ['a book']);
    assert.equal(unary.trailers?.['grpc-status'], '0');

    const watch = grpcCall(session, '/shop.v1.Books/Watch', bearer);
    watch.stream.end(message('all'));
    const other = grpcCall(session, '/shop.v1.Books/Watch', {
      authorization: `Bearer ${issuer.token()}`,
    });
    other.stream.end(message('all'));
    await until(() => watch.messages.length + other.messages.length === 2, 'both streams begin');
    for (const stream of streaming) stream.write(message('second'));
    await until(() => watch.messages.length + other.messages.length === 4, 'both go on');

    const { status } = await gateway.operator('POST', '/revocations', {
      token: claimsOf(token).jti,
    });
    assert.equal(status, 201);
    await until(() => watch.stream.destroyed, 'the stream is over', 1_000);
    assert.equal(watch.whole, false);
    assert.equal(watch.trailers, undefined);
    assert.equal(watch.stream.rstCode, constants.NGHTTP2_INTERNAL_ERROR);
    await until(() => streaming.size === 1, "the upstream's stream is over too");

    const refused = grpcCall(session, '/shop.v1.Books/Get', bearer);
    refused.stream.end(message('7'));
    await refused.closed();
    assert.equal(refused.headers?.[':status'], 401);

    for (const stream of streaming) stream.end(message('last'));
    await other.closed();
    assert.deepEqual(other.messages, ['first', 'second', 'last']);
    assert.equal(other.trailers?.['grpc-status'], '0');
  });
}
