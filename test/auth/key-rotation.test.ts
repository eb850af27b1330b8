import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { afterEach, beforeEach, mock, test } from 'node:test';
import type { KeySetTimings } from '../../src/auth/remote-key-set.ts';
import type { HttpAnswer } from '../../src/net/http-client.ts';
import {
  DAY_MS,
  ISSUER,
  NOW_MS,
  Stage,
  encode,
  goodClaims,
  jsonAnswer,
  makeToken,
  publicJwk,
} from './stage.ts';

const URL_OF_KEYS = 'https://issuer.example/jwks';
const SECOND = generateKeyPairSync('rsa', { modulusLength: 2_048 });

const k1 = (): object => publicJwk('RS256', { kid: 'k1' });
const k2 = (): object => ({ ...SECOND.publicKey.export({ format: 'jwk' }), kid: 'k2' });
const firstToken = (): string => makeToken();
const secondToken = (): string =>
  makeToken({ key: SECOND.privateKey, header: { alg: 'RS256', kid: 'k2' } });

/** Timers and clocks stand still until `pass` moves them. */
beforeEach(() => mock.timers.enable({ apis: ['setTimeout', 'Date'], now: NOW_MS }));
afterEach(() => mock.timers.reset());

const open: Stage[] = [];
afterEach(async () => {
  for (const stage of open.splice(0)) await stage.authenticator.close();
});

function stageWith(
  answer: () => HttpAnswer | Promise<HttpAnswer>,
  keySetTimings: KeySetTimings = {},
): Stage {
  const stage = new Stage(
    {
      issuers: [{ issuer: ISSUER, keys: { kind: 'jwks', url: URL_OF_KEYS } }],
      keySetTimings,
      now: Date.now,
      monotonicNow: Date.now,
      longestTokenLifeMs: 400 * DAY_MS,
      cache: { maxEntries: 100, maxAgeMs: 400 * DAY_MS },
    },
    answer,
  );
  open.push(stage);
  return stage;
}

