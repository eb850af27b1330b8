import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { load, problemOf } from './fixture.ts';

const table = (...lines: string[]): string => `[operatorConfig]\n${lines.join('\n')}\n`;

test("the operator's API listens on loopback, with a token under MGW_HOME, unless it is switched off", () => {
  const { config } = load('');
  assert.deepEqual(config.operator, {
    host: '127.0.0.1',
    port: 9097,
    tokenPath: join(config.home, 'security', 'operator.token'),
    keyStore: undefined,
    clientCaPath: undefined,
    allowedHosts: [],
  });
  assert.equal(load(table('enable = false')).config.operator, undefined);
});

test('beyond loopback there is no plain HTTP, and client certificates need TLS', () => {
  assert.equal(
    problemOf(table('host = "0.0.0.0"')),
    'ERR_CONFIG_CONTRADICTION 2 operatorConfig.host',
  );
  const tls = load(table('host = "0.0.0.0"', 'keyStorePath = "/k.p12"')).config.operator;
  assert.deepEqual(tls?.keyStore, { path: '/k.p12', password: 'ballerina' });
  assert.equal(
    problemOf(table('clientCaPath = "/ca.pem"')),
    'ERR_CONFIG_CONTRADICTION 2 operatorConfig.clientCaPath',
  );
});

test('its port is its own', () => {
  assert.equal(problemOf(table('port = 9095')), 'ERR_CONFIG_CONTRADICTION 2 operatorConfig.port');
  assert.ok(load(table('enable = false', 'port = 9095')));
});

test('knowledge is bounded and kept by default', () => {
  const { revocation, home } = load('').config;
  assert.equal(revocation.maxStalenessMs, 60_000);
  assert.equal(revocation.whenStale, 'deny');
  assert.equal(revocation.denyOnUnclosedGap, false);
  assert.equal(revocation.stateFolder, join(home, 'state'));
  assert.equal(revocation.streamGraceMs, 0);
});

test('"introspect" needs somebody to ask', () => {
  const text = '[tokenRevocationConfig]\nwhenStale = "introspect"\n';
  const off = '[keymanager.security.basic]\nenabled = false\n';
  assert.equal(problemOf(text + off), 'ERR_CONFIG_CONTRADICTION 2 tokenRevocationConfig.whenStale');
  assert.equal(load(text).config.revocation.whenStale, 'introspect');
});

test('a durable subscription has a name that a broker takes', () => {
  const text = (name: string): string =>
    `[tokenRevocationConfig.realtime]\nenableRealtimeMessageRetrieval = true\ndurableSubscription = "${name}"\n`;
  const [source] = load(text('gw-1')).config.revocation.sources;
  assert.equal(source?.type === 'amqp' && source.durableSubscription, 'gw-1');
  for (const name of ['a b', '-gw', 'x'.repeat(101)])
    assert.match(problemOf(text(name)), /BAD_VALUE 3 /, name);
});
