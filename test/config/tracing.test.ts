import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load, problemOf, warningsOf } from './fixture.ts';

const TABLE = '[b7a.observability.tracing]\n';

test('traces pass untouched unless tracing is enabled', () => {
  assert.equal(load('').config.tracing, undefined);
  assert.equal(
    load(`${TABLE}endpoint = "http://collector:4318/v1/traces"`).config.tracing,
    undefined,
  );
  assert.deepEqual(load(`${TABLE}enabled = true`).config.tracing, {
    endpoint: 'http://127.0.0.1:4318/v1/traces',
    sample: 100,
    serviceName: 'portcullis',
  });
});

test('the keys of WSO2 for Jaeger and for its own metrics are known, without effect', () => {
  const text = `${TABLE}enabled = true\nname = "jaeger"\n[b7a.observability.tracing.jaeger.reporter]\nport = 5775\n[b7a.observability.metrics]\nenabled = true\n[b7a.observability.metrics.prometheus]\nport = 9797\n`;
  const said = warningsOf(text).join('\n');
  for (const key of ['tracing.name', 'tracing.jaeger', 'metrics.enabled', 'metrics.prometheus'])
    assert.ok(said.includes(`b7a.observability.${key}`), key);
  assert.ok(!said.includes('tracing.enabled'));
});

test('what cannot be meant is refused', () => {
  for (const line of ['endpoint = "collector"', 'sample = 0', 'serviceName = ""'])
    assert.match(problemOf(TABLE + line), /^ERR_CONFIG_BAD_VALUE 2 b7a\.observability\./, line);
  assert.match(problemOf(`${TABLE}enabeld = true`), /^ERR_CONFIG_UNKNOWN_KEY 2 /);
});
