import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dataPlaneSettings } from '../src/data-plane-settings.ts';
import { CLOSED } from '../src/gateway/edge-rules.ts';
import { load } from './config/fixture.ts';

/** The data plane's options as this text configures them. */
function gatewayOf(text: string) {
  return dataPlaneSettings(load(text).config, {
    artifact: { format: 1, portcullisVersion: '0', project: 'p', apis: [] },
    artifactFile: 'p.mjs',
    trust: {
      listener: { key: '', cert: '' },
      ca: [],
      certificate: () => '',
      notes: [],
    },
    issuers: [],
  }).gateway;
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
