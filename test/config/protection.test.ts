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

test('requests are shed for want of memory unless that is switched off', () => {
  assert.deepEqual(load('').config.loadShedding, { heapPercent: 85 });
  const table = '[loadShedding]\n';
  assert.deepEqual(load(`${table}heapPercent = 60`).config.loadShedding, { heapPercent: 60 });
  assert.equal(load(`${table}enable = false`).config.loadShedding, undefined);
  for (const line of ['heapPercent = 19', 'heapPercent = 100'])
    assert.match(problemOf(table + line), /^ERR_CONFIG_BAD_VALUE 2 loadShedding\./, line);
});

test('connections are limited, of all and of one address', () => {
  const { limits } = load(
    '[listenerConfig]\nmaxConnections = 7\nmaxConnectionsPerAddress = 3',
  ).config;
  assert.equal(limits.maxConnections, 7);
  assert.equal(limits.maxConnectionsPerAddress, 3);
  for (const key of ['maxConnections', 'maxConnectionsPerAddress'])
    assert.match(problemOf(`[listenerConfig]\n${key} = 0`), /^ERR_CONFIG_BAD_VALUE 2 /, key);
});
