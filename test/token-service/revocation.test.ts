import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { importPKCS8, SignJWT } from 'jose';
import { until } from '../support/until.ts';
import {
  ADMIN,
  ALICE,
  basic,
  BOB,
  fakePublisher,
  OPERATOR,
  READER,
  type Running,
  startService,
} from './fixture.ts';

interface Listed {
  jwt_signature: string;
  expiry_time: number;
}

async function listed({ request }: Running): Promise<Listed[]> {
  const answer = await request('/internal/data/v1/revokedjwt', {
    headers: { Authorization: ADMIN },
  });
  assert.equal(answer.status, 200);
  return (await answer.json()) as Listed[];
}

function jtiOf(jwt: string): string {
  const claims = JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString()) as {
    jti: string;
  };
  return claims.jti;
}

/** Looks like a JWT; nobody signed it. */
function jwtOf(claims: object): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'RS256' })}.${part(claims)}.AAAA`;
}

async function revoke({ post }: Running, authorization: string, token: string): Promise<void> {
  const answer = await post('/oauth2/revoke', authorization, { token });
  assert.equal(answer.status, 200);
  assert.equal(await answer.text(), '');
}

test('a client revokes its own tokens by the token or by the bare jti', async (t) => {
  const running = await startService(t);
  const byToken = await running.token(ALICE);
  const byJti = await running.token(ALICE);
  const untouched = await running.token(ALICE);
  await revoke(running, ALICE, byToken);
  await revoke(running, ALICE, jtiOf(byJti));
  assert.deepEqual(
    [await running.active(byToken), await running.active(byJti), await running.active(untouched)],
    [false, false, true],
  );
  const list = await listed(running);
  assert.deepEqual(
    new Set(list.map((entry) => entry.jwt_signature)),
    new Set([jtiOf(byToken), jtiOf(byJti)]),
  );
  const claims = JSON.parse(Buffer.from(byToken.split('.')[1] ?? '', 'base64url').toString()) as {
    exp: number;
  };
  assert.equal(list[0]?.expiry_time, claims.exp * 1000);
});

test('a client cannot revoke what is not its own: 200 without effect', async (t) => {
  const running = await startService(t);
  const jwt = await running.token(ALICE);
  const opaque = await running.token(ALICE, { token_format: 'opaque' });
  for (const text of [
    jwt,
    jtiOf(jwt),
    opaque,
    'an-unknown-jti',
    'pco_unknown',
    jwtOf({ iss: 'https://sts.test', jti: 'of-another-issuer' }),
    'a.b.c',
    '..',
    '😀',
  ]) {
    await revoke(running, BOB, text);
  }
  assert.ok(await running.active(jwt));
  assert.ok(await running.active(opaque));
  assert.deepEqual(await listed(running), []);
});

test('a client marked revokeAny revokes others’ tokens, and unknown jtis for the longest token life', async (t) => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  const running = await startService(t, { now: () => now, longestTokenLifeSeconds: 7200 });
  const jwt = await running.token(ALICE);
  const opaque = await running.token(BOB);
  await revoke(running, OPERATOR, jwt);
  await revoke(running, OPERATOR, opaque);
  await revoke(running, OPERATOR, '1e41eb69-b134-4158-ba16-9449ecaa2b3b');
  assert.ok(!(await running.active(jwt)));
  assert.ok(!(await running.active(opaque)));
  const unknown = (await listed(running)).find(
    ({ jwt_signature }) => jwt_signature === '1e41eb69-b134-4158-ba16-9449ecaa2b3b',
  );
  assert.equal(unknown?.expiry_time, now + 7_200_000);
  await revoke(running, OPERATOR, 'x'.repeat(1025));
  await revoke(running, OPERATOR, `${Buffer.from('{"alg":"RS256"}').toString('base64url')}.e30.x`);
  assert.equal((await listed(running)).length, 3);
});

test('what is unknown here is revoked for the issuer that it names, or for every issuer', async (t) => {
  const publisher = fakePublisher('one');
  const running = await startService(t, { publishers: [publisher] });
  const sts = 'https://sts.test';
  await revoke(running, OPERATOR, jwtOf({ iss: sts, jti: 'named', exp: 1 }));
  await revoke(running, OPERATOR, jwtOf({ jti: 'unnamed' }));
  await revoke(running, OPERATOR, 'bare');
  await revoke(running, OPERATOR, 'pco_bare');
  await revoke(running, OPERATOR, jwtOf({ iss: sts }));
  await until(() => publisher.accepted.length === 4, 'the copies');
  assert.deepEqual(
    publisher.accepted.map(({ token, issuer }) => [token, issuer]),
    [
      ['named', sts],
      ['unnamed', undefined],
      ['bare', undefined],
      ['pco_bare', undefined],
    ],
  );
  const least = Date.now() + 29 * 86_400_000;
  const list = await listed(running);
  assert.deepEqual(
    list.map((entry) => entry.jwt_signature),
    ['named', 'unnamed', 'bare'],
  );
  assert.ok(
    list.every((entry) => entry.expiry_time > least),
    'no end is taken from a claim',
  );
  const lines = running.log.lines.filter((line) => line.startsWith('WARN'));
  assert.match(lines.join('\n'), /opaque token that is unknown here/);
  assert.match(lines.join('\n'), /it has no jti/);
  assert.ok(!lines.join('\n').includes('pco_bare'));
});

test('a jti that is revoked for two issuers is revoked for all, and one of another issuer does not touch ours', async (t) => {
  const publisher = fakePublisher('one');
  const running = await startService(t, { publishers: [publisher] });
  const jwt = await running.token(ALICE);
  await revoke(running, OPERATOR, jwtOf({ iss: 'https://sts.test', jti: jtiOf(jwt) }));
  assert.ok(await running.active(jwt));
  await revoke(running, ALICE, jwt);
  assert.ok(!(await running.active(jwt)));
  await revoke(running, ALICE, jwt);
  await until(() => publisher.accepted.length === 2, 'the copies');
  assert.deepEqual(
    publisher.accepted.map(({ issuer }) => issuer),
    ['https://sts.test', undefined],
  );
});

test('white space around a token is no part of it', async (t) => {
  const publisher = fakePublisher('one');
  const running = await startService(t, { publishers: [publisher] });
  const [jwt, opaque] = [await running.token(ALICE), await running.token(BOB)];
  await revoke(running, ALICE, `${jwt}\n`);
  await revoke(running, BOB, ` ${opaque}\t`);
  await revoke(running, OPERATOR, ' unknown\r\n');
  assert.ok(!(await running.active(jwt)));
  assert.ok(!(await running.active(opaque)));
  await until(() => publisher.accepted.length === 3, 'the copies');
  assert.deepEqual(
    publisher.accepted.map(({ token }) => token),
    [jtiOf(jwt), opaque, 'unknown'],
  );
  assert.equal((await running.post('/oauth2/revoke', OPERATOR, { token: ' ' })).status, 400);
});

test('a clock that jumps ahead loses no revocation, no token and no undelivered copy', async (t) => {
  const start = Date.now();
  let wall = start;
  const clock = { latest: () => Math.max(wall, start), earliest: () => Math.min(wall, start) };
  const publisher = fakePublisher('one');
  publisher.down = true;
  const running = await startService(t, { now: () => wall, clock, publishers: [publisher] });
  const [before, during] = [await running.token(ALICE), await running.token(ALICE)];
  const live = await running.token(BOB);
  await revoke(running, ALICE, before);
  wall += 90 * 86_400_000;
  await revoke(running, ALICE, during);
  await running.service.upkeep();
  const both = new Set([jtiOf(before), jtiOf(during)]);
  assert.deepEqual(new Set((await listed(running)).map((entry) => entry.jwt_signature)), both);
  wall = start;
  assert.deepEqual(new Set((await listed(running)).map((entry) => entry.jwt_signature)), both);
  assert.deepEqual([await running.active(before), await running.active(live)], [false, true]);
  publisher.down = false;
  await until(() => publisher.accepted.length === 2, 'the copies');
});

test('any jti comes out of the list as it went in', async (t) => {
  const running = await startService(t);
  const odd = [
    '__proto__',
    'constructor',
    '\0',
    'a\0b',
    '"\\',
    'a\r\nb',
    'é',
    'e\u0301',
    '../x',
    "'; --",
    '%41',
  ];
  const random = fc.sample(fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }), 60);
  // White space around it is taken for the hand that sent it.
  const jtis = new Set([...odd, ...random].map((jti) => jti.trim()).filter((jti) => jti !== ''));
  await Promise.all([...jtis].map((jti) => revoke(running, OPERATOR, jti)));
  const list = await listed(running);
  assert.deepEqual(new Set(list.map(({ jwt_signature }) => jwt_signature)), jtis);
});

test('every spelling of a JWT of ours revokes the same token', async (t) => {
  const running = await startService(t);
  for (const respell of [
    (jwt: string) => `${jwt}==`,
    (jwt: string) => `${jwt.slice(0, -1)}${jwt.endsWith('A') ? 'B' : 'A'}`,
  ]) {
    const jwt = await running.token(ALICE);
    assert.ok(!(await running.active(respell(jwt))), 'only the exact text introspects as active');
    await revoke(running, ALICE, respell(jwt));
    assert.ok(!(await running.active(jwt)));
  }
});

test('a token whose record was lost is still revoked by its client, on the strength of our signature', async (t) => {
  const { privateKey } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
  const issuer = 'https://issuer.test/oauth2/token';
  const running = await startService(t, { issuer, signingKey: { privateKey } });
  const key = await importPKCS8(privateKey, 'ES256');
  const exp = Math.floor(Date.now() / 1000) + 600;
  const make = (claims: object): Promise<string> =>
    new SignJWT({ client_id: 'alice', iss: issuer, exp, ...claims })
      .setProtectedHeader({ alg: 'ES256' })
      .sign(key);
  const ours = await make({ jti: 'lost-1' });
  const foreign = await make({ jti: 'lost-2', iss: 'https://other.test' });
  const forged = `${(await make({ jti: 'lost-3' })).split('.').slice(0, 2).join('.')}.AAAA`;
  await revoke(running, BOB, ours);
  await revoke(running, ALICE, foreign);
  await revoke(running, ALICE, forged);
  assert.deepEqual(await listed(running), []);
  await revoke(running, ALICE, ours);
  assert.deepEqual(await listed(running), [{ jwt_signature: 'lost-1', expiry_time: exp * 1000 }]);
  // Whoever may revoke any jti needs no signature, but gets no shorter life from an unproved exp either.
  await revoke(running, OPERATOR, forged);
  const third = (await listed(running)).find(({ jwt_signature }) => jwt_signature === 'lost-3');
  assert.ok(Number(third?.expiry_time) > Date.now() + 29 * 86_400_000);
});

test('revoking is authenticated, needs a token, and a revoked token stays revoked when revoked again', async (t) => {
  const running = await startService(t);
  const { post } = running;
  const token = await running.token(ALICE);
  const refused = await post('/oauth2/revoke', basic('alice', 'wrong'), { token });
  assert.equal(refused.status, 401);
  assert.match(String(refused.headers.get('www-authenticate')), /^Basic /);
  assert.equal((await post('/oauth2/revoke', undefined, { token })).status, 401);
  const empty = await post('/oauth2/revoke', ALICE, {});
  assert.equal(empty.status, 400);
  assert.equal(((await empty.json()) as { error: string }).error, 'invalid_request');
  assert.ok(await running.active(token));
  await revoke(running, ALICE, token);
  const hinted = await post('/oauth2/revoke', ALICE, { token, token_type_hint: 'refresh_token' });
  assert.equal(hinted.status, 200);
  assert.equal((await listed(running)).length, 1);
});

test('what is published: the jti of a JWT, the text of an opaque token, its jti when only that was given', async (t) => {
  const publisher = fakePublisher('one');
  const running = await startService(t, { publishers: [publisher] });
  const { accepted } = publisher;
  const jwt = await running.token(ALICE);
  await revoke(running, ALICE, jwt);
  const opaque = await running.token(BOB);
  const introspected = await running.post('/oauth2/introspect', BOB, { token: opaque });
  const { jti, exp } = (await introspected.json()) as { jti: string; exp: number };
  await revoke(running, BOB, jti);
  assert.ok(!(await running.active(opaque)));
  await revoke(running, BOB, opaque);
  await revoke(running, BOB, opaque);
  await revoke(running, BOB, jti);
  await until(() => accepted.length === 3, 'three copies');
  assert.deepEqual(
    accepted.map(({ token, tokenType }) => [token, tokenType]),
    [
      [jtiOf(jwt), 'JWT'],
      [jti, 'opaque'],
      [opaque, 'opaque'],
    ],
  );
  assert.equal(accepted[2]?.expiresAtMs, exp * 1000);
  assert.equal(accepted[2]?.issuer, running.address.issuer);
  assert.equal(new Set(accepted.map(({ eventId }) => eventId)).size, 3);
});

test('revoking an unknown jti again extends its life and never shortens it', async (t) => {
  let now = Date.parse('2026-01-01T00:00:00Z');
  const running = await startService(t, { now: () => now, longestTokenLifeSeconds: 7200 });
  await revoke(running, OPERATOR, 'unknown');
  now += 1_800_000;
  await revoke(running, OPERATOR, 'unknown');
  const expected = [{ jwt_signature: 'unknown', expiry_time: now + 7_200_000 }];
  assert.deepEqual(await listed(running), expected);
  now -= 3_600_000;
  await revoke(running, OPERATOR, 'unknown');
  assert.deepEqual(await listed(running), expected);
});

test('tokens and revocations are forgotten after their end, and not before', async (t) => {
  let now = Date.now();
  const running = await startService(t, { now: () => now, tokenLifeSeconds: 100 });
  const token = await running.token(ALICE);
  await revoke(running, ALICE, token);
  now += 101_000;
  await running.service.upkeep();
  assert.equal((await listed(running)).length, 1, 'a gateway with a slow clock still needs it');
  now += 600_000;
  await running.service.upkeep();
  assert.deepEqual(await listed(running), []);
  await revoke(running, ALICE, token);
  assert.deepEqual(await listed(running), [], 'a dead token needs no revocation');
});

test('introspection tells about a live token to those who may ask', async (t) => {
  let now = Date.now();
  const running = await startService(t, { now: () => now });
  const { post } = running;
  const ask = async (authorization: string, token: string): Promise<Record<string, unknown>> => {
    const answer = await post('/oauth2/introspect', authorization, { token });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('cache-control'), 'no-store');
    return (await answer.json()) as Record<string, unknown>;
  };
  const opaque = await running.token(BOB);
  const jwt = await running.token(ALICE);
  const about = await ask(BOB, opaque);
  const iat = Math.floor(now / 1000);
  assert.deepEqual(about, {
    active: true,
    iss: running.address.issuer,
    sub: 'bob',
    username: 'bob',
    aud: 'http://org.wso2.apimgt/gateway',
    client_id: 'bob',
    jti: about['jti'],
    iat,
    exp: iat + 3600,
    token_type: 'Bearer',
    keytype: 'SANDBOX',
  });
  for (const allowed of [ADMIN, READER, OPERATOR, ALICE]) {
    assert.equal((await ask(allowed, jwt))['scope'], 'read write');
  }
  const inactive = { active: false };
  assert.deepEqual(await ask(BOB, jwt), inactive);
  assert.deepEqual(await ask(ADMIN, jtiOf(jwt)), inactive, 'a jti is no token');
  assert.deepEqual(await ask(ADMIN, 'pco_unknown'), inactive);
  for (const wrong of [basic('admin', 'x'), basic('gateway', 'alice-secret'), basic('x', 'x')]) {
    const answer = await post('/oauth2/introspect', wrong, { token: jwt });
    assert.equal(answer.status, 401);
  }
  assert.equal((await post('/oauth2/introspect', ADMIN, {})).status, 400);
  now += 3_600_000;
  assert.deepEqual(await ask(ADMIN, jwt), inactive, 'an ended token is inactive');
});

test('userinfo names the subject of a live token; authorize is refused without redirecting', async (t) => {
  const running = await startService(t);
  const { request } = running;
  const ask = (authorization?: string) =>
    request('/oauth2/userinfo', {
      headers: authorization === undefined ? {} : { Authorization: authorization },
    });
  const jwt = await running.token(ALICE);
  assert.deepEqual(await (await ask(`Bearer ${jwt}`)).json(), { sub: 'alice' });
  await revoke(running, ALICE, jwt);
  const revoked = await ask(`Bearer ${jwt}`);
  assert.equal(revoked.status, 401);
  assert.match(String(revoked.headers.get('www-authenticate')), /^Bearer .*error="invalid_token"$/);
  const anonymous = await ask();
  assert.equal(anonymous.status, 401);
  assert.ok(!String(anonymous.headers.get('www-authenticate')).includes('error'));
  assert.equal((await ask('Bearer')).status, 400);

  const query = 'client_id=alice&redirect_uri=https%3A%2F%2Fevil.test';
  const refused = await request(`/oauth2/authorize?response_type=code&${query}`, {
    redirect: 'manual',
  });
  assert.equal(refused.status, 400);
  assert.equal(refused.headers.get('location'), null);
  assert.equal(((await refused.json()) as { error: string }).error, 'unsupported_response_type');
  const missing = await request(`/oauth2/authorize?${query}`);
  assert.equal(((await missing.json()) as { error: string }).error, 'invalid_request');
});

test('WSO2’s list is for admin and readers only, in both of its shapes', async (t) => {
  const running = await startService(t);
  const path = '/internal/data/v1/revokedjwt';
  for (const authorization of [undefined, ALICE, basic('admin', 'admin')]) {
    const answer = await running.request(path, {
      headers: authorization === undefined ? {} : { Authorization: authorization },
    });
    assert.equal(answer.status, 401);
  }
  const jwt = await running.token(ALICE);
  const opaque = await running.token(BOB);
  await revoke(running, ALICE, jwt);
  await revoke(running, BOB, opaque);
  const array = await listed(running);
  assert.equal(array[0]?.jwt_signature, jtiOf(jwt));
  assert.equal(array.length, 2, 'an opaque token is listed by its jti');
  assert.ok(!JSON.stringify(array).includes(opaque));
  const object = await running.request(`${path}?format=object`, {
    headers: { Authorization: READER },
  });
  assert.deepEqual(await object.json(), {
    revokedJWTList: array,
    revokedJWTSubjectEntityList: [],
    revokedJWTConsumerKeyList: [],
  });
  const bad = await running.request(`${path}?format=xml`, { headers: { Authorization: READER } });
  assert.equal(bad.status, 400);
});
