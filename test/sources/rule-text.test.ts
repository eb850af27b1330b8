import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseRule } from '../../src/revocation/parse-rule.ts';
import type { Lift, Rule, RuleKind } from '../../src/revocation/rule.ts';
import { writeAmqpMap } from '../../src/sources/decode/amqp-map.ts';
import { readRevocationMessage } from '../../src/sources/decode/revocation-message.ts';
import {
  MAX_RULE_TEXT_LENGTH,
  readRuleText,
  ruleEventOf,
  writeRuleText,
} from '../../src/sources/decode/rule-text.ts';
import { deliverEntry, tokensOfV2Key, v2KeyName } from '../../src/sources/etcd-entry.ts';
import { StreamReader } from '../../src/sources/event-stream-reader.ts';
import { CollectingSink } from './conformance.ts';

const NOW = Date.parse('2026-11-22T12:00:00Z');
const HOUR = 3_600_000;
const KINDS: readonly RuleKind[] = ['subject', 'session', 'client', 'issuer', 'claims', 'lift'];
const POLICY = {
  ttlUnit: 'auto',
  longestTokenLifeMs: 24 * HOUR,
  clockSkewMs: 60_000,
  rules: new Set(KINDS),
} as const;

const base64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64');
const objectOf = (text: string): unknown =>
  JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));

function rule(claims: readonly (readonly [string, string])[], issuer: string | null = null): Rule {
  return { issuer, claims, issuedBeforeMs: NOW - HOUR, endsAtMs: NOW + HOUR };
}

/** Everything that a rule can be, names and values of any text included. */
const anyRule: fc.Arbitrary<Rule> = fc.record(
  {
    issuer: fc.option(fc.string({ minLength: 1, unit: 'binary' })),
    claims: fc
      .dictionary(
        fc.oneof(
          fc.constantFrom('sub', 'sid', 'client', 'aud', '__proto__', 'constructor'),
          fc.string({ minLength: 1, unit: 'binary' }),
        ),
        fc.oneof(
          fc.string({ minLength: 1, unit: 'binary' }),
          fc.constantFrom('\ud800', 'a\u0000/b'),
        ),
        { maxKeys: 8 },
      )
      .map((object) =>
        Object.keys(object)
          .filter((name) => name !== 'iss')
          .sort()
          .map((name) => [name, object[name] ?? ''] as const),
      ),
    issuedBeforeMs: fc.integer({ min: NOW - HOUR, max: NOW }),
    endsAtMs: fc.integer({ min: NOW + 1, max: NOW + HOUR }),
  },
  { noNullPrototype: true },
);

function read(text: string, action: 'revoke' | 'lift'): readonly (Rule | Lift)[] {
  const reading = readRuleText(text);
  assert.ok(reading?.kind === 'rule');
  const parsed = parseRule(reading.event, POLICY, NOW);
  if (action === 'lift')
    return parsed.action === 'lift' ? parsed.lifts : assert.fail(parsed.action);
  return parsed.action === 'revoke' ? parsed.rules : assert.fail(JSON.stringify(parsed));
}

