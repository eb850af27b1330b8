import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { startEtcd } from '../support/etcd.ts';
import { startEventHub } from '../support/event-hub.ts';
import { claimsOf, testIssuer } from '../support/issuer.ts';
import {
  buildPetstore,
  owned,
  send,
  startGateway,
  temporaryFolder,
  type Gateway,
} from '../support/product.ts';
import { publish, revocationMessage } from '../support/publish.ts';
import { startRabbitmq } from '../support/rabbitmq.ts';
import { until } from '../support/until.ts';

const file = { after };
const { artifact } = await buildPetstore(file);
const issuer = testIssuer();
const MEBIBYTE = 1_048_576;
/** More than a gateway with an empty list needs, and less than what it must not keep. */
const MEMORY_BOUND = 400 * MEBIBYTE;
const MEMORY = 'portcullis_resident_memory_bytes';

/** Ids that somebody may take for another one: those of a pair are the same to a program that is not exact. */
const PAIRS: readonly (readonly [revoked: string, other: string])[] = [
  ['a\u0000b', 'a'],
  ['c\u0000', 'c'],
  ['d/e', 'd'],
  ['../f', 'f'],
  ['__proto__', 'constructor'],
  ['toString', '__proto__x'],
  ['\u00e9', 'e\u0301'],
  ['A\u030a', '\u00c5'],
  ['Ab', 'aB'],
  ['%41', 'A'],
  ['1e3', '1000'],
];

async function assertExact(gateway: Gateway, prefix: string): Promise<void> {
  for (const [revoked, other] of PAIRS) {
    const shown = JSON.stringify([revoked, other]);
    await gateway.untilStatus(issuer.token({ jti: prefix + revoked }), 401);
    assert.equal((await gateway.call(issuer.token({ jti: prefix + other }))).status, 200, shown);
  }
}

test('ids are taken as their exact bytes, by the topic and the operator; what is too long is refused', async (t) => {
  const broker = await startRabbitmq();
  owned(t, () => broker.stop());
  const gateway = await startGateway(t, {
    artifact,
    issuers: [issuer],
    config: `[server]
      threads = 2
    [tokenRevocationConfig.realtime]
      enableRealtimeMessageRetrieval = true
      jmsConnectionProviderUrl = "amqp://guest:guest@carbon/?brokerlist='tcp://127.0.0.1:${broker.port}'"`,
  });
  await gateway.untilReady();
  await gateway.program.said(/subscriber service for token revocation is started/);
  const long = 'x'.repeat(MEBIBYTE);

  // A bare id, and one behind something, so that a member named __proto__ is not all that is tried.
  for (const prefix of ['', 'topic-']) {
    const named = PAIRS.map(([revoked]) => revocationMessage(prefix + revoked));
    await publish(broker, revocationMessage(long), ...named);
    await assertExact(gateway, prefix);
  }
  const dropped = 'portcullis_source_drops_total{source="realtime",reason="body is too large"}';
  assert.equal(await gateway.metric(dropped), 2);

  for (const [revoked] of PAIRS) {
    const made = await gateway.operator('POST', '/revocations', { token: `operator-${revoked}` });
    assert.equal(made.status, 201, JSON.stringify([revoked, made.json]));
    assert.ok(!JSON.stringify(made.json).includes('operator-'), 'it is not shown');
  }
  await assertExact(gateway, 'operator-');
  for (const body of [{ token: long }, { subject: long }, { claims: { [long]: 'x' } }]) {
    const refused = await gateway.operator('POST', '/revocations', body);
    assert.equal(refused.status, 413);
    assert.ok(JSON.stringify(refused.json).length < 1_000);
  }

  // A computed name is a member of its own, also when it is called __proto__.
  const claims = (text: string) => ({ ['__proto__']: text, 'a/b': 'c\u0000d' });
  const rule = await gateway.operator('POST', '/revocations', { claims: claims('e\u0301') });
  assert.equal(rule.status, 201, JSON.stringify(rule.json));
  assert.equal((await gateway.call(issuer.token(claims('e\u0301')))).status, 401);
  assert.equal((await gateway.call(issuer.token(claims('\u00e9')))).status, 200);
  assert.equal((await gateway.call(issuer.token())).status, 200);
  assert.doesNotMatch(gateway.program.output(), /x{1000}/);
  assert.ok(((await gateway.metric(MEMORY)) ?? Infinity) < MEMORY_BOUND);
});

