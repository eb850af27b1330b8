import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nearestKey, nearestTable } from '../src/config/catalogue.ts';
import { nearest } from '../src/nearest.ts';

test('a mistyped word finds the one that was meant', () => {
  const words = ['etcd', 'default', 'event-stream'];
  for (const [word, meant] of [
    ['ectd', 'etcd'],
    ['ETCD', 'etcd'],
    ['defalt', 'default'],
    ['event_stream', 'event-stream'],
    ['redis', undefined],
    ['x'.repeat(10_000), undefined],
    ['', undefined],
  ] as const)
    assert.equal(nearest(word, words), meant, word);
});

test('a key is looked for in its own table, then under its name elsewhere, then anywhere', () => {
  for (const [key, meant] of [
    ['listenerConfig.keystorePath', 'listenerConfig.keyStorePath'],
    ['tokenRevocationConfig.sources.0.usrname', 'tokenRevocationConfig.sources.username'],
    ['httpPort', 'listenerConfig.httpPort'],
    ['server.trustStorePath', 'listenerConfig.trustStorePath'],
    ['b7a.loglevel', 'b7a.log.level'],
    ['tokenRevocationConfig.persistent.foo', undefined],
    ['entirely.different', undefined],
  ] as const)
    assert.equal(nearestKey(key.split('.')), meant, key);
  assert.equal(nearestTable(['listnerConfig']), 'listenerConfig');
  for (const [table, meant] of [
    ['acesslog', 'b7a.http.accesslog'],
    ['b7a.accessLog', 'b7a.http.accesslog'],
    ['tracing', 'b7a.observability.tracing'],
    ['cachng', 'caching'],
    ['sslConfig', 'httpClients.sslConfig'],
    ['xyz', undefined],
    ['nothing.like.it', undefined],
  ] as const)
    assert.equal(nearestTable(table.split('.')), meant, table);
  assert.equal(
    nearestTable(['tokenRevocationConfig', 'source', '0']),
    'tokenRevocationConfig.sources',
  );
});
