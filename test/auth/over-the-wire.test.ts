import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { createHttpClient } from '../../src/net/http-client.ts';
import { ISSUER, NOW, Stage, makeToken, publicJwk } from './stage.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** A key manager on 127.0.0.1, and a gateway that asks it with the gateway's own client. */
async function wiredStage(t: TestContext, handler: Handler): Promise<Stage> {
  const server = createServer(handler).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const http = createHttpClient({});
  const stage = new Stage({
    http,
    issuers: [{ issuer: ISSUER, keys: { kind: 'jwks', url: `${base}/jwks` } }],
    introspection: {
      url: `${base}/introspect`,
      username: 'gateway',
      password: 'pass',
      maxAgeMs: 60_000,
      timeoutMs: 300,
    },
    keySetTimings: { timeoutMs: 300 },
  });
  t.after(async () => {
    await stage.authenticator.close();
    await http.close();
    server.closeAllConnections();
    server.close();
  });
  return stage;
}

test('keys are read and tokens introspected over a real connection', async (t) => {
  let authorization: string | undefined;
  const stage = await wiredStage(t, (request, response) => {
    if (request.url === '/jwks') {
      response.end(JSON.stringify({ keys: [publicJwk('ES256', { kid: 'k1' })] }));
      return;
    }
    authorization = request.headers.authorization;
    let body = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
    request.on('end', () => {
      const active = new URLSearchParams(body).get('token') === 'good/+token';
      response.end(JSON.stringify(active ? { active, exp: NOW + 60 } : { active }));
    });
  });
  assert.equal(await stage.outcome(makeToken({ algorithm: 'ES256' })), 'admitted');
  assert.equal(await stage.outcome('good/+token'), 'admitted');
  assert.equal(await stage.outcome('bad-token'), 'invalidCredentials');
  assert.equal(authorization, `Basic ${Buffer.from('gateway:pass').toString('base64')}`);
});

for (const [what, handler] of [
  [
    'more than they may',
    (_: IncomingMessage, response: ServerResponse) => {
      response.end(JSON.stringify({ keys: [], active: true, padding: 'x'.repeat(1_000_000) }));
    },
  ],
  [
    'one byte, and no more',
    (_: IncomingMessage, response: ServerResponse) => {
      response.write('{');
    },
  ],
  ['nothing', () => undefined],
  [
    'a redirect',
    (request: IncomingMessage, response: ServerResponse) => {
      response.writeHead(302, { location: `${request.url}/elsewhere` }).end();
    },
  ],
  [
    'a broken connection',
    (request: IncomingMessage) => {
      request.socket.destroy();
    },
  ],
] as const)
  test(`key manager endpoints that answer ${what} make it 503 within the deadline`, async (t) => {
    const stage = await wiredStage(t, handler);
    const [jwt, opaque] = await Promise.all([stage.outcome(makeToken()), stage.outcome('opaque')]);
    assert.equal(jwt, 'serviceUnavailable');
    assert.equal(opaque, 'serviceUnavailable');
  });
