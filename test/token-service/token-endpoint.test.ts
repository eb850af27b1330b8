import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import { test } from 'node:test';
import { createRemoteJWKSet, customFetch, jwtVerify } from 'jose';
import { ADMIN, ALICE, basic, BOB, certificates, startService } from './fixture.ts';

test('a client gets a JWT with the claims of a WSO2 key manager', async (t) => {
  const { post, request, address } = await startService(t);
  const answer = await post('/oauth2/token', ALICE, { grant_type: 'client_credentials' });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get('cache-control'), 'no-store');
  assert.equal(answer.headers.get('pragma'), 'no-cache');
  const body = (await answer.json()) as Record<string, unknown>;
  assert.equal(body['token_type'], 'Bearer');
  assert.equal(body['expires_in'], 3600);
  assert.equal(body['scope'], 'read write');

  const keys = createRemoteJWKSet(new URL(`${address.url}/oauth2/jwks`), {
    [customFetch]: (url: string) => request(url),
  });
  const { payload, protectedHeader } = await jwtVerify(String(body['access_token']), keys, {
    issuer: `${address.url}/oauth2/token`,
    audience: 'http://org.wso2.apimgt/gateway',
    subject: 'alice',
    algorithms: ['RS256'],
  });
  assert.equal(protectedHeader.typ, 'JWT');
  assert.match(String(payload.jti), /^[0-9a-f-]{36}$/);
  assert.equal(Number(payload.exp) - Number(payload.iat), 3600);
  assert.deepEqual(
    [
      payload['client_id'],
      payload['azp'],
      payload['consumerKey'],
      payload['keytype'],
      payload['scope'],
    ],
    ['alice', 'alice', 'alice', 'PRODUCTION', 'read write'],
  );
});

test('a token is opaque by the client or by token_format, and its life can be the client’s own', async (t) => {
  const { post, token } = await startService(t);
  assert.match(await token(BOB), /^pco_[A-Za-z0-9_-]{43}$/);
  assert.match(await token(ALICE, { token_format: 'opaque' }), /^pco_/);
  assert.equal((await token(BOB, { token_format: 'jwt' })).split('.').length, 3);
  const odd = await post('/oauth2/token', basic('odd/name', 'p%41+ß'), {
    grant_type: 'client_credentials',
  });
  assert.equal(((await odd.json()) as Record<string, unknown>)['expires_in'], 60);
});

test('a client authenticates by Basic, plain or form-encoded, or in the body', async (t) => {
  const { post } = await startService(t);
  const grant = { grant_type: 'client_credentials' };
  const name = 'odd/name';
  const secret = 'p%41+ß';
  const ways = [
    post('/oauth2/token', basic(name, secret), grant),
    post('/oauth2/token', basic(encodeURIComponent(name), encodeURIComponent(secret)), grant),
    post('/oauth2/token', undefined, { ...grant, client_id: name, client_secret: secret }),
    post('/oauth2/token', basic(name, secret), { ...grant, client_id: name }),
  ];
  for (const answer of await Promise.all(ways)) assert.equal(answer.status, 200);
});

test('a failed client authentication is 401 with a Basic challenge, the same whatever was wrong', async (t) => {
  const { post } = await startService(t);
  const grant = { grant_type: 'client_credentials' };
  const attempts: [string | undefined, Record<string, string>][] = [
    [undefined, grant],
    [basic('alice', 'wrong'), grant],
    [basic('nobody', 'alice-secret'), grant],
    [ADMIN, grant],
    ['Bearer x', grant],
    ['Basic !', grant],
    [`Basic ${Buffer.from('no colon').toString('base64')}`, grant],
    [undefined, { ...grant, client_id: 'alice' }],
    [undefined, { ...grant, client_id: 'alice', client_secret: 'wrong' }],
  ];
  const bodies = new Set<string>();
  for (const [authorization, form] of attempts) {
    const answer = await post('/oauth2/token', authorization, form);
    assert.equal(answer.status, 401);
    assert.match(String(answer.headers.get('www-authenticate')), /^Basic realm=/);
    assert.equal(answer.headers.get('cache-control'), 'no-store');
    bodies.add(await answer.text());
  }
  assert.deepEqual(
    [...bodies].map((body) => (JSON.parse(body) as { error: string }).error),
    ['invalid_client'],
  );
});

