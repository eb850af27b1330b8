import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { load, problemOf, problemsOf } from './fixture.ts';

const twoIssuers = '[[jwtTokenConfig]]\nissuer = "a"\n[[jwtTokenConfig]]\nissuer = "b"\n';

test('flags and variables are read by the type of their key', () => {
  const { config } = load('', {
    env: { http2_enable: 'false', listenerConfig_httpPort: '8080', server_drainTimeout: '1 m' },
    argv: [
      '--listenerConfig.maxEntityBodySize=1MiB',
      '--server.trustedProxies=10.0.0.1, 10.1.0.0/16',
      '--jwtTokenConfig.audience=["x,y", "z"]',
      '--server.timestampSkew=250',
      '--server.header=a=b',
    ],
  });
  assert.equal(config.listeners.http2, false);
  assert.equal(config.listeners.httpPort, 8080);
  assert.equal(config.server.drainTimeoutMs, 60_000);
  assert.equal(config.limits.maxBodyBytes, 1_048_576);
  assert.deepEqual(config.server.trustedProxies, ['10.0.0.1', '10.1.0.0/16']);
  assert.deepEqual(config.auth.issuers[0]?.audience, ['x,y', 'z']);
  assert.equal(config.server.clockSkewMs, 250);
  assert.equal(config.server.header, 'a=b');
});

test('tables of an array are reached by index, from flag and environment', () => {
  const { config } = load(twoIssuers, {
    env: { jwtTokenConfig_0_audience: 'x' },
    argv: ['--jwtTokenConfig.1.issuer=c', '--jwtTokenConfig.2.issuer=d'],
  });
  assert.deepEqual(
    config.auth.issuers.map(({ issuer, audience }) => [issuer, audience]),
    [
      ['a', ['x']],
      ['c', []],
      ['d', []],
    ],
  );
  assert.equal(
    load('', { argv: ['--jwtTokenConfig.issuer=e'] }).config.auth.issuers[0]?.issuer,
    'e',
  );
  const last = (argv: string) => problemOf(twoIssuers, { argv: [argv] });
  assert.equal(last('--jwtTokenConfig.issuer=e'), 'ERR_CONFIG_WRONG_TYPE - jwtTokenConfig.issuer');
  assert.equal(
    last('--jwtTokenConfig.3.issuer=e'),
    'ERR_CONFIG_WRONG_TYPE - jwtTokenConfig.3.issuer',
  );
});

test('a variable matches in upper and lower case only as the key is written', () => {
  assert.equal(
    load('', { env: { B7A_LOG_LEVEL: 'DEBUG', HTTP2_ENABLE: 'x' } }).config.log.level,
    'INFO',
  );
});

test('a variable that begins like our sections but names no key is refused; anybody else’s is not', () => {
  const problems = problemsOf('', { env: { listenerConfig_htpPort: '1' } });
  assert.equal(problems[0]?.nearest, 'listenerConfig.httpPort');
  assert.match(problems[0].place.source ?? '', /listenerConfig_htpPort/);
  load('', { env: { server_name: 'x', caching_dir: 'x', http2_x: '1', PATH: '/bin', b7a: 'x' } });
});

test('an extension gets its own keys from flag and environment too', () => {
  const text =
    '[tokenRevocationConfig.persistent]\nenablePersistentStorageRetrieval = true\ntype = "redis"\n';
  const [source] = load(text, {
    env: { tokenRevocationConfig_persistent_key_prefix: 'jti:' },
    argv: ['--tokenRevocationConfig.persistent.database=3'],
  }).config.revocation.sources;
  assert.equal(source?.type, 'extension');
  assert.deepEqual(source.section, {
    enablePersistentStorageRetrieval: true,
    type: 'redis',
    key_prefix: 'jti:',
    database: '3',
  });
});

test('words that are no override are refused without being repeated', () => {
  for (const word of ['--b7a.log.level', 'canary', '-x=canary', '--=canary', '--a..b=canary']) {
    const [problem] = problemsOf('', { argv: [word] });
    assert.equal(problem?.code, 'ERR_CONFIG_FLAG');
    assert.doesNotMatch(problem.message, /canary/);
  }
});

test('relative paths count from the file, in flags and environment from the current folder', () => {
  const text = '[listenerConfig]\nkeyStorePath = "a.p12"\n';
  const inFile = load(text);
  assert.equal(inFile.config.listeners.keyStore?.path, join(inFile.file ?? '', '..', 'a.p12'));
  const argv = ['--listenerConfig.trustStorePath=b.p12', '--listenerConfig.trustStorePassword=x'];
  const { config, file } = load('', { argv });
  assert.deepEqual(config.listeners.trustStore, {
    path: join(file ?? '', '..', 'b.p12'),
    password: 'x',
  });
});
