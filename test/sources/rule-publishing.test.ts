import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { createHttpClient } from '../../src/net/http-client.ts';
import { parseRule } from '../../src/revocation/parse-rule.ts';
import { nameOfRule, type Rule, type RuleKind } from '../../src/revocation/rule.ts';
import type {
  OutgoingRule,
  RevocationPublisher,
  RevocationSource,
} from '../../src/revocation/source.ts';
import { createAmqpPublisher } from '../../src/sources/amqp-publisher.ts';
import { createAmqpSource } from '../../src/sources/amqp.ts';
import { createEtcdPublisher } from '../../src/sources/etcd-publisher.ts';
import { createEtcdSource } from '../../src/sources/etcd.ts';
import { startEtcd, type Etcd } from '../support/etcd.ts';
import { startRabbitmq } from '../support/rabbitmq.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { Following, type CollectingSink } from './conformance.ts';

const HOUR = 3_600_000;
const NOW = Date.now();
const KINDS: readonly RuleKind[] = ['subject', 'session', 'client', 'issuer', 'claims', 'lift'];
const POLICY = {
  ttlUnit: 'auto',
  longestTokenLifeMs: 24 * HOUR,
  clockSkewMs: 60_000,
  rules: new Set(KINDS),
} as const;

/** Rules of every kind and a lift, with text that a careless key, path or message changes or loses. */
function outgoingRules(): readonly OutgoingRule[] {
  const made = (
    claims: Rule['claims'],
    issuer: string | null = null,
    action: OutgoingRule['action'] = 'revoke',
  ): OutgoingRule => ({
    eventId: randomUUID(),
    action,
    rule: { issuer, claims, issuedBeforeMs: NOW - HOUR, endsAtMs: NOW + HOUR },
  });
  const awkward = '/a//b/../_?x=1&y#%2F+ \u0000\u{1f512}\u00e9e\u0301"\\';
  return [
    made([['sub', 'alice']]),
    made([['sub', awkward]], 'https://idp.example/a?b'),
    made([['client', 'key']]),
    made([['sid', awkward]]),
    made([], awkward),
    made([
      ['__proto__', awkward],
      ['aud', 'a'],
      ['tenant', '5'],
    ]),
    made([['sub', 'x'.repeat(1024)]]),
    made([['sub', 'alice']], null, 'lift'),
  ];
}

const key = ({ action, rule }: Pick<OutgoingRule, 'action' | 'rule'>): string =>
  `${action} ${nameOfRule(rule)} ${rule.issuedBeforeMs}`;

/** What a gateway made of everything that it heard. */
function heard(sink: CollectingSink): Map<string, Rule> {
  const made = new Map<string, Rule>();
  for (const event of sink.rules) {
    const parsed = parseRule(event, POLICY, Date.now());
    if (parsed.action === 'revoke')
      for (const rule of parsed.rules) made.set(key({ action: 'revoke', rule }), rule);
    else if (parsed.action === 'lift')
      for (const rule of parsed.lifts) made.set(key({ action: 'lift', rule }), rule);
    else assert.fail(JSON.stringify(parsed));
  }
  return made;
}

/** Publishes all of them and waits until a gateway has them, exactly, and nothing else. */
async function arrives(
  outgoing: readonly OutgoingRule[],
  publisher: RevocationPublisher,
  source: RevocationSource,
): Promise<void> {
  const following = new Following({ source, close: () => Promise.resolve() });
  try {
    await following.complete();
    for (const rule of outgoing) {
      await publisher.publishRule?.(rule);
      await following.until((sink) => heard(sink).has(key(rule)), `${key(rule)} arrived`);
    }
    assertExact(outgoing, following.sink);
  } finally {
    await following.stop();
  }
}

function assertExact(outgoing: readonly OutgoingRule[], sink: CollectingSink): void {
  const made = heard(sink);
  assert.deepEqual([...made.keys()].sort(), outgoing.map(key).sort());
  for (const { action, rule } of outgoing)
    if (action === 'revoke') assert.deepEqual(made.get(key({ action, rule })), rule);
  assert.deepEqual(sink.events, [], 'no rule was taken for a token');
  assert.deepEqual(sink.drops, []);
}

describe('rules over a broker', { timeout: 120_000 }, () => {
  let broker: Awaited<ReturnType<typeof startRabbitmq>>;
  before(async () => {
    broker = await startRabbitmq({});
  });
  after(() => broker?.stop());

  it('reach another gateway as they were made', async () => {
    const providerUrl = `amqp://guest:guest@gateway/?brokerlist='tcp://127.0.0.1:${broker.port}'`;
    const options = { name: 'amqp', topic: 'tokenRevocation', providerUrl };
    const publisher = createAmqpPublisher(options, recordedLog());
    try {
      await arrives(outgoingRules(), publisher, createAmqpSource(options, recordedLog()));
    } finally {
      await publisher.close();
    }
  });
});

describe('rules over etcd', { timeout: 120_000 }, () => {
  let etcd: Etcd;
  before(async () => {
    etcd = await startEtcd({ v2: true });
  });
  after(() => etcd?.close());

  for (const api of ['v2', 'v3'] as const)
    it(`reach another gateway as they were made, at once and later (API ${api})`, async () => {
      const outgoing = outgoingRules();
      const http = createHttpClient({});
      const options = { name: 'etcd', urls: `${etcd.url}/${api}/keys/jti/`, http };
      const publisher = createEtcdPublisher(options);
      const source = () => createEtcdSource({ ...options, log: recordedLog() });
      try {
        await arrives(outgoing, publisher, source());
        const later = new Following({ source: source(), close: () => Promise.resolve() });
        try {
          await later.complete();
          assertExact(outgoing, later.sink);
        } finally {
          await later.stop();
        }
      } finally {
        await publisher.close();
        await http.close();
      }
    });

  it("are read from keys as WSO2's API Manager writes them", async () => {
    const dir = `d${randomUUID().slice(0, 8)}`;
    const http = createHttpClient({});
    // The text of this one has a slash in it, and WSO2 puts it into the URL as it is.
    const consumerKey = '???>>>\u{1f512}\u{1f513}???';
    const time = String(NOW);
    const text = Buffer.from(JSON.stringify({ consumerKey, revocationTime: time }));
    const blob = text.toString('base64');
    assert.match(blob, /\//);
    const { status } = await etcd.callV2('PUT', `/v2/keys/${dir}/${blob}`, 'value=true&ttl=3600');
    assert.equal(status, 201);
    const source = createEtcdSource({
      name: 'etcd',
      urls: `${etcd.url}/v2/keys/${dir}/`,
      http,
      log: recordedLog(),
    });
    const following = new Following({ source, close: () => http.close() });
    try {
      await following.complete();
      assert.deepEqual(following.sink.rules, [
        { action: 'revoke', claims: { client: consumerKey }, issuedBefore: time },
      ]);
      assert.deepEqual(following.sink.events, []);
    } finally {
      await following.stop();
    }
  });
});