test('a rule that is rejected is answered with 400 and the field that is to be mended', async (t) => {
  const gateway = await startGateway(t, { artifact, issuers: [issuer] });
  const now = Date.now();
  const HOUR = 3_600_000;
  const rejected: readonly (readonly [body: object, field: string])[] = [
    [{}, 'token'],
    [{ token: '' }, 'token'],
    [{ subject: '' }, 'subject'],
    [{ subject: ' ' }, 'subject'],
    [{ subject: 'x'.repeat(2_000) }, 'subject'],
    [{ session: 7 }, 'session'],
    [{ client: null }, 'client'],
    [{ claims: {} }, 'claims'],
    [{ claims: [] }, 'claims'],
    [{ claims: { '': 'x' } }, 'claims.'],
    [{ claims: { aud: '' } }, 'claims.aud'],
    [{ claims: { aud: ['x'] } }, 'claims.aud'],
    [{ claims: { ['x'.repeat(2_000)]: 'x' } }, `claims.${'x'.repeat(63)}…`],
    [{ claims: { iss: 'https://issuer.example' } }, 'claims.iss'],
    [{ claims: { sub: 'x' }, subject: 'x' }, 'claims.sub'],
    [{ issuer: issuer.issuer }, 'issuedBefore'],
    [{ subject: 'x', issuedBefore: now + HOUR }, 'issuedBefore'],
    [{ subject: 'x', issuedBefore: 1 }, 'issuedBefore'],
    [{ subject: 'x', issuedBefore: Math.floor(now / 1_000) }, 'issuedBefore'],
    [{ subject: 'x', issuedBefore: '2020-01-01T00:00:00Z' }, 'issuedBefore'],
    [{ subject: 'x', issuedBefore: 'yesterday' }, 'issuedBefore'],
    [{ subject: 'x', issuedBefore: now, endsAt: now - 1 }, 'endsAt'],
    [{ subject: 'x', issuedBefore: now - HOUR, endsAt: now - 1 }, 'endsAt'],
    [{ subject: 'x', endsAt: -1 }, 'endsAt'],
    [{ token: 'x', subject: 'y' }, 'subject'],
    [{ subject: 'x', until: now }, 'until'],
    [{ subject: 'x', wait: 'disk' }, 'wait'],
    [{ subject: 'x', reason: 'x'.repeat(300) }, 'reason'],
  ];
  for (const [body, field] of rejected) {
    const { status, json } = await gateway.operator('POST', '/revocations', body);
    assert.deepEqual([status, json['field']], [400, field], JSON.stringify([body, json]));
  }
  const list = await gateway.operator('GET', '/revocations');
  assert.deepEqual(list.json['revocations'], [], 'nothing of all that was taken');
  assert.equal((await gateway.call(issuer.token({ sub: 'x' }))).status, 200);
});