async function pass(milliseconds: number): Promise<void> {
  mock.timers.tick(milliseconds);
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

const answers = (keys: readonly object[]): HttpAnswer => jsonAnswer({ keys });
const long = (): string =>
  makeToken({ claims: goodClaims({ exp: Math.floor(NOW_MS / 1_000) + 300 * 86_400 }) });

test('keys are read at once, and a cold herd waits for the one fetch', async () => {
  const stage = stageWith(() => answers([k1()]));
  const outcomes = await Promise.all(
    Array.from({ length: 200 }, () => stage.outcome(firstToken())),
  );
  assert.deepEqual([...new Set(outcomes)], ['admitted']);
  assert.equal(stage.http.requests.length, 1);
});

test('a token signed with a key that was published since is admitted after one refresh', async () => {
  let keys = [k1()];
  const stage = stageWith(() => answers(keys));
  assert.equal(await stage.outcome(firstToken()), 'admitted');
  keys = [k1(), k2()];
  await pass(10_000);
  const outcomes = await Promise.all(
    Array.from({ length: 50 }, () => stage.outcome(secondToken())),
  );
  assert.deepEqual([...new Set(outcomes)], ['admitted']);
  assert.equal(stage.http.requests.length, 2);
});

test('a thousand unknown kids within one cooldown cause one fetch, and are refused', async () => {
  const stage = stageWith(() => answers([k1()]));
  await stage.outcome(firstToken());
  await pass(10_000);
  const [, rest] = firstToken().split(/\.(.*)/s);
  for (let n = 0; n < 1_000; n += 1) {
    const junk = `${encode({ alg: 'RS256', kid: `junk-${n}` })}.${rest}`;
    assert.equal(await stage.outcome(junk), 'invalidCredentials');
  }
  assert.equal(stage.http.requests.length, 2);
});

test('junk that is dead whoever signed it makes nobody ask for keys', async () => {
  const stage = stageWith(() => answers([k1()]));
  await stage.outcome(firstToken());
  await pass(10_000);
  const header = { alg: 'RS256', kid: 'new' };
  const expired = goodClaims({ iat: 1, exp: 2 });
  for (const token of [
    makeToken({ header, claims: expired }),
    makeToken({ header, claims: goodClaims({ iss: 'https://unknown.example' }) }),
    makeToken({ header: { alg: 'HS256', kid: 'new' } }),
    makeToken({ header: { alg: 'PS256', kid: 'k1' } }),
    makeToken({ header }).replace(/[^.]+$/, ''),
  ])
    assert.equal(await stage.outcome(token), 'invalidCredentials');
  assert.equal(stage.http.requests.length, 1);
});

test('a good set without a key drops it at once: verified tokens of it do not live on in the cache', async () => {
  let keys = [k1(), k2()];
  const stage = stageWith(() => answers(keys));
  assert.equal(await stage.outcome(firstToken()), 'admitted');
  assert.equal(await stage.outcome(secondToken()), 'admitted');
  assert.ok(!(stage.present(firstToken()) instanceof Promise));
  keys = [k2()];
  await pass(300_000);
  assert.equal(stage.http.requests.length, 2);
  assert.equal(await stage.outcome(firstToken()), 'invalidCredentials');
  assert.equal(await stage.outcome(secondToken()), 'admitted');
});

test('another key under a known kid replaces the old one', async () => {
  let keys = [k1()];
  const stage = stageWith(() => answers(keys));
  assert.equal(await stage.outcome(firstToken()), 'admitted');
  keys = [{ ...k2(), kid: 'k1' }];
  await pass(300_000);
  assert.equal(await stage.outcome(firstToken()), 'invalidCredentials');
  const token = makeToken({ key: SECOND.privateKey });
  assert.equal(await stage.outcome(token), 'admitted');
});

test('an unchanged set keeps verified tokens in the cache', async () => {
  const stage = stageWith(() => answers([k1(), k2()]));
  await stage.outcome(firstToken());
  await pass(300_000);
  assert.equal(stage.http.requests.length, 2);
  assert.ok(!(stage.present(firstToken()) instanceof Promise));
});

for (const [what, bad] of [
  ['no keys', () => jsonAnswer({ keys: [] })],
  ['no usable key', () => jsonAnswer({ keys: [{ kty: 'oct', k: 'AAAA' }] })],
  ['no JWK Set', () => jsonAnswer('[]')],
  ['HTML', () => jsonAnswer('<html>')],
  ['cut-off JSON', () => jsonAnswer('{"keys":[{"kty":')],
  ['keys twice', () => jsonAnswer(`{"keys":[],"keys":[${JSON.stringify(k1())}]}`)],
  ['500', () => jsonAnswer({ keys: [k2()] }, 500)],
  ['a redirect', () => jsonAnswer('', 302)],
  [
    'too many keys',
    () =>
      jsonAnswer({ keys: Array.from({ length: 101 }, (_, n) => ({ ...k2(), kid: `k${n + 2}` })) }),
  ],
  ['nothing', () => Promise.reject(new Error('unreachable'))],
] as const)
  test(`a keys endpoint that answers ${what} does not take the good keys away`, async () => {
    let answer: () => HttpAnswer | Promise<HttpAnswer> = () => answers([k1()]);
    const stage = stageWith(() => answer());
    const token = long();
    assert.equal(await stage.outcome(token), 'admitted');
    answer = bad;
    await pass(300_000);
    assert.ok(stage.http.requests.length >= 2);
    assert.equal(await stage.outcome(token), 'admitted');
    const another = makeToken({ claims: goodClaims({ jti: 'another' }) });
    assert.equal(await stage.outcome(another), 'admitted', 'not only from the cache');
    assert.ok(stage.log.lines.some((line) => line.startsWith('WARN [IssuerKeys]')));
  });

test('while the endpoint is down, fifty verifications cause no more than one fetch per pause, and are 503, not 401', async () => {
  const stage = stageWith(() => Promise.reject(new Error('unreachable')));
  const token = firstToken();
  const refusals = await Promise.all(Array.from({ length: 50 }, () => stage.refusal(token)));
  for (const refusal of refusals) {
    assert.equal(refusal?.fault, 'serviceUnavailable');
    assert.ok((refusal?.retryAfterSeconds ?? 0) >= 1);
    assert.equal(refusal?.challenge, undefined);
  }
  assert.equal(stage.http.requests.length, 1);
  for (let second = 0; second < 600; second += 1) {
    await Promise.all(Array.from({ length: 5 }, () => stage.refusal(token)));
    await pass(1_000);
  }
  // Pauses of 1, 2, 4 ... 60 s, each between half and the whole of that.
  const tries = stage.http.requests.length;
  assert.ok(tries >= 12 && tries <= 28, `${tries} tries in ten minutes`);
});

test('a key that is not known while the endpoint is down is 503: it may be new', async () => {
  let answer: () => HttpAnswer | Promise<HttpAnswer> = () => answers([k1()]);
  const stage = stageWith(() => answer());
  assert.equal(await stage.outcome(firstToken()), 'admitted');
  answer = () => Promise.reject(new Error('unreachable'));
  await pass(10_000);
  assert.equal(await stage.outcome(secondToken()), 'serviceUnavailable');
  assert.equal(await stage.outcome(firstToken()), 'admitted');
  answer = () => answers([k1(), k2()]);
  await pass(1_000);
  assert.equal(await stage.outcome(secondToken()), 'admitted');
});

test('keys are used for a day without a successful refresh, and no longer: then it is 503, in the cache or not', async () => {
  let answer: () => HttpAnswer | Promise<HttpAnswer> = () => answers([k1()]);
  const stage = stageWith(() => answer());
  const token = long();
  assert.equal(await stage.outcome(token), 'admitted');
  answer = () => Promise.reject(new Error('unreachable'));
  for (let hour = 0; hour < 24; hour += 1) await pass(3_600_000);
  assert.equal(await stage.outcome(token), 'admitted');
  await pass(301_000);
  assert.equal(await stage.outcome(token), 'serviceUnavailable');
  answer = () => answers([k1()]);
  await pass(60_000);
  assert.equal(await stage.outcome(token), 'admitted');
});

test('a token without kid is verified with the only key that serves its algorithm, and refused when two could be meant', async () => {
  const token = makeToken({ header: { alg: 'RS256' } });
  assert.equal(await stageWith(() => answers([k1()])).outcome(token), 'admitted');
  assert.equal(
    await stageWith(() => answers([k1(), publicJwk('ES256', { kid: 'e' })])).outcome(token),
    'admitted',
  );
  assert.equal(await stageWith(() => answers([k1(), k2()])).outcome(token), 'invalidCredentials');
});

test('a set is used without its bad keys, and without keys that share kid and algorithm', async () => {
  const set = [
    null,
    7,
    { kty: 'RSA' },
    { ...k2(), use: 'enc' },
    { ...k2(), kid: 'twice' },
    publicJwk('RS256', { kid: 'twice' }),
    k1(),
  ];
  const stage = stageWith(() => answers(set as object[]));
  assert.equal(await stage.outcome(firstToken()), 'admitted');
  const twice = makeToken({ header: { alg: 'RS256', kid: 'twice' } });
  assert.equal(await stage.outcome(twice), 'invalidCredentials');
});

test('the fetch is bounded in time and size, and its URL is logged without credentials', async () => {
  const stage = new Stage(
    {
      issuers: [
        {
          issuer: ISSUER,
          keys: { kind: 'jwks', url: 'https://user:secret@issuer.example/jwks?key=secret' },
        },
      ],
    },
    () => Promise.reject(new Error('unreachable')),
  );
  open.push(stage);
  await stage.outcome(firstToken());
  const [request] = stage.http.requests;
  assert.equal(request?.timeoutMs, 5_000);
  assert.equal(request?.maxBytes, 256 * 1_024);
  assert.equal(
    stage.log.lines.some((line) => line.includes('secret')),
    false,
  );
  assert.equal(
    stage.log.lines.some((line) => line.includes('issuer.example')),
    true,
  );
});

test('close ends the fetch in flight and all later ones', async () => {
  let aborted = false;
  const stage = new Stage(
    { issuers: [{ issuer: ISSUER, keys: { kind: 'jwks', url: URL_OF_KEYS } }] },
    ({ signal }) =>
      new Promise((_, reject) => {
        signal?.addEventListener('abort', () => {
          aborted = true;
          reject(new Error('aborted'));
        });
      }),
  );
  const waiting = stage.refusal(firstToken());
  await stage.authenticator.close();
  assert.equal(aborted, true);
  assert.equal((await waiting)?.fault, 'serviceUnavailable');
  await pass(600_000);
  assert.equal(stage.http.requests.length, 1);
});
