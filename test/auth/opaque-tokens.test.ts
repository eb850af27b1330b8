import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HttpAnswer } from '../../src/net/http-client.ts';
import { keyOfText } from '../../src/revocation/token-key.ts';
import type { FakeHttp } from './stage.ts';
import { DAY_MS, ISSUER, NOW, Stage, encode, jsonAnswer, makeToken } from './stage.ts';

const OPAQUE = '01c82c1e-4a3f-3a6c-a8f5-4f2f0b8a4b1d';
const ACTIVE = {
  active: true,
  exp: NOW + 3_600,
  sub: 'admin',
  client_id: 'c1',
  scope: 'read',
  jti: 'j1',
};

/** A stage with introspection whose answer can be changed. */
class OpaqueStage extends Stage {
  reply: FakeHttp['answer'];

  constructor(answer: unknown, status: number) {
    super(
      {
        introspection: {
          url: 'https://km.example/oauth2/introspect',
          username: 'admin',
          password: 'pass:word',
          maxAgeMs: 60_000,
          issuer: ISSUER,
        },
      },
      (request) => this.reply(request),
    );
    this.reply = () => jsonAnswer(answer, status);
  }
}

function stageWith(answer: unknown = ACTIVE, status = 200): OpaqueStage {
  return new OpaqueStage(answer, status);
}

test('an opaque token is introspected once, and its answer is used again', async () => {
  const stage = stageWith({ ...ACTIVE, keytype: 'SANDBOX' });
  const caller = await stage.present(OPAQUE, ['read']);
  assert.equal(caller.tokenType, 'opaque');
  assert.equal(caller.subject, 'admin');
  assert.equal(caller.clientId, 'c1');
  assert.equal(caller.issuer, ISSUER);
  assert.equal(caller.keyType, 'SANDBOX');
  assert.equal(caller.expiresAtMs, (NOW + 3_600) * 1_000);
  const again = stage.present(OPAQUE, ['read']);
  assert.equal(again, caller, 'at once, from the cache');
  assert.equal(stage.http.requests.length, 1);
  const [request] = stage.http.requests;
  assert.equal(request?.method, 'POST');
  assert.equal(request?.body, `token=${OPAQUE}`);
  assert.equal(
    request?.headers?.['authorization'],
    `Basic ${Buffer.from('admin:pass:word').toString('base64')}`,
  );
  assert.equal(request?.headers?.['content-type'], 'application/x-www-form-urlencoded');
  assert.equal(await stage.outcome(OPAQUE, ['write']), 'insufficientScope');
});

test('characters of an opaque token are escaped in the form', async () => {
  const stage = stageWith();
  await stage.outcome('a+b/c~d==');
  assert.deepEqual(new URLSearchParams(stage.http.requests[0]?.body).get('token'), 'a+b/c~d==');
});

for (const [what, value] of [
  ['the token', OPAQUE],
  ['the jti that introspection gave', 'j1'],
] as const)
  test(`a revocation of ${what} ends it at once, though introspection was cached`, async () => {
    const stage = stageWith();
    assert.equal(await stage.outcome(OPAQUE), 'admitted');
    stage.revocations.revoke(value);
    assert.equal(await stage.outcome(OPAQUE), 'invalidCredentials');
    assert.equal(stage.http.requests.length, 1);
  });

test('a revocation that names the issuer, as configured or as introspected, ends it too', async () => {
  for (const issuer of [ISSUER, 'https://other.example'])
    for (const value of [OPAQUE, 'j1']) {
      const stage = stageWith({ ...ACTIVE, iss: 'https://other.example' });
      assert.equal(await stage.outcome(OPAQUE), 'admitted');
      stage.revocations.revoked.add(keyOfText('id', issuer, value));
      assert.equal(await stage.outcome(OPAQUE), 'invalidCredentials');
    }
});

test('a revoked token is refused before anyone is asked about it, and while the key manager is down', async () => {
  const stage = stageWith();
  stage.reply = () => Promise.reject(new Error('unreachable'));
  stage.revocations.revoke(OPAQUE);
  assert.equal(await stage.outcome(OPAQUE), 'invalidCredentials');
  assert.equal(stage.http.requests.length, 0);
  assert.deepEqual(stage.log.lines, [
    'DEBUG [AuthnFilter] [request-1] Token is found in the invalid token map.',
    'DEBUG [AuthnFilter] [request-1] Oauth Token has been revoked.',
  ]);
});

