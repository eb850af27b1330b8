import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OperatorError } from '../../src/errors.ts';
import { plainAddress, TrustedProxies } from '../../src/gateway/client-address.ts';

test('addresses and ranges of both families are trusted, others not', () => {
  const proxies = new TrustedProxies(['10.0.0.0/8', '192.0.2.7', '2001:db8::/32', '::1']);
  for (const address of ['10.1.2.3', '192.0.2.7', '2001:db8::5', '::1'])
    assert.ok(proxies.trusts(address), address);
  for (const address of ['11.0.0.1', '192.0.2.8', '2001:db9::1', '::2', 'unknown', ''])
    assert.ok(!proxies.trusts(address), address);
  assert.ok(!new TrustedProxies([]).trusts('127.0.0.1'));
});

test('what is no range stops the start', () => {
  for (const range of [
    '10.0.0.0/33',
    '::1/129',
    'localhost',
    '10.0.0.0/8/8',
    '10.0.0',
    '10.0.0.0/',
    '',
  ]) {
    assert.throws(() => new TrustedProxies([range]), OperatorError, range);
  }
});

test('the client is the last address that no trusted proxy has', () => {
  const proxies = new TrustedProxies(['10.0.0.0/8']);
  assert.equal(
    proxies.clientAddress('198.51.100.1', '1.1.1.1'),
    '198.51.100.1',
    'an untrusted peer is the client',
  );
  assert.equal(proxies.clientAddress('10.0.0.1', undefined), '10.0.0.1');
  assert.equal(
    proxies.clientAddress('10.0.0.1', '6.6.6.6, 198.51.100.1, 10.0.0.2'),
    '198.51.100.1',
  );
  assert.equal(proxies.clientAddress('10.0.0.1', 'evil'), '10.0.0.1');
  for (const [said, address] of [
    ['198.51.100.1:49152', '198.51.100.1'],
    ['[2001:db8::1]', '2001:db8::1'],
    ['[2001:db8::1]:49152', '2001:db8::1'],
    ['198.51.100.1, , ', '198.51.100.1'],
    ['198.51.100.1, 10.0.0.2:80', '198.51.100.1'],
    ['198.51.100.1:', '10.0.0.1'],
    ['[evil]:1', '10.0.0.1'],
    [', ,', '10.0.0.1'],
  ] as const)
    assert.equal(proxies.clientAddress('10.0.0.1', said), address, said);
  assert.equal(proxies.clientAddress('10.0.0.1', '10.0.0.3, 10.0.0.2'), '10.0.0.3');
});

test('an IPv4 peer on a socket of both families has one spelling', () => {
  assert.equal(plainAddress('::ffff:127.0.0.1'), '127.0.0.1');
  assert.equal(plainAddress('::1'), '::1');
  assert.equal(plainAddress(undefined), 'unknown');
});
