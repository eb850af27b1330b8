import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { IssuerKeySets } from '../../src/auth/issuer-key-sets.ts';
import type { KeySetText, KeySetTimings } from '../../src/auth/remote-key-set.ts';
import { SharedKeyRing, type KeyRenewal } from '../../src/auth/shared-key-ring.ts';
import type { HttpAnswer } from '../../src/net/http-client.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { FakeHttp, ISSUER, jsonAnswer, publicJwk } from './stage.ts';

const URL_OF_KEYS = 'https://issuer.example/jwks';
const second = generateKeyPairSync('rsa', { modulusLength: 2_048 }).publicKey;
const k1 = (): object => publicJwk('RS256', { kid: 'k1' });
const k2 = (): object => ({ ...second.export({ format: 'jwk' }), kid: 'k2' });

/** One issuer's keys, read on one side and used on another, as between two threads; the clock is the test's. */
function pair(
  t: TestContext,
  answer: () => HttpAnswer | Promise<HttpAnswer>,
  options: {
    timings?: KeySetTimings;
    initial?: KeySetText;
    onRead?: (read: KeySetText) => void;
  } = {},
) {
  let nowMs = 1_000_000;
  const monotonicNow = (): number => nowMs;
  const http = new FakeHttp(answer);
  const log = recordedLog();
  let questions = 0;
  const { initial, onRead, timings } = options;
  const keySets: IssuerKeySets = new IssuerKeySets({
    issuers: [
      {
        issuer: ISSUER,
        keys: {
          kind: 'jwks',
          url: URL_OF_KEYS,
          ...(timings === undefined ? {} : { timings }),
          ...(initial === undefined ? {} : { initial }),
          ...(onRead === undefined ? {} : { onRead }),
        },
      },
    ],
    http,
    log,
    monotonicNow,
    onReading: (issuer, reading) => {
      assert.equal(issuer, ISSUER);
      ring.take(reading);
    },
  });
  t.after(() => keySets.close());
  const ring = new SharedKeyRing({
    reading: keySets.readings.get(ISSUER),
    ask: () => {
      questions += 1;
      return keySets.renew(ISSUER);
    },
    monotonicNow,
  });
  return {
    ring,
    keySets,
    http,
    log,
    questions: () => questions,
    pass: (ms: number) => {
      nowMs += ms;
    },
  };
}

const answers = (keys: readonly object[]): HttpAnswer => jsonAnswer({ keys });

test('a set that was read is used on the other side', async (t) => {
  const { ring } = pair(t, () => answers([k1()]));
  assert.equal(ring.lookUp('RS256', 'k1').outcome, 'absent');
  assert.deepEqual(await ring.renew(), { outcome: 'current' });
  assert.equal(ring.lookUp('RS256', 'k1').outcome, 'key');
  assert.equal(ring.lookUp('RS256', 'k2').outcome, 'absent');
  assert.ok(ring.counts(ring.generation));
});

test('a key that was dropped ends the generation on the other side, a key that came does not', async (t) => {
  let keys = [k1(), k2()];
  const { ring, pass } = pair(t, () => answers(keys));
  await ring.renew();
  const { generation } = ring;
  keys = [k1()];
  pass(10_000);
  await ring.renew();
  assert.equal(ring.counts(generation), false);
  assert.equal(ring.lookUp('RS256', 'k2').outcome, 'absent');
  const { generation: next } = ring;
  keys = [k1(), k2()];
  pass(10_000);
  await ring.renew();
  assert.ok(ring.counts(next));
  assert.equal(ring.lookUp('RS256', 'k2').outcome, 'key');
});

test('a thousand unknown keys at once ask once; while the answer holds, nobody asks', async (t) => {
  const { ring, questions, http, pass } = pair(t, () => answers([k1()]));
  await ring.renew();
  pass(10_000);
  const before = questions();
  const renewals = await Promise.all(Array.from({ length: 1_000 }, () => ring.renew()));
  assert.deepEqual([...new Set(renewals.map(({ outcome }) => outcome))], ['current']);
  assert.equal(questions(), before + 1);
  for (let n = 0; n < 1_000; n++) await ring.renew();
  assert.equal(questions(), before + 1);
  assert.equal(http.requests.length, 2);
  pass(10_000);
  await ring.renew();
  assert.equal(questions(), before + 2);
});

test('an issuer that cannot be reached is not asked again before its pause is over', async (t) => {
  const { ring, questions, pass } = pair(t, () => Promise.reject(new Error('unreachable')));
  const renewal = await ring.renew();
  assert.equal(renewal.outcome, 'unavailable');
  assert.ok(renewal.outcome === 'unavailable' && renewal.retryAfterMs > 0);
  await ring.renew();
  assert.equal(questions(), 1);
  pass(60_000);
  await ring.renew();
  assert.equal(questions(), 2);
});

test('keys that came meanwhile end an answer that there are none', async (t) => {
  let reachable = false;
  const { ring, keySets, pass } = pair(t, () =>
    reachable ? answers([k1()]) : Promise.reject(new Error('unreachable')),
  );
  assert.equal((await ring.renew()).outcome, 'unavailable');
  reachable = true;
  pass(1_000);
  assert.equal((await keySets.renew(ISSUER)).renewal.outcome, 'current');
  assert.deepEqual(await ring.renew(), { outcome: 'current' });
});