test('errors are those of RFC 6749 section 5.2', async (t) => {
  const { post, request } = await startService(t);
  const refused: [string, string, string][] = [
    ['', 'invalid_request', 'no grant_type'],
    ['grant_type=', 'invalid_request', 'a parameter without a value counts as left out'],
    ['grant_type=password', 'unsupported_grant_type', 'another grant'],
    ['grant_type=client_credentials&scope=admin', 'invalid_scope', 'a scope of nobody'],
    [
      'grant_type=client_credentials&scope=read%20%20write',
      'invalid_scope',
      'an empty scope token',
    ],
    ['grant_type=client_credentials&token_format=paper', 'invalid_request', 'an unknown format'],
    ['grant_type=client_credentials&grant_type=client_credentials', 'invalid_request', 'twice'],
    ['grant_type=client_credentials&x=1&x=', 'invalid_request', 'twice, once empty'],
    ['grant_type=client_credentials&client_secret=alice-secret', 'invalid_request', 'two ways'],
    ['grant_type=client_credentials&client_id=bob', 'invalid_request', 'two names'],
    [Array.from({ length: 40 }, (_, i) => `p${i}=1`).join('&'), 'invalid_request', 'too many'],
  ];
  for (const [form, error, why] of refused) {
    const answer = await post('/oauth2/token', ALICE, form);
    assert.equal(answer.status, 400, why);
    assert.equal(((await answer.json()) as { error: string }).error, error, why);
    assert.equal(answer.headers.get('cache-control'), 'no-store');
  }
  const json = await request('/oauth2/token', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Authorization: ALICE },
    body: '{"grant_type":"client_credentials"}',
  });
  assert.equal(json.status, 400);
});

test('a granted scope is what was asked for', async (t) => {
  const { post } = await startService(t);
  const answer = await post('/oauth2/token', ALICE, {
    grant_type: 'client_credentials',
    scope: 'write write',
  });
  assert.equal(((await answer.json()) as { scope: string }).scope, 'write');
});

test('a body beyond 64 KiB, two Authorization headers, other methods and paths are refused', async (t) => {
  const { post, request, address } = await startService(t);
  const large = await post('/oauth2/token', ALICE, `grant_type=${'x'.repeat(70_000)}`);
  assert.equal(large.status, 413);
  const { authority } = await certificates();
  const doubled = https.request(`${address.url}/oauth2/token`, {
    method: 'POST',
    ca: authority.cert,
    headers: {
      'Content-Type': 'application/x-www-form-urlencoded',
      Authorization: [ALICE, ALICE],
    },
  });
  doubled.end('grant_type=client_credentials');
  const [response] = (await once(doubled, 'response')) as [IncomingMessage];
  response.resume();
  assert.equal(response.statusCode, 400);
  const got = await request('/oauth2/token');
  assert.equal(got.status, 405);
  assert.equal(got.headers.get('allow'), 'POST');
  assert.equal((await request('/__proto__')).status, 404);
  assert.equal((await request('/health', { method: 'HEAD' })).status, 200);
  assert.deepEqual(await (await request('/health')).json(), { status: 'healthy' });
});

test('neither tokens nor secrets reach the log', async (t) => {
  const { token, post, log } = await startService(t);
  const tokens = [await token(ALICE), await token(BOB)];
  for (const text of tokens) {
    await post('/oauth2/introspect', ALICE, { token: text });
    await post('/oauth2/revoke', ALICE, { token: text });
  }
  const written = log.lines.join('\n');
  assert.match(written, /client alice/);
  for (const secret of [...tokens, 'alice-secret', 'bob-secret']) {
    assert.ok(!written.includes(secret));
  }
});

test('--apim-port has /token and /revoke and nothing else', async (t) => {
  const { post, request, address, active } = await startService(t, { apimPort: 0 });
  const base = `https://localhost:${address.apimPort}`;
  const answer = await post(`${base}/token`, ALICE, { grant_type: 'client_credentials' });
  const { access_token: token } = (await answer.json()) as { access_token: string };
  assert.ok(await active(token));
  assert.equal((await post(`${base}/revoke`, ALICE, { token })).status, 200);
  assert.ok(!(await active(token)));
  for (const path of ['/oauth2/token', '/internal/data/v1/revokedjwt', '/oauth2/jwks']) {
    assert.equal((await request(base + path, { headers: { Authorization: ADMIN } })).status, 404);
  }
});
