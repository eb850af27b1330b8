import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load, problemOf } from './fixture.ts';

const FAILED = '[failedVerifications]\n';

test('failed verifications are limited unless that is switched off', () => {
  assert.deepEqual(load('').config.failedVerifications, { perSecond: 20, burst: 100 });
  assert.deepEqual(load(`${FAILED}perSecond = 5\nburst = 7`).config.failedVerifications, {
    perSecond: 5,
    burst: 7,
  });
  assert.equal(load(`${FAILED}enable = false`).config.failedVerifications, undefined);
});

test('a limit that would let nobody in is refused', () => {
  for (const line of ['perSecond = 0', 'burst = 0', 'burst = -1'])
    assert.match(problemOf(FAILED + line), /^ERR_CONFIG_BAD_VALUE 2 failedVerifications\./, line);
});

test('an upstream that fails is left alone for a while unless that is switched off', () => {
  const table = '[httpClients.circuitBreaker]\n';
  assert.deepEqual(load('').config.httpClients.circuitBreaker, { failures: 5, openForMs: 1_000 });
  assert.deepEqual(load(`${table}failures = 2\nopenFor = "3s"`).config.httpClients.circuitBreaker, {
    failures: 2,
    openForMs: 3_000,
  });
  assert.equal(load(`${table}enable = false`).config.httpClients.circuitBreaker, undefined);
  for (const line of ['failures = 0', 'openFor = "1m"'])
    assert.match(
      problemOf(table + line),
      /^ERR_CONFIG_BAD_VALUE 2 httpClients\.circuitBreaker\./,
      line,
    );
});
