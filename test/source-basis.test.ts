import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AmqpSourceConfig } from '../src/config/config.ts';
import { basisOf } from '../src/source-basis.ts';

const KEY = new Uint8Array(32).fill(1);
const DAY_MS = 86_400_000;

const TOPIC: AmqpSourceConfig = {
  name: 'realtime',
  type: 'amqp',
  ttlUnit: 'auto',
  issuers: undefined,
  rules: ['subject'],
  required: true,
  url: "amqp://admin:old@clientid/carbon?brokerlist='tcp://broker.example:5672'",
  topic: 'jwtRevocation',
  username: 'admin',
  password: 'old',
  durableSubscription: 'gateway-1',
};

const of = (change: Partial<AmqpSourceConfig>, lifeMs = DAY_MS, key = KEY): string =>
  basisOf([{ ...TOPIC, ...change }], lifeMs, key);

test('a changed password leaves what is followed the same', () => {
  const url = TOPIC.url.replace('old', 'new');
  assert.equal(of({ password: 'new', url }), of({}));
});

test('anything else that is followed, or followed otherwise, is not the same', () => {
  const all = [
    of({}),
    of({ topic: 'other' }),
    of({ url: TOPIC.url.replace('broker.example', 'other.example') }),
    of({ rules: ['subject', 'client'] }),
    of({ issuers: ['https://issuer.example'] }),
    of({ required: false }),
    of({}, 2 * DAY_MS),
    of({}, DAY_MS, new Uint8Array(32).fill(2)),
    basisOf([], DAY_MS, KEY),
    basisOf([TOPIC, { ...TOPIC, name: 'second' }], DAY_MS, KEY),
  ];
  assert.equal(new Set(all).size, all.length);
});
