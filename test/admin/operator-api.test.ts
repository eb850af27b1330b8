import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { connect, Server } from 'node:net';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { createOperatorApi } from '../../src/admin/operator-api.ts';
import { ApiRefusal } from '../../src/errors.ts';
import { loadKeyStore } from '../../src/tls/key-store.ts';
import { ROOT } from '../support/checkout.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { until } from '../support/until.ts';
import { fakeOperations } from './fake-operations.ts';
import { exchange, send, startApi, TOKEN } from './stage.ts';

const FIXTURES = join(ROOT, 'test/tls/fixtures');
const AUTHORITY = readFileSync(join(FIXTURES, 'authority.pem'), 'utf8');
const keyOf = (file: string) => loadKeyStore(join(FIXTURES, file), 'changeit');

describe('who may call', () => {
  it('nobody without the token, but for metrics and readiness on the loopback', async (t) => {
    const { url, operations, call } = await startApi(t);
    for (const [method, path] of [
      ['GET', '/revocations'],
      ['POST', '/revocations'],
      ['POST', '/revocations/explain'],
      ['GET', '/revocations/r-AAAAAAAAAAAAAAAA'],
      ['DELETE', '/revocations/r-AAAAAAAAAAAAAAAA'],
      ['GET', '/status'],
      ['GET', '/openapi.json'],
      ['GET', '/nonsense'],
      ['OPTIONS', '/revocations'],
    ] as const) {
      for (const authorization of [
        undefined,
        `Bearer ${TOKEN.slice(0, -1)}`,
        `Bearer ${TOKEN}x`,
        `Basic ${TOKEN}`,
        TOKEN,
        'Bearer',
        'Bearer ',
      ]) {
        const { status, headers, json } = await send(`${url}${path}`, {
          method,
          headers: authorization === undefined ? {} : { Authorization: authorization },
        });
        assert.deepEqual([status, json?.['code']], [401, 'unauthorized'], `${method} ${path}`);
        assert.equal(headers['www-authenticate'], 'Bearer realm="operator"');
      }
    }
    assert.equal(operations.requests.length + operations.queries.length, 0);
    assert.equal((await send(`${url}/metrics`)).status, 200);
    assert.equal((await send(`${url}/ready`)).status, 200);
    assert.equal((await call('/revocations')).status, 200);
  });

  it('the token alone, from wherever, where the listener has TLS; never in plain text', async (t) => {
    const { cert, key } = await keyOf('java.p12');
    const outside = Object.values(networkInterfaces())
      .flat()
      .find((one) => one?.family === 'IPv4' && !one.internal)?.address;
    const refused = createOperatorApi(
      { host: outside ?? '0.0.0.0', port: 0, token: TOKEN, allowedHosts: [] },
      fakeOperations(),
      recordedLog(),
    );
    await assert.rejects(refused.listen(), { code: 'ERR_OPERATOR_TLS' });

    const { port } = await startApi(t, { host: '0.0.0.0', tls: { cert, key } });
    const tls = { ca: AUTHORITY };
    const headers = { Authorization: `Bearer ${TOKEN}` };
    const base = `https://127.0.0.1:${port}`;
    assert.equal((await send(`${base}/status`, { tls, headers })).status, 200);
    assert.equal((await send(`${base}/metrics`, { tls })).status, 200);
    if (outside === undefined) return;
    const elsewhere = { ...headers, Host: `localhost:${port}` };
    const far = (path: string, fields: Record<string, string>) =>
      send(`https://${outside}:${port}${path}`, {
        tls: { ...tls, checkServerIdentity: () => undefined },
        headers: fields,
      });
    assert.equal((await far('/status', elsewhere)).status, 200);
    const without = { Host: `localhost:${port}` };
    assert.equal((await far('/metrics', without)).status, 401);
    assert.equal((await far('/ready', without)).status, 401);
  });

  it('a client certificate of the configured authority, instead of the token', async (t) => {
    const server = await keyOf('java.p12');
    const stranger = await keyOf('two-keys.p12');
    const tls = { cert: server.cert, key: server.key, clientCa: [AUTHORITY] };
    const { port, operations, log } = await startApi(t, { tls });
    const url = `https://127.0.0.1:${port}`;
    const ca = AUTHORITY;

    // The fixtures' one leaf of that authority serves as the client's too.
    const known = { tls: { ca, cert: server.cert, key: server.key } };
    const json = { subject: 'kim' };
    const done = await send(`${url}/revocations`, { ...known, method: 'POST', json });
    assert.equal(done.status, 201);
    assert.equal(operations.requests[0]?.by.name, 'CN=localhost');
    assert.ok(log.lines.some((line) => line.includes('by CN=localhost at ')));

    const unknown = { tls: { ca, cert: stranger.cert, key: stranger.key } };
    assert.equal((await send(`${url}/status`, unknown)).status, 401);
    assert.equal((await send(`${url}/status`, { tls: { ca } })).status, 401);
    const headers = { Authorization: `Bearer ${TOKEN}` };
    assert.equal((await send(`${url}/status`, { tls: { ca }, headers })).status, 200);
  });

  it('pages of a browser not at all: foreign names, other origins, forms', async (t) => {
    const { url, port, call, operations } = await startApi(t, {
      allowedHosts: ['gateway.example', 'forward.example:19097'],
    });
    for (const host of [
      'evil.example',
      `evil.example:${port}`,
      'localhost',
      `localhost:${port + 1}`,
      `localhost.:${port}`,
      'gateway.example',
      `127.0.0.1:${port}@evil.example`,
    ]) {
      const { status, json } = await call('/metrics', { headers: { Host: host } });
      assert.deepEqual([status, json?.['code']], [421, 'wrong_host'], host);
    }
    for (const host of [
      `localhost:${port}`,
      `LOCALHOST:${port}`,
      `[::1]:${port}`,
      `gateway.example:${port}`,
      'forward.example:19097',
    ])
      assert.equal((await call('/status', { headers: { Host: host } })).status, 200, host);
    assert.match(
      await exchange(
        port,
        `GET /metrics HTTP/1.1\r\nHost: localhost:${port}\r\nHost: evil.example\r\nConnection: close\r\n\r\n`,
      ),
      /^HTTP\/1\.1 (?:400|421) /,
    );
    assert.match(
      await exchange(port, 'GET /metrics HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n'),
      /^HTTP\/1\.1 421 /,
    );
    assert.match(await exchange(port, 'GET /metrics HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 400 /);

    const preflight = await send(`${url}/revocations`, {
      method: 'OPTIONS',
      headers: { Origin: 'http://evil.example', 'Access-Control-Request-Method': 'POST' },
    });
    assert.equal(preflight.status, 401);
    assert.equal((await call('/revocations', { method: 'OPTIONS' })).status, 405);
    for (const { headers } of [preflight, await call('/status')])
      for (const name of Object.keys(headers)) assert.ok(!name.startsWith('access-control'), name);
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', undefined]) {
      const { status, json } = await call('/revocations', {
        method: 'POST',
        body: '{"subject":"kim"}',
        headers: type === undefined ? {} : { 'Content-Type': type },
      });
      assert.deepEqual([status, json?.['code']], [415, 'unsupported_media_type']);
    }
    for (const more of [
      { 'Content-Type': 'application/json; charset=iso-8859-1' },
      { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' },
    ]) {
      const options = { method: 'POST', body: '{"subject":"kim"}', headers: more };
      assert.equal((await call('/revocations', options)).status, 415, JSON.stringify(more));
    }
    assert.equal(operations.requests.length, 0);
    const good = { 'Content-Type': 'application/json; charset="UTF-8"; a=b' };
    const options = { method: 'POST', body: '{"subject":"kim"}', headers: good };
    assert.equal((await call('/revocations', options)).status, 201);
  });
});

describe('what holds it up', () => {
  it('large bodies are refused, told so, and read no further', async (t) => {
    const { call, port, operations } = await startApi(t);
    const large = `{"token":"${'x'.repeat(1_000_000)}"}`;
    const headers = { 'Content-Type': 'application/json' };
    const sized = await call('/revocations', { method: 'POST', body: large, headers });
    assert.deepEqual([sized.status, sized.json?.['code']], [413, 'body_too_large']);
    const chunked = await call('/revocations', {
      method: 'POST',
      body: large,
      headers: { ...headers, 'Transfer-Encoding': 'chunked' },
    });
    assert.deepEqual([chunked.status, chunked.json?.['code']], [413, 'body_too_large']);
    const claimed = await exchange(
      port,
      `POST /revocations HTTP/1.1\r\nHost: localhost:${port}\r\nAuthorization: Bearer ${TOKEN}\r\nContent-Type: application/json\r\nContent-Length: 9000000000\r\n\r\n{`,
    );
    assert.match(claimed, /^HTTP\/1\.1 413 /);
    const unknown = await exchange(
      port,
      `POST /revocations HTTP/1.1\r\nHost: localhost:${port}\r\nContent-Length: 9000000000\r\n\r\n{`,
    );
    assert.match(unknown, /^HTTP\/1\.1 401 /);
    // What was still on its way is taken, so that the answer is not lost with the connection, which goes on.
    const fields = `Host: localhost:${port}\r\nAuthorization: Bearer ${TOKEN}\r\n`;
    const both = await exchange(
      port,
      `POST /revocations HTTP/1.1\r\n${fields}Content-Type: application/json\r\nContent-Length: ${large.length}\r\n\r\n${large}GET /status HTTP/1.1\r\n${fields}Connection: close\r\n\r\n`,
    );
    assert.match(both, /^HTTP\/1\.1 413 [^]*HTTP\/1\.1 200 /);
    assert.equal(operations.requests.length, 0);
    const most = `{"token":"${'x'.repeat(64 * 1024 - 12)}"}`;
    assert.equal((await call('/revocations', { method: 'POST', body: most, headers })).status, 201);
  });

  it('slow heads and slow bodies are cut off, and silence locks nobody out', async (t) => {
    const { call, port } = await startApi(t, { timeouts: { headersMs: 300, requestMs: 600 } });
    const [head, body] = await Promise.all([
      exchange(port, 'GET /status HTTP/1.1\r\nHost: loc'),
      exchange(
        port,
        `POST /revocations HTTP/1.1\r\nHost: localhost:${port}\r\nAuthorization: Bearer ${TOKEN}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"subject":`,
      ),
    ]);
    assert.match(head, /^HTTP\/1\.1 408 [^]*"code":"request_timed_out"/);
    assert.match(body, /^HTTP\/1\.1 408 [^]*"code":"request_timed_out"/);

    const sockets = Array.from({ length: 200 }, () => connect(port, '127.0.0.1'));
    t.after(() => sockets.forEach((socket) => socket.destroy()));
    for (const socket of sockets) socket.on('error', () => undefined);
    await Promise.all(sockets.map((socket) => once(socket, 'connect')));
    assert.equal((await call('/status')).status, 200);
  });

  it('what is no HTTP gets a refusal like any other', async (t) => {
    const { port } = await startApi(t);
    const garbage = await exchange(port, 'HELLO\r\n\r\n');
    assert.match(garbage, /^HTTP\/1\.1 400 [^]*\{"code":"malformed_request",/);
    const huge = await exchange(
      port,
      `GET / HTTP/1.1\r\nHost: localhost:${port}\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`,
    );
    assert.match(huge, /^HTTP\/1\.1 431 [^]*"code":"headers_too_large"/);
    assert.match(
      await exchange(port, 'GET / HTTP/1.1\r\nConnection: close\r\n\r\n'),
      /^HTTP\/1\.1 400 [^]*\{"code":"malformed_request",/,
    );
  });

  it('other paths, methods, queries and ids are refused by name', async (t) => {
    const { call, operations } = await startApi(t);
    const refused = async (method: string, path: string) => {
      const { status, json, headers } = await call(path, { method });
      return [status, json?.['code'], json?.['field'], headers.allow];
    };
    const nothing = undefined;
    assert.deepEqual(await refused('GET', '/'), [404, 'not_found', nothing, nothing]);
    assert.deepEqual(await refused('GET', '/revocations/'), [404, 'not_found', nothing, nothing]);
    for (const id of ['{id}', 'a%00b', 'a%2Fb', '..', 'é', 'x'.repeat(65), '__proto__'])
      assert.equal((await refused('GET', `/revocations/${encodeURI(id)}`))[0], 404, id);
    assert.deepEqual(await refused('PUT', '/revocations'), [
      405,
      'method_not_allowed',
      nothing,
      'GET, HEAD, POST',
    ]);
    assert.equal((await refused('DELETE', '/revocations/explain'))[0], 405);
    assert.deepEqual(await refused('GET', '/status?verbose=1'), [
      400,
      'unknown_member',
      'verbose',
      nothing,
    ]);
    for (const [query, code, field] of [
      ['colour=red', 'unknown_member', 'colour'],
      ['kind=tokens', 'invalid_value', 'kind'],
      ['limit=0', 'invalid_value', 'limit'],
      ['limit=1001', 'invalid_value', 'limit'],
      ['limit=1e2', 'invalid_value', 'limit'],
      ['limit=1&limit=2', 'invalid_value', 'limit'],
      ['source=', 'invalid_value', 'source'],
      ['cursor=nonsense', 'invalid_value', 'cursor'],
      ['__proto__=1', 'unknown_member', '__proto__'],
    ] as const)
      assert.deepEqual(await refused('GET', `/revocations?${query}`), [400, code, field, nothing]);
    assert.deepEqual(operations.queries, [{ limit: 100, cursor: 'nonsense' }]);
    const { status, text } = await call('/status', { method: 'HEAD' });
    assert.deepEqual([status, text], [200, '']);
  });

  it('a core that fails is a 500 that tells nothing, and one that refuses is passed on', async (t) => {
    const { post, operations, log, call } = await startApi(t);
    operations.refusal = new Error('SECRET-TOKEN-TEXT');
    const failed = await post('/revocations', { token: 'SECRET-TOKEN-TEXT' });
    assert.deepEqual([failed.status, failed.json?.['code']], [500, 'internal_error']);
    operations.refusal = new ApiRefusal('invalid_value', 'too far in the future', 'issuedBefore');
    const refused = await post('/revocations', { subject: 'kim', issuedBefore: 4e12 });
    assert.equal(refused.status, 400);
    assert.deepEqual(refused.json, {
      code: 'invalid_value',
      message: 'too far in the future',
      field: 'issuedBefore',
    });
    operations.refusal = new ApiRefusal('not_durable', 'the disk is full');
    const full = await post('/revocations', { subject: 'kim' });
    assert.deepEqual([full.status, full.headers['retry-after']], [503, '5']);
    assert.equal((await call('/status')).status, 200);
    assert.ok(!log.lines.join('\n').includes('SECRET'));
  });

  it('a call under way is answered when the listener closes, once or twice, and its connection closed', async (t) => {
    const { api, operations, port } = await startApi(t);
    const asked = Promise.withResolvers<void>();
    const told = Promise.withResolvers<void>();
    operations.status = async () => {
      asked.resolve();
      await told.promise;
      return await fakeOperations().status();
    };
    const fields = `Host: localhost:${port}\r\nAuthorization: Bearer ${TOKEN}\r\n\r\n`;
    const answered = exchange(port, `GET /status HTTP/1.1\r\n${fields}`);
    await asked.promise;
    let over = 0;
    const closings = [60_000, 50_000].map((graceMs) => api.close(graceMs).then(() => over++));
    const next = createOperatorApi(
      { host: '127.0.0.1', port, token: TOKEN, allowedHosts: [] },
      fakeOperations(),
      recordedLog(),
    );
    await next.listen();
    t.after(() => next.close(0));
    assert.equal(over, 0, 'both wait for the call');
    told.resolve();
    assert.match(await answered, /^HTTP\/1\.1 200 [^]*\r\nConnection: close\r\n[^]*\}\n$/);
    await Promise.all(closings);
    await api.close();
  });

  it('the shorter time counts when a listener is closed twice', async (t) => {
    const { api, operations, port } = await startApi(t);
    const asked = Promise.withResolvers<void>();
    operations.status = () => {
      asked.resolve();
      return new Promise(() => undefined);
    };
    const fields = `Host: localhost:${port}\r\nAuthorization: Bearer ${TOKEN}\r\n\r\n`;
    const answered = exchange(port, `GET /status HTTP/1.1\r\n${fields}`);
    await asked.promise;
    await Promise.all([api.close(60_000), api.close(0)]);
    assert.equal(await answered, '');
  });

  it('an address that is taken is said so, or waited for', async (t) => {
    const { api, call, port } = await startApi(t);
    const options = { host: '127.0.0.1', port, token: TOKEN, allowedHosts: [] };
    const second = createOperatorApi(options, fakeOperations(), recordedLog());
    await assert.rejects(second.listen(), { code: 'ERR_OPERATOR_LISTEN', message: /EADDRINUSE/ });
    await second.close();

    // A rolling restart: the new gateway waits until the old one has let go.
    const log = recordedLog();
    const attempts = t.mock.method(Server.prototype, 'listen').mock;
    const next = createOperatorApi({ ...options, waitForAddress: true }, fakeOperations(), log);
    const listening = next.listen();
    t.after(() => next.close(0));
    const given = createOperatorApi({ ...options, waitForAddress: true }, fakeOperations(), log);
    const abandoned = assert.rejects(given.listen(), { code: 'ERR_OPERATOR_LISTEN' });
    await given.close();
    await abandoned;
    assert.equal((await call('/status')).status, 200);
    await until(() => attempts.callCount() >= 5, 'it has tried some times');
    const waiting = attempts.calls.at(-1)?.this as Server;
    assert.ok(waiting.listenerCount('listening') <= 2, 'attempts leave nothing behind');
    await api.close();
    assert.equal((await listening).port, port);
    assert.equal((await call('/status')).status, 200);

    const nowhere = { ...options, host: 'no-such-host.invalid' };
    await assert.rejects(createOperatorApi(nowhere, fakeOperations(), recordedLog()).listen(), {
      code: 'ERR_OPERATOR_LISTEN',
    });
  });
});

describe('the record of calls', () => {
  it('has who, what, why and the result of each that changes something or is refused, and no token', async (t) => {
    const { post, call, url, operations, log } = await startApi(t);
    const jwt = `eyJhbGciOiJIUzI1NiJ9.${'c'.repeat(40)}.${'s'.repeat(43)}`;
    await post('/revocations', { token: jwt, reason: 'stolen laptop' });
    await post('/revocations', { subject: 'kim', claims: { tenant: 'acme' }, reason: 'left' });
    await post('/revocations', { token: jwt, subject: 'kim' });
    await post('/revocations', { subject: 'kim', reason: `was ${jwt}` });
    await post('/revocations/explain', { token: jwt });
    const [id = ''] = [...operations.records.keys()].filter((key) => key.startsWith('r-'));
    await call(`/revocations/${id}`, { method: 'DELETE', json: { reason: 'she is back\n[x]' } });
    await call('/revocations');
    await send(`${url}/revocations?token=${jwt}`, { method: 'POST', json: { token: jwt } });
    // Whoever takes a token for an id has it in no record either.
    await call(`/revocations/${jwt}`, { method: 'DELETE', json: { reason: 'x' } });
    await call('/revocations/opaque-secret', { method: 'DELETE', json: { reason: 'x' } });
    const by = 'by operator token at 127.0.0.1';
    assert.deepEqual(log.lines, [
      `INFO [Audit] [-] revoke token t-AAAAAAAAAAAAAAAA added ${by} (stolen laptop): done`,
      `INFO [Audit] [-] revoke rule on "sub", "tenant" ${id} added ${by} (left): done`,
      `WARN [Audit] [-] revoke ${by}: invalid_value`,
      `WARN [Audit] [-] revoke ${by}: invalid_value`,
      `INFO [Audit] [-] lift ${id} ${by} (she is back\n[x]): done`,
      'WARN [Audit] [-] POST /revocations by nobody known at 127.0.0.1: unauthorized',
      `WARN [Audit] [-] DELETE (no such path) ${by}: not_found`,
      `WARN [Audit] [-] DELETE (no such path) ${by}: not_found`,
    ]);
    const kept = log.lines.join('\n');
    for (const secret of [jwt, jwt.slice(0, 20), TOKEN, 'acme', 'opaque-secret'])
      assert.ok(!kept.includes(secret));
    const metrics = (await call('/metrics')).text;
    assert.match(metrics, /^portcullis_operator_calls_total\{result="done"\} 5$/m);
    assert.match(metrics, /^portcullis_operator_calls_total\{result="unauthorized"\} 1$/m);
  });

  it('has the id of what acts though the call was refused', async (t) => {
    const { post, operations, log } = await startApi(t);
    operations.refusal = new ApiRefusal('not_durable', 'the disk is full');
    assert.equal((await post('/revocations', { token: 'x', reason: 'stolen' })).status, 503);
    assert.equal((await post('/revocations', { subject: 'kim' })).status, 503);
    operations.refusal = new ApiRefusal('list_full', 'no room');
    assert.equal((await post('/revocations', { subject: 'lee' })).status, 503);
    const [rule = ''] = [...operations.records.keys()].filter((key) => key.startsWith('r-'));
    const by = 'by operator token at 127.0.0.1';
    assert.deepEqual(log.lines, [
      `WARN [Audit] [-] revoke token t-AAAAAAAAAAAAAAAA added ${by} (stolen): not_durable`,
      `WARN [Audit] [-] revoke rule on "sub" ${rule} added ${by}: not_durable`,
      `WARN [Audit] [-] revoke rule on "sub" ${by}: list_full`,
    ]);
  });

  it('has who and why also behind long names of claims, which it cuts', async (t) => {
    const { post, log } = await startApi(t);
    const names = Array.from({ length: 8 }, (_, i) => `${i}${'\u0001'.repeat(1_000)}`);
    const claims = Object.fromEntries(names.map((name) => [name, 'x']));
    assert.equal((await post('/revocations', { claims, reason: 'left' })).status, 201);
    assert.match(
      log.lines[0] ?? '',
      /^.{0,1000} by operator token at 127\.0\.0\.1 \(left\): done$/,
    );
  });

  it('has the first of a flood of strangers, how many more there were, and all of who is known', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const { post, url, port, log, call } = await startApi(t);
    const strangers = (): string[] => log.lines.filter((line) => line.includes('nobody known'));
    const flood = async (calls: number): Promise<void> => {
      for (let i = 0; i < calls; i++)
        await send(`${url}/revocations`, {
          method: 'POST',
          headers: { Authorization: 'Bearer x' },
        });
    };
    await flood(25);
    await exchange(port, 'no HTTP\r\n\r\n');
    await post('/revocations', { subject: 'kim', reason: 'left' });
    assert.equal(strangers().length, 20);
    assert.match(log.lines.at(-1) ?? '', /^INFO \[Audit\] \[-\] revoke .* \(left\): done$/);
    t.mock.timers.tick(60_000);
    assert.equal(
      log.lines.at(-1),
      'WARN [Audit] [-] 6 more calls or connections of nobody known were refused',
    );
    const counted = (await call('/metrics')).text;
    assert.match(counted, /^portcullis_operator_calls_total\{result="unauthorized"\} 25$/m);
    // The next minute.
    await flood(1);
    assert.equal(strangers().length, 22);
    t.mock.timers.tick(60_000);
    assert.equal(strangers().length, 22);
  });
});
