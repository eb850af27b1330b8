import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:https';
import { Agent, request } from 'undici';
import { test, type TestContext } from 'node:test';
import type { GatewayOptions } from '../../src/gateway/options.ts';
import { startHttpServer } from '../support/http-server.ts';
import { api, localCertificate, stage } from './stage.ts';

interface Ports {
  readonly http: string;
  readonly https: string;
  readonly token: string;
  readonly ask: (
    url: string,
    method: string,
    headers?: Record<string, string>,
    body?: string,
  ) => Promise<{ status: number; headers: Record<string, unknown>; text: string }>;
}

async function threePorts(t: TestContext, options: Partial<GatewayOptions>): Promise<Ports> {
  const tls = await localCertificate();
  const { bound } = await stage(t, {
    listeners: [
      { kind: 'http', host: '127.0.0.1', port: 0 },
      { kind: 'https', host: '127.0.0.1', port: 0, tls },
      { kind: 'token', host: '127.0.0.1', port: 0, tls },
    ],
    ...options,
  });
  const [http, https, token] = bound.map(({ port }) => port);
  const agent = new Agent({ connect: { ca: tls.cert } });
  t.after(() => agent.destroy());
  return {
    http: `http://localhost:${http}`,
    https: `https://localhost:${https}`,
    token: `https://localhost:${token}`,
    ask: async (url, method, headers = {}, body) => {
      const answer = await request(url, { dispatcher: agent, method, headers, body: body ?? null });
      return { status: answer.statusCode, headers: answer.headers, text: await answer.body.text() };
    },
  };
}

async function keyManager(t: TestContext) {
  const server = await startHttpServer((incoming, response) => {
    let body = '';
    incoming.on('data', (chunk: Buffer) => (body += chunk.toString()));
    incoming.on('end', () => {
      response.statusCode = incoming.url?.startsWith('/oauth2/token') === true ? 400 : 200;
      response.end(`${incoming.method} ${incoming.url} ${incoming.headers.authorization} ${body}`);
    });
  });
  t.after(() => server.close());
  return server;
}

test('the token endpoints go to the key manager, credentials and query included', async (t) => {
  const manager = await keyManager(t);
  const filtered: string[] = [];
  const { https, token, http, ask } = await threePorts(t, {
    keyManager: { serverUrl: manager.url, tokenContext: 'oauth2' },
    filter: { filterResponse: ({ status }) => void filtered.push(String(status)) },
  });
  const basic = { authorization: 'Basic eDp5' };
  for (const base of [https, token]) {
    const issued = await ask(`${base}/token`, 'POST', basic, 'grant_type=client_credentials');
    assert.equal(issued.status, 400, 'the key manager decides');
    assert.equal(issued.text, 'POST /oauth2/token Basic eDp5 grant_type=client_credentials');
    assert.equal(
      (await ask(`${base}/revoke`, 'POST', basic, 'token=x')).text,
      'POST /oauth2/revoke Basic eDp5 token=x',
    );
    assert.equal(
      (await ask(`${base}/authorize?a=b`, 'GET')).text,
      'GET /oauth2/authorize?a=b undefined ',
    );
    assert.equal(
      (await ask(`${base}/userinfo`, 'GET', basic)).text,
      'GET /oauth2/userinfo Basic eDp5 ',
    );
    const wrong = await ask(`${base}/token`, 'GET');
    assert.equal(wrong.status, 405);
    assert.equal(wrong.headers['allow'], 'POST');
  }
  assert.deepEqual(filtered, [], 'no filter');
  assert.equal((await ask(`${http}/token`, 'POST', basic, 'x')).status, 404);
});

test('the token listener serves nothing else', async (t) => {
  const manager = await keyManager(t);
  const { https, token, ask } = await threePorts(t, {
    keyManager: { serverUrl: manager.url, tokenContext: 'oauth2' },
    apis: [api('', ['GET /{a}', { production: [manager.url] }])],
  });
  for (const path of ['/health', '/ready', '/pets', '/token/x']) {
    assert.equal((await ask(token + path, 'GET')).status, 404, path);
  }
  assert.equal((await ask(`${https}/pets`, 'GET')).status, 200);
  assert.equal((await ask(`${https}/health`, 'GET')).status, 200);
});

test('a key manager that is down is answered as WSO2 does', async (t) => {
  const { token, ask } = await threePorts(t, {
    keyManager: { serverUrl: 'http://127.0.0.1:1', tokenContext: 'oauth2' },
  });
  for (const [path, method, called] of [
    ['/token', 'POST', 'token'],
    ['/revoke', 'POST', 'revoke'],
    ['/authorize', 'GET', 'authorize'],
    ['/userinfo', 'GET', 'user info'],
  ] as const) {
    const { status, text } = await ask(token + path, method);
    assert.equal(status, 500);
    assert.equal(text, `{"error":"error occurred while invoking the ${called} endpoint"}`);
  }
});

test('without a key manager there are no token endpoints', async (t) => {
  const { https, token, ask } = await threePorts(t, {});
  for (const base of [https, token]) assert.equal((await ask(`${base}/token`, 'POST')).status, 404);
});

test('upstream certificates are checked: the chain, the name, and what may be switched off', async (t) => {
  const tls = await localCertificate();
  const server = createServer({ key: tls.key, cert: tls.cert }, (_, response) =>
    response.end('ok'),
  ).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const address = server.address();
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  const statusWith = async (
    host: string,
    upstream: GatewayOptions['upstream'],
  ): Promise<number> => {
    const staged = await stage(t, {
      apis: [api('', ['GET /a', { production: [`https://${host}:${port}`] }])],
      upstream: upstream ?? {},
    });
    const answer = await request(`${staged.url}/a`);
    await answer.body.dump();
    return answer.statusCode;
  };
  assert.equal(await statusWith('localhost', {}), 502, 'nobody knows it');
  assert.equal(await statusWith('localhost', { ca: [tls.cert] }), 200);
  assert.equal(await statusWith('127.0.0.2', { ca: [tls.cert] }), 502, 'another name');
  assert.equal(await statusWith('localhost', { disableSslVerification: true }), 200);
});