test('a revocation that comes while introspection is under way counts', async () => {
  const stage = stageWith();
  const { promise, resolve } = Promise.withResolvers<HttpAnswer>();
  stage.reply = () => promise;
  const waiting = stage.outcome(OPAQUE);
  stage.revocations.revoke('j1');
  resolve(jsonAnswer(ACTIVE));
  assert.equal(await waiting, 'invalidCredentials');
});

test('while the list may be incomplete an opaque token is 503, and nobody is asked', async () => {
  const stage = stageWith();
  stage.revocations.complete = false;
  assert.equal(await stage.outcome(OPAQUE), 'revocationStatusUnknown');
  assert.equal(stage.http.requests.length, 0);
});

test('an inactive token is 401, and is not asked about again for a few seconds', async () => {
  const stage = stageWith({ active: false });
  for (let n = 0; n < 5; n += 1) assert.equal(await stage.outcome(OPAQUE), 'invalidCredentials');
  assert.equal(stage.http.requests.length, 1);
  stage.reply = () => jsonAnswer(ACTIVE);
  stage.nowMs += 3_000;
  assert.equal(await stage.outcome(OPAQUE), 'admitted');
});

/** What comes of a key manager that fails, or of a token that makes it fail. */
const TROUBLES = [
  ['is unreachable', () => Promise.reject(new Error('unreachable'))],
  ['answers 401', () => jsonAnswer(ACTIVE, 401)],
  ['answers 302', () => jsonAnswer(ACTIVE, 302)],
  ['answers 400', () => jsonAnswer(ACTIVE, 400)],
  ['answers 500', () => jsonAnswer(ACTIVE, 500)],
  ['answers HTML', () => jsonAnswer('<html>')],
  ['answers cut-off JSON', () => jsonAnswer('{"active":true')],
  ['answers an array', () => jsonAnswer('[true]')],
  ['answers active as text', () => jsonAnswer({ ...ACTIVE, active: 'true' })],
  ['answers active as number', () => jsonAnswer({ ...ACTIVE, active: 1 })],
  ['answers active twice', () => jsonAnswer('{"active":false,"active":true}')],
  ['answers without active', () => jsonAnswer({ sub: 'admin' })],
  ['answers active by prototype', () => jsonAnswer('{"__proto__":{"active":true}}')],
] as const;

for (const [what, reply] of TROUBLES) {
  test(`an introspection endpoint that ${what} makes it 503, not 401, and is asked again`, async () => {
    const stage = stageWith();
    stage.reply = reply;
    const refusal = await stage.refusalFrom('192.0.2.1', OPAQUE);
    assert.equal(refusal?.fault, 'serviceUnavailable');
    assert.ok((refusal.retryAfterSeconds ?? 0) >= 1);
    assert.ok(stage.log.lines.some((line) => line.startsWith('WARN [TokenIntrospection]')));
    assert.equal(stage.log.lines.join().includes(OPAQUE), false);
    assert.equal(stage.log.lines.join().includes('pass:word'), false);
    stage.reply = () => jsonAnswer(ACTIVE);
    assert.equal(await stage.refusalFrom('192.0.2.1', OPAQUE), undefined);
  });

  test(`where it ${what}, an address may ask 20 times at once and 5 times a second, and others as ever`, async () => {
    const stage = stageWith();
    assert.equal(await stage.refusalFrom('192.0.2.1', 'known'), undefined);
    stage.reply = reply;
    const junk = async (seconds: number, from = '192.0.2.1'): Promise<number> => {
      const before = stage.http.requests.length;
      for (let n = 0; n < 400; n += 1) {
        stage.nowMs += (seconds * 1_000) / 400;
        const refusal = await stage.refusalFrom(from, `junk-${seconds}-${n}`);
        assert.equal(refusal?.fault, 'serviceUnavailable');
        assert.ok((refusal.retryAfterSeconds ?? 0) >= 1);
      }
      return stage.http.requests.length - before;
    };
    assert.equal(await junk(0), 20);
    assert.equal(await junk(10), 50);
    const warnings = stage.log.lines.filter((line) => line.startsWith('WARN'));
    assert.equal(warnings.length, 2, 'what is wrong, and that no more is asked: each once');
    assert.equal(await stage.refusalFrom('192.0.2.1', 'known'), undefined, 'it is in the cache');
    stage.reply = () => jsonAnswer(ACTIVE);
    assert.equal(await stage.refusalFrom('192.0.2.2', 'good'), undefined, 'another address');
    assert.equal((await stage.refusalFrom('192.0.2.1', 'better'))?.fault, 'serviceUnavailable');
    stage.nowMs += 200;
    assert.equal(await stage.refusalFrom('192.0.2.1', 'better'), undefined);
  });
}

