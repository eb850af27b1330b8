import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dataPlaneSettings } from '../src/data-plane-settings.ts';
import { CLOSED } from '../src/gateway/edge-rules.ts';
import { headerPolicy } from '../src/gateway/headers.ts';
import { load } from './config/fixture.ts';

/** The data plane's options as this text configures them. */
function gatewayOf(text: string) {
  return settingsOf(text).gateway;
}

/** What a thread of four is started with. */
function settingsOf(text: string) {
  return dataPlaneSettings(load(text).config, {
    artifact: { format: 1, portcullisVersion: '0', project: 'p', apis: [] },
    artifactSource: { file: '/p.mjs', text: '' },
    ticketKeys: new Uint8Array(48),
    trust: {
      listener: { key: '', cert: '' },
      ca: [],
      certificate: () => '',
      notes: [],
      client: { key: 'client key', cert: 'client cert' },
    },
    issuers: [],
    threads: 4,
  });
}

test('without a word every edge rule reaches the data plane closed, and the engine is our own', () => {
  const { edge, engine, limits, timeouts } = gatewayOf('');
  assert.deepEqual(edge, CLOSED);
  assert.equal(engine, 'own');
  assert.equal(limits?.maxHeaderCount, 100);
  assert.equal(limits.minDataRate, 240);
  assert.equal(timeouts?.requestMs, 300_000);
});

test('what is written about the edge reaches the data plane', () => {
  const { edge, engine, limits, timeouts } = gatewayOf(
    [
      '[server]',
      'httpEngine = "node"',
      '[listenerConfig]',
      'maxHeaderCount = 50',
      'minDataRate = 0',
      'requestTimeout = "10m"',
      '[edgeRules]',
      'trace = "serve"',
      'upgrade = "none"',
    ].join('\n'),
  );
  assert.deepEqual(edge, { ...CLOSED, trace: 'serve', upgrade: 'none' });
  assert.equal(engine, 'node');
  assert.equal(limits?.maxHeaderCount, 50);
  assert.equal(limits.minDataRate, 0);
  assert.equal(timeouts?.requestMs, 600_000);
});

test('the rule for Server reaches the data plane, where server.header says nothing', () => {
  const rule = '[[server.headerConf]]\nheaderName = "Server"\noverrideValue = "ours"\n';
  const policyOf = (text: string) => headerPolicy(gatewayOf(text));
  assert.deepEqual(
    ['', rule, `[server]\nheader = "mine"\n${rule}`, `${rule}preserveHeader = true`].map((text) => {
      const { serverHeader, replaceServer } = policyOf(text);
      return [serverHeader, replaceServer];
    }),
    [
      ['ballerina', true],
      ['ours', true],
      ['mine', true],
      ['ballerina', false],
    ],
  );
});

test('each thread gets its share of the failed verifications, and one at least', () => {
  assert.deepEqual(settingsOf('').failedAttempts, { perSecond: 5, burst: 25 });
  assert.deepEqual(settingsOf('[failedVerifications]\nperSecond = 2\nburst = 3').failedAttempts, {
    perSecond: 1,
    burst: 1,
  });
  assert.equal(settingsOf('[failedVerifications]\nenable = false').failedAttempts, undefined);
});

test('the circuit breaker reaches the data plane', () => {
  assert.deepEqual(gatewayOf('').upstream?.circuitBreaker, { failures: 5, openForMs: 1_000 });
  assert.equal(
    gatewayOf('[httpClients.circuitBreaker]\nenable = false').upstream?.circuitBreaker,
    undefined,
  );
});

test("idle connections to an upstream, and the wait for one, are each thread's own", () => {
  const { upstream } = gatewayOf('[httpClients.poolConfig]\nwaitTimeInMillis = 30000');
  assert.deepEqual([upstream?.maxWaitMs, upstream?.maxIdle], [30_000, 100]);
  const unbounded = gatewayOf('[httpClients.poolConfig]\nmaxIdleConnections = -1');
  assert.equal(unbounded.upstream?.maxIdle, undefined);
});

test('each thread gets its share of the connections, and one at least', () => {
  const { limits } = gatewayOf(
    '[listenerConfig]\nmaxConnections = 10\nmaxConnectionsPerAddress = 3',
  );
  assert.equal(limits?.maxConnections, 2);
  assert.equal(limits.maxConnectionsPerAddress, 1);
  assert.equal(gatewayOf('').limits?.maxConnectionsPerAddress, 250);
});

test('load shedding reaches the data plane', () => {
  assert.deepEqual(gatewayOf('').loadShedding, { heapPercent: 85 });
  assert.equal(gatewayOf('[loadShedding]\nenable = false').loadShedding, undefined);
});

test('what upstreams are shown is shown to nobody else', () => {
  const settings = settingsOf('');
  const { cert, key } = settings.gateway.upstream ?? {};
  assert.deepEqual({ cert, key }, { cert: 'client cert', key: 'client key' });
  assert.equal(settings.http.cert, undefined);
  assert.equal(settings.http.key, undefined);
});
