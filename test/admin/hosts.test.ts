import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allowedHosts, isLoopback, isLoopbackHost } from '../../src/admin/hosts.ts';

test('loopback is this machine alone, in every spelling', () => {
  for (const address of ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1', '0:0:0:0:0:0:0:1'])
    assert.ok(isLoopback(address), address);
  for (const address of [
    '0.0.0.0',
    '::',
    '10.0.0.1',
    '128.0.0.1',
    '::ffff:10.0.0.1',
    '::127.0.0.1',
    'fe80::1%lo',
    'localhost',
    '127.0.0.1.evil.example',
    '127.1',
    '',
    undefined,
  ])
    assert.ok(!isLoopback(address), address);
  for (const host of ['localhost', 'LocalHost', '127.0.0.1', '[::1]'])
    assert.ok(isLoopbackHost(host), host);
  for (const host of ['localhost.evil.example', '127.0.0.1.evil.example', 'evil.example', '[::]'])
    assert.ok(!isLoopbackHost(host), host);
});

test('Host may name the loopback, what is listened on, and what is configured, with the port', () => {
  const hosts = (host: string, port: number, scheme: 'http' | 'https', configured: string[] = []) =>
    [...allowedHosts(host, port, scheme, configured)].sort();
  const loopback = ['127.0.0.1:9097', '[::1]:9097', 'localhost:9097'];
  assert.deepEqual(hosts('127.0.0.1', 9097, 'http'), loopback);
  assert.deepEqual(hosts('0.0.0.0', 9097, 'https'), loopback);
  assert.deepEqual(hosts('::', 9097, 'https'), loopback);
  assert.deepEqual(hosts('10.1.2.3', 9097, 'https'), ['10.1.2.3:9097', ...loopback]);
  assert.deepEqual(
    hosts('2001:db8::7', 9097, 'https', ['GW.example', 'fwd.example:1', '[::7]:2']),
    [
      '127.0.0.1:9097',
      '[2001:db8::7]:9097',
      '[::1]:9097',
      '[::7]:2',
      'fwd.example:1',
      'gw.example:9097',
      'localhost:9097',
    ],
  );
  // A client leaves its scheme's own port out, and no other.
  assert.ok(allowedHosts('127.0.0.1', 443, 'https', []).has('localhost'));
  assert.ok(!allowedHosts('127.0.0.1', 443, 'http', []).has('localhost'));
});