describe('a store with more than maxEntries', () => {
  const MAX = 1_000;
  // Memory is what a thread takes, times the threads: not as many as this machine has cores.
  const limits = `[server]
      threads = 2
    [tokenRevocationConfig]
      maxStaleness = "2s"
      maxEntries = ${MAX}`;

  /** Closed, and says why, everywhere. */
  async function assertClosed(gateway: Gateway, known: string, good: string): Promise<void> {
    await gateway.untilStatus(good, 503);
    assert.equal((await gateway.call(known)).status, 401, 'what is known is refused all the same');
    assert.equal((await send(`${gateway.http}/ready`)).status, 503);
    await until(async () => {
      const { status, json } = await gateway.operator('GET', '/ready');
      assert.equal(status, 503);
      const said = JSON.stringify(json);
      assert.match(said, /"source":"persistent"/);
      return /maxEntries/.test(said);
    }, 'readiness names the limit');
    await gateway.program.said(/persistent is not followed: [^\n]*maxEntries/);
    assert.equal(await gateway.metric('portcullis_ready'), 0);
    assert.ok(((await gateway.metric('portcullis_revocation_entries_max')) ?? 0) === MAX);
    const entries = await gateway.metric('portcullis_revocation_entries{kind="token"}');
    assert.ok((entries ?? Infinity) <= MAX, `${entries} entries`);
    assert.ok(((await gateway.metric(MEMORY)) ?? Infinity) < MEMORY_BOUND);
  }

  test("WSO2's list: closed until it is shorter, or the limit is higher", async (t) => {
    const known = issuer.token();
    const expiry_time = Date.now() + 3_600_000;
    const listOf = (count: number): string =>
      JSON.stringify([
        ...Array.from({ length: count - 1 }, (_, i) => ({ jwt_signature: `t${i}`, expiry_time })),
        { jwt_signature: claimsOf(known).jti, expiry_time },
      ]);
    let body = listOf(10);
    const hub = await startEventHub(t, (_, response) => {
      response.setHeader('content-type', 'application/json');
      response.end(body);
    });
    const home = await temporaryFolder(t);
    const config = `${limits}
      ${hub.config()}`;
    const gateway = await startGateway(t, { artifact, issuers: [issuer], home, config });
    await gateway.untilReady();
    const good = issuer.token();
    assert.equal((await gateway.call(good)).status, 200);

    const late = issuer.token({ jti: 't99999' });
    body = listOf(200_000);
    await assertClosed(gateway, known, good);
    assert.equal((await gateway.call(late)).status, 503, 'never let through');

    body = listOf(MAX - 1);
    await gateway.untilReady();
    assert.equal((await gateway.call(good)).status, 200);
    assert.equal((await gateway.call(issuer.token({ jti: 't997' }))).status, 401);

    body = listOf(3 * MAX);
    await assertClosed(gateway, known, good);
    assert.equal(await gateway.stop(), 0);
    const raised = await startGateway(t, {
      artifact,
      issuers: [issuer],
      home,
      config: config.replace(`maxEntries = ${MAX}`, `maxEntries = ${4 * MAX}`),
    });
    await raised.untilReady();
    assert.equal((await raised.call(issuer.token({ jti: 't2998' }))).status, 401);
    assert.equal(await raised.stop(), 0);

    // What was learnt does not fit any more: not even for the time that it is fresh for.
    const lowered = await startGateway(t, { artifact, issuers: [issuer], home, config });
    await assertClosed(lowered, known, good);
  });

  test('etcd: closed when it is found so, and when it becomes so while it is watched', async (t) => {
    const etcd = await startEtcd();
    owned(t, () => etcd.close());
    const base64 = (text: string): string => Buffer.from(text).toString('base64');
    const put = async (from: number, to: number): Promise<void> => {
      for (let at = from; at < to; at += 100) {
        const success = Array.from({ length: Math.min(100, to - at) }, (_, i) => ({
          request_put: { key: base64(`jti/e${at + i}`), value: base64('') },
        }));
        await etcd.call('/kv/txn', { success });
      }
    };
    const known = issuer.token({ jti: 'e5' });
    const good = issuer.token();
    await put(0, MAX - 100);
    const gateway = await startGateway(t, {
      artifact,
      issuers: [issuer],
      config: `${limits}
        [tokenRevocationConfig.persistent]
          enablePersistentStorageRetrieval = true
          type = "etcd"
          endpointURL = "${etcd.url}/v3/keys/jti/"`,
    });
    await gateway.untilReady();
    assert.equal((await gateway.call(good)).status, 200);

    await put(MAX - 100, MAX + 200);
    await assertClosed(gateway, known, good);
    assert.notEqual((await gateway.call(issuer.token({ jti: `e${MAX + 199}` }))).status, 200);
    // What is deleted there stays revoked here (nothing a store says revives a token), but the list has room for all that is left.
    await etcd.call('/kv/deleterange', {
      key: base64(`jti/e${MAX}`),
      range_end: base64(`jti/f`),
    });
    await gateway.untilReady();
    assert.equal((await gateway.call(good)).status, 200);
    assert.equal((await gateway.call(known)).status, 401);
  });
});