describe('the text of a rule', () => {
  it("is WSO2's for a client and a subject, with what only we know beside it", () => {
    const client = writeRuleText({ action: 'revoke', rule: rule([['client', 'key']]) });
    assert.equal(client.type, 'consumer_app_revocation');
    assert.deepEqual(objectOf(client.text), {
      consumerKey: 'key',
      revocationTime: String(NOW - HOUR),
      endsAt: String(NOW + HOUR),
    });
    const subject = writeRuleText({ action: 'revoke', rule: rule([['sub', 'alice']], 'i') });
    assert.equal(subject.type, 'subject_entity_revocation');
    assert.deepEqual(objectOf(subject.text), {
      entityId: 'alice',
      entityType: 'USER_ID',
      revocationTime: String(NOW - HOUR),
      issuer: 'i',
      endsAt: String(NOW + HOUR),
    });
  });

  it("is never WSO2's for anything else, a lift above all: WSO2 would revoke", () => {
    for (const outgoing of [
      { action: 'lift', rule: rule([['client', 'key']]) },
      { action: 'lift', rule: rule([['sub', 'alice']]) },
      { action: 'revoke', rule: rule([['sid', 's']]) },
      { action: 'revoke', rule: rule([], 'i') },
      {
        action: 'revoke',
        rule: rule([
          ['client', 'key'],
          ['sub', 'alice'],
        ]),
      },
    ] as const) {
      const { type, text } = writeRuleText(outgoing);
      assert.equal(type, 'portcullis_rule');
      const names = Object.keys(objectOf(text) as object);
      for (const name of ['consumerKey', 'entityId', 'entityType', 'revocationTime'])
        assert.ok(!names.includes(name), name);
    }
  });

  it('comes back as the very rule, whatever it names', () => {
    fc.assert(
      fc.property(anyRule, (rule) => {
        if (rule.claims.length === 0 && rule.issuer === null) return;
        const { text } = writeRuleText({ action: 'revoke', rule });
        assert.deepEqual(read(text, 'revoke'), [rule]);
        const [lift, ...more] = read(writeRuleText({ action: 'lift', rule }).text, 'lift');
        assert.equal(more.length, 0);
        assert.deepEqual({ ...lift, endsAtMs: rule.endsAtMs }, rule);
      }),
    );
  });

  it('of a lift names what sources said of a cut-off in the future, and no rule does', () => {
    const far = [NOW + 1_000 * HOUR, NOW + HOUR];
    const alice = { ...rule([['sub', 'alice']]), said: far };
    const { text } = writeRuleText({ action: 'lift', rule: alice });
    assert.deepEqual((objectOf(text) as Record<string, unknown>)['saidBefore'], far.map(String));
    const [lift] = read(text, 'lift') as Lift[];
    assert.deepEqual(lift?.said, far);
    assert.ok(lift.endsAtMs > NOW + 30 * 24 * HOUR, 'it outlasts what may be said again');
    const { text: revoked } = writeRuleText({ action: 'revoke', rule: alice });
    assert.ok(!Object.hasOwn(objectOf(revoked) as object, 'saidBefore'));
  });

  it('comes back through a message and through a key of either API', () => {
    fc.assert(
      fc.property(anyRule, fc.constantFrom('revoke' as const, 'lift' as const), (rule, action) => {
        const { type, text } = writeRuleText({ action, rule });
        const expected = readRuleText(text);
        const body = writeAmqpMap(
          new Map<string, string | number | bigint>([
            ['eventId', 'x'],
            ['revokedToken', text],
            ['ttl', '3600'],
            ['expiryTime', 0n],
            ['type', type],
            ['tenantId', -1234],
          ]),
        );
        assert.deepEqual(readRevocationMessage({ body, contentType: 'amqp/map' }), expected);
        for (const names of [[text], tokensOfV2Key(v2KeyName(text))]) {
          const sink = new CollectingSink();
          deliverEntry(sink, names, { ttl: '3600' });
          assert.deepEqual(sink.rules, expected?.kind === 'rule' ? [expected.event] : undefined);
          assert.deepEqual(sink.events, []);
        }
      }),
    );
  });

  it('is refused where it would fit into no message', () => {
    const long = '\u0001'.repeat(1024);
    const claims = Array.from({ length: 8 }, (_, i) => [`${i}${long.slice(1)}`, long] as const);
    assert.throws(
      () => writeRuleText({ action: 'revoke', rule: rule(claims) }),
      /^Error: the rule is too long to be published$/,
    );
    const most = Array.from({ length: 8 }, (_, i) => [`${i}${'n'.repeat(1023)}`, 'v'.repeat(1024)]);
    const { text } = writeRuleText({
      action: 'revoke',
      rule: rule(most as [string, string][], 'i'.repeat(1024)),
    });
    assert.ok(text.length <= MAX_RULE_TEXT_LENGTH);
    assert.equal(readRuleText(text)?.kind, 'rule');
  });
});