test('tokens that get an answer count for nothing, active or not, with as many at once', async () => {
  const stage = stageWith();
  for (const answer of [ACTIVE, { active: false }]) {
    stage.reply = () => jsonAnswer(answer);
    const asked = Array.from({ length: 100 }, (_, n) => stage.refusalFrom('192.0.2.1', `t-${n}`));
    await Promise.all(asked);
    stage.nowMs += DAY_MS;
  }
  assert.equal(stage.http.requests.length, 200);
});

test('tokens of one address that get no answer for long leave room for others', async () => {
  const stage = stageWith();
  const { promise, resolve } = Promise.withResolvers<HttpAnswer>();
  stage.reply = () => promise;
  const slow = Array.from({ length: 600 }, (_, n) => stage.refusalFrom('192.0.2.1', `slow-${n}`));
  assert.equal(stage.http.requests.length, 256);
  stage.reply = () => jsonAnswer(ACTIVE);
  assert.equal(await stage.refusalFrom('192.0.2.2', 'good'), undefined);
  resolve(jsonAnswer(ACTIVE));
  const faults = (await Promise.all(slow)).filter((refusal) => refusal !== undefined);
  assert.equal(faults.length, 600 - 256);
  assert.equal(await stage.refusalFrom('192.0.2.1', 'later'), undefined, 'that was no failure');
});

for (const status of [401, 403])
  test(`${status} is said as what it is: the gateway's own credentials are refused`, async () => {
    const stage = stageWith({}, status);
    await stage.outcome(OPAQUE);
    const [line = ''] = stage.log.lines.filter((each) => each.startsWith('WARN'));
    assert.match(
      line,
      new RegExp(`status ${status}.*own name and password.*\\[keymanager\\.security\\.basic\\]`),
    );
    for (const key of ['username', 'password', 'enabled = false']) assert.ok(line.includes(key));
  });

test('an active answer is used for no longer than its exp and the configured age', async () => {
  const stage = stageWith({ ...ACTIVE, exp: NOW + 30 });
  assert.equal(await stage.outcome(OPAQUE), 'admitted');
  stage.reply = () => jsonAnswer({ active: false });
  stage.nowMs += 29_999;
  assert.equal(await stage.outcome(OPAQUE), 'admitted');
  stage.nowMs += 1;
  assert.equal(await stage.outcome(OPAQUE), 'invalidCredentials');

  const longer = stageWith();
  assert.equal(await longer.outcome(OPAQUE), 'admitted');
  longer.reply = () => jsonAnswer({ active: false });
  longer.nowMs += 59_999;
  assert.equal(await longer.outcome(OPAQUE), 'admitted');
  longer.nowMs += 1;
  assert.equal(await longer.outcome(OPAQUE), 'invalidCredentials');
});

test('an answer whose times contradict it is not taken', async () => {
  for (const times of [
    { exp: NOW - 60 },
    { exp: 'soon' },
    { nbf: NOW + 60 },
    { exp: NOW + 40 * 86_400 },
  ])
    assert.equal(
      await stageWith({ ...ACTIVE, ...times }).outcome(OPAQUE),
      'invalidCredentials',
      JSON.stringify(times),
    );
});