test('keys are too old on both sides at the same moment', async (t) => {
  let reachable = true;
  const timings = { refreshMs: 1_000_000, maxStaleMs: 5_000_000, cooldownMs: 1_000 };
  const { ring, pass } = pair(
    t,
    () => (reachable ? answers([k1()]) : Promise.reject(new Error('unreachable'))),
    { timings },
  );
  await ring.renew();
  reachable = false;
  pass(6_000_000);
  assert.equal(ring.lookUp('RS256', 'k1').outcome, 'key');
  assert.ok(ring.counts(ring.generation));
  pass(1);
  assert.equal(ring.lookUp('RS256', 'k1').outcome, 'absent');
  assert.equal(ring.counts(ring.generation), false);
  assert.equal((await ring.renew()).outcome, 'unavailable');
});

test('who gets no answer waits no longer than it may, and is told to come back', async () => {
  const silent = new SharedKeyRing({
    reading: undefined,
    ask: () => new Promise<KeyRenewal>(() => undefined),
    monotonicNow: () => 0,
    waitMs: 20,
  });
  assert.deepEqual(await silent.renew(), { outcome: 'unavailable', retryAfterMs: 2_000 });
  const broken = new SharedKeyRing({
    reading: undefined,
    ask: () => Promise.reject(new Error('gone')),
    monotonicNow: () => 0,
  });
  assert.deepEqual(await broken.renew(), { outcome: 'unavailable', retryAfterMs: 2_000 });
});

test('a set that cannot be read leaves the one before', async (t) => {
  const { ring } = pair(t, () => answers([k1()]));
  await ring.renew();
  ring.take({ text: 'garbage', generation: 99, usableUntilMs: Number.POSITIVE_INFINITY });
  assert.equal(ring.lookUp('RS256', 'k1').outcome, 'key');
  assert.notEqual(ring.generation, 99);
});

test('a kept set is used before the issuer can be reached, for no longer than keys may be', async (t) => {
  const text = JSON.stringify({ keys: [k1()] });
  const timings = { refreshMs: 60_000, maxStaleMs: 3_600_000 };
  const unreachable = (): Promise<HttpAnswer> => Promise.reject(new Error('unreachable'));
  for (const [ageMs, outcome] of [
    [0, 'key'],
    [3_000_000, 'key'],
    [-3_000_000, 'key'],
    [3_700_000, 'absent'],
    [Number.NaN, 'absent'],
  ] as const) {
    const initial = { text, readAtMs: Date.now() - ageMs };
    const { ring } = pair(t, unreachable, { timings, initial });
    assert.equal(ring.lookUp('RS256', 'k1').outcome, outcome, String(ageMs));
  }
  const { ring, pass } = pair(t, unreachable, {
    timings,
    initial: { text, readAtMs: Date.now() - 3_000_000 },
  });
  pass(700_000);
  assert.equal(ring.lookUp('RS256', 'k1').outcome, 'absent');
  const { ring: other, log } = pair(t, unreachable, {
    timings,
    initial: { text: '{"keys":[]}', readAtMs: Date.now() },
  });
  assert.equal(other.lookUp('RS256', 'k1').outcome, 'absent');
  assert.match(log.lines.join('\n'), /WARN \[IssuerKeys\].*kept keys of issuer .* cannot be used/);
});

test('each set that was taken is told, with the time of its reading; one that was not is not', async (t) => {
  const read: KeySetText[] = [];
  let keys: readonly object[] = [k1()];
  const { ring, pass } = pair(t, () => answers(keys), { onRead: (text) => read.push(text) });
  const before = Date.now();
  await ring.renew();
  keys = [];
  pass(10_000);
  await ring.renew();
  assert.equal(read.length, 1);
  assert.ok((read[0]?.readAtMs ?? 0) >= before);
  assert.equal(read[0]?.text, JSON.stringify({ keys: [k1()] }));
});

test('what is weak in the configuration is said by whoever reads the keys', (t) => {
  const { log } = pair(t, () => answers([k1()]));
  assert.deepEqual(log.lines, []);
  const said = recordedLog();
  const keySets = new IssuerKeySets({
    issuers: [{ issuer: ISSUER, keys: { kind: 'jwks', url: 'http://issuer.example/jwks' } }],
    http: new FakeHttp(() => answers([k1()])),
    log: said,
    monotonicNow: () => 0,
    onReading: () => undefined,
  });
  t.after(() => keySets.close());
  assert.match(said.lines.join(), /issuer\.example is called without TLS/);
  assert.throws(
    () =>
      new IssuerKeySets({
        issuers: [{ issuer: ISSUER, keys: { kind: 'jwks', url: 'no url' } }],
        http: new FakeHttp(),
        log: said,
        monotonicNow: () => 0,
        onReading: () => undefined,
      }),
    { code: 'ERR_ISSUER_KEY' },
  );
});