describe("WSO2's rules", () => {
  it('are read in every spelling', () => {
    const time = String(NOW);
    for (const [object, claims] of [
      [{ consumerKey: 'k', revocationTime: time }, { client: 'k' }],
      [{ consumer_key: 'k', revocation_time: NOW, organization: 'o' }, { client: 'k' }],
      [{ entityId: 'u', entityType: 'USER_ID', revocationTime: time }, { sub: 'u' }],
      [{ entity_id: 'u', entity_type: 'user', revocation_time: time }, { sub: 'u' }],
      [{ entityId: 'c', entityType: 'CLIENT_ID', revocationTime: time }, { client: 'c' }],
      [{ entityId: 'c', entityType: 'Client', revocationTime: time }, { client: 'c' }],
    ] as const) {
      const reading = readRuleText(base64(object));
      assert.ok(reading?.kind === 'rule', JSON.stringify(object));
      assert.deepEqual(reading.event.claims, claims);
      const parsed = parseRule(reading.event, POLICY, NOW);
      assert.ok(parsed.action === 'revoke');
      assert.deepEqual(parsed.rules[0], {
        issuer: null,
        claims: Object.entries(claims),
        issuedBeforeMs: NOW,
        endsAtMs: NOW + 24 * HOUR,
      });
    }
  });

  it('are read with line breaks and either alphabet', () => {
    const text = base64({ consumerKey: '\u{1f512}\u{1f513}???>>>', revocationTime: String(NOW) });
    const wrapped = text.replaceAll(/(.{20})/g, '$1\r\n');
    const url = Buffer.from(text, 'base64').toString('base64url');
    assert.notEqual(url, text);
    for (const one of [text, wrapped, url, ` ${text}\n`])
      assert.deepEqual(readRuleText(one), readRuleText(text));
    assert.equal(readRuleText(text)?.kind, 'rule');
  });

  it('for an unknown kind of entity, or that cannot be read, only make the stores be read again', () => {
    for (const object of [
      { entityId: 'e', entityType: 'TENANT', revocationTime: '17' },
      { entityId: 'e', entityType: 5, revocationTime: '17' },
      { entityId: 'e', revocationTime: '17' },
      { portcullisRule: 'forget', claims: { sub: 'a' }, issuedBefore: '17' },
      { portcullisRule: 'revoke', claims: ['sub'], issuedBefore: '17' },
      { portcullisRule: 'revoke', claims: { sub: 'a' }, issuer: 5, issuedBefore: '17' },
      { consumerKey: 'k', issuer: {}, revocationTime: '17' },
    ]) {
      const reading = readRuleText(base64(object));
      assert.ok(reading?.kind === 'drop' && reading.reload, JSON.stringify(object));
      assert.match(reading.reason, /^[\w ,'()-]{3,80}$/);
    }
  });

  it('are none where the text is no such JSON: it is a token then', () => {
    const latin1 = Buffer.from('{"consumerKey":"\xe9","revocationTime":"17"}', 'latin1');
    for (const text of [
      '',
      '3ad5672a-afca-4387-9ec5-fcf28785f803',
      'eyJhbGciOiJub25lIn0',
      base64({ consumerKey: 'k' }),
      base64({ revocationTime: '17' }),
      base64({ entityId: 'e', entityType: 'USER_ID' }),
      base64(['consumerKey', 'revocationTime']),
      base64(null),
      `${base64({ consumerKey: 'k', revocationTime: '17' })}.x`,
      latin1.toString('base64'),
      'ey'.repeat(100_000),
      base64('{').repeat(1000),
    ])
      assert.equal(readRuleText(text), undefined, text.slice(0, 60));
  });

  it('never make it throw, and take no time that grows with the square of their length', () => {
    fc.assert(fc.property(fc.string(), (text) => void readRuleText(text)));
    fc.assert(fc.property(fc.jsonValue(), (value) => void readRuleText(base64(value))));
    assert.equal(readRuleText(`ewo${' '.repeat(MAX_RULE_TEXT_LENGTH - 10)}!`), undefined);
  });
});

describe('a rule in JSON', () => {
  it('revokes where it does not say what to do', () => {
    assert.deepEqual(ruleEventOf({ claims: { sub: 'a' }, issuedBefore: 5, more: 1 }), {
      action: 'revoke',
      claims: { sub: 'a' },
      issuedBefore: 5,
    });
    assert.deepEqual(
      ruleEventOf({ action: 'lift', claims: {}, issuer: 'i', issuedBefore: 5, endsAt: 6 }),
      { action: 'lift', claims: {}, issuer: 'i', issuedBefore: 5, endsAt: 6 },
    );
    const lift = { action: 'lift', claims: { sub: 'a' }, issuedBefore: 5, saidBefore: [7, '8'] };
    assert.deepEqual(ruleEventOf(lift), lift);
    const plain = { claims: { sub: 'a' }, issuedBefore: 5 };
    assert.deepEqual(ruleEventOf({ ...plain, saidBefore: [7] }), { action: 'revoke', ...plain });
    for (const value of [
      {},
      { claims: 'sub' },
      { claims: {}, action: 'x' },
      { claims: {}, issuer: 1 },
    ])
      assert.equal(typeof ruleEventOf(value), 'string');
  });
});

describe('a rule on an event stream', () => {
  const START = { askedAt: performance.now() };
  const event = (event: string, data: object, id?: string) => ({
    event,
    data: JSON.stringify(data),
    id,
  });

  it('counts as one of its revocations, in the snapshot and later', () => {
    const sink = new CollectingSink();
    const reader = new StreamReader(sink, undefined, START);
    const rule = { claims: { sub: 'alice' }, issuedBefore: NOW };
    reader.take(event('snapshot-begin', { generation: 'g' }));
    reader.take(event('revoked', rule, 'g-1'));
    reader.take(event('snapshot-end', { count: 1 }, 'g-1'));
    reader.take(event('revoked', { ...rule, issuer: 'i' }, 'g-2'));
    assert.throws(() => reader.take(event('heartbeat', { newest: 'g-3' })), /missed/);
    reader.take(event('heartbeat', { newest: 'g-2' }));
    assert.deepEqual(sink.rules, [
      { action: 'revoke', ...rule },
      { action: 'revoke', ...rule, issuer: 'i' },
    ]);
    reader.take(event('revoked', { ...rule, action: 'forget' }, 'g-3'));
    assert.deepEqual(sink.drops, ['rule has an unknown action']);
    assert.equal(reader.position?.seq, 3);
  });

  it('that cannot be read makes no snapshot of it', () => {
    const reader = new StreamReader(new CollectingSink(), undefined, START);
    reader.take(event('snapshot-begin', { generation: 'g' }));
    reader.take(event('revoked', { claims: 'alice', issuedBefore: NOW }, 'g-1'));
    assert.throws(() => reader.take(event('snapshot-end', { count: 1 }, 'g-1')), /could be read/);
  });
});