test('an active token that is not an access token, or not valid yet, is not taken', async () => {
  for (const answer of [
    { token_type: 'Refresh' },
    { token_type: 'refresh_token' },
    { token_use: 'refresh_token' },
    { token_use: 'id' },
    { typ: 'Refresh' },
    { nbf: NOW + 300 },
  ])
    assert.equal(
      await stageWith({ active: true, ...answer }).outcome(OPAQUE),
      'invalidCredentials',
      JSON.stringify(answer),
    );
  for (const answer of [{ token_type: 'Bearer' }, { token_use: 'access_token' }, { nbf: NOW }])
    assert.equal(
      await stageWith({ active: true, ...answer }).outcome(OPAQUE),
      'admitted',
      JSON.stringify(answer),
    );
});

test('an answer without exp and iat lives as long as a token may', async () => {
  const stage = stageWith({ active: true });
  const caller = await stage.present(OPAQUE);
  assert.equal(caller.expiresAtMs, stage.nowMs + 30 * DAY_MS);
});

test('many requests with one token ask once', async () => {
  const stage = stageWith();
  const { promise, resolve } = Promise.withResolvers<HttpAnswer>();
  stage.reply = () => promise;
  const waiting = Array.from({ length: 100 }, () => stage.outcome(OPAQUE));
  resolve(jsonAnswer(ACTIVE));
  assert.deepEqual([...new Set(await Promise.all(waiting))], ['admitted']);
  assert.equal(stage.http.requests.length, 1);
});

test('a slow key manager is not buried: beyond the bound it is 503 at once', async () => {
  const stage = stageWith();
  const { promise, resolve } = Promise.withResolvers<HttpAnswer>();
  stage.reply = () => promise;
  const waiting = Array.from({ length: 600 }, (_, n) => stage.outcome(`token-${n}`));
  assert.equal(stage.http.requests.length, 512);
  resolve(jsonAnswer(ACTIVE));
  const outcomes = await Promise.all(waiting);
  assert.equal(outcomes.filter((outcome) => outcome === 'serviceUnavailable').length, 88);
  assert.equal(outcomes.filter((outcome) => outcome === 'admitted').length, 512);
  assert.equal(await stage.outcome('later'), 'admitted', 'that was not its failure');
});

test('a JWT never goes to introspection, whatever is wrong with it; anything else does', async () => {
  const stage = stageWith();
  const [h = '', p = '', s = ''] = makeToken().split('.');
  for (const token of [
    makeToken({ claims: { iss: 'https://unknown.example' } }),
    `${encode({ alg: 'none' })}.${p}.`,
    `${h}.x.y`,
    `${h}~.${p}.${s}`,
    `${h}==.${p}.${s}`,
    `${encode('{"alg":"RS256"')}.${p}.${s}`,
    `${encode('\uFEFF{"alg":"RS256"}')}.${p}.${s}`,
  ])
    assert.equal(await stage.outcome(token), 'invalidCredentials', token);
  assert.equal(stage.http.requests.length, 0);
  for (const token of [
    'v2.local.x',
    'a.b.c',
    `${encode({ user: 1 })}.b.c`,
    `${encode('[1]')}.b.c`,
    '..',
    'a.b.c==',
  ])
    assert.equal(await stage.outcome(token), 'admitted', token);
  assert.equal(stage.http.requests.length, 6);
});

test('opaque tokens that differ in padding alone are two tokens', async () => {
  const stage = stageWith();
  assert.equal(await stage.outcome('aa.bb.cc'), 'admitted');
  stage.reply = () => jsonAnswer({ active: false });
  assert.equal(await stage.outcome('aa.bb.cc=='), 'invalidCredentials');
  assert.equal(await stage.outcome('aa.bb.cc'), 'admitted');
  assert.equal(stage.http.requests.length, 2);
});

test('without introspection an opaque token is 401', async () => {
  assert.equal(await new Stage().outcome(OPAQUE), 'invalidCredentials');
});

test('close ends introspections under way', async () => {
  const stage = stageWith();
  stage.reply = ({ signal }) =>
    new Promise((_, reject) => {
      signal?.addEventListener('abort', () => reject(new Error('aborted')));
    });
  const waiting = stage.outcome(OPAQUE);
  await stage.authenticator.close();
  assert.equal(await waiting, 'serviceUnavailable');
});
