import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ConfigError } from '../../src/config/config-error.ts';
import { loadConfig } from '../../src/config/load.ts';
import { OperatorError } from '../../src/errors.ts';
import { load, problemOf, problemsOf, put, scratch, warningsOf } from './fixture.ts';

test('without a file the built-in defaults hold, and that is said', () => {
  const cwd = scratch();
  const { config, file, notes } = loadConfig({ env: { MGW_HOME: join(cwd, 'home') }, cwd });
  assert.equal(file, undefined);
  assert.equal(notes[0]?.level, 'info');
  assert.match(notes[0].message, /built-in defaults/);
  assert.deepEqual(config.listeners, {
    host: '0.0.0.0',
    httpPort: 9090,
    httpsPort: 9095,
    tokenPort: 9096,
    http2: true,
    keepAlive: true,
    keyStore: undefined,
    trustStore: undefined,
    headersTimeoutMs: 30_000,
    requestTimeoutMs: 300_000,
    keepAliveTimeoutMs: 60_000,
    tlsVersions: ['1.2', '1.3'],
  });
  assert.deepEqual(config.limits, {
    maxUriBytes: 4096,
    maxHeaderBytes: 8192,
    maxHeaderCount: 100,
    minDataRate: 240,
    maxBodyBytes: undefined,
    maxPipelined: 10,
    maxConnections: 10_000,
    maxConnectionsPerAddress: 1_000,
  });
  assert.deepEqual(config.server, {
    header: 'ballerina',
    headerRules: [],
    trustedProxies: [],
    clockSkewMs: 5000,
    drainTimeoutMs: 30_000,
    httpEngine: 'own',
    threads: 0,
  });
  assert.deepEqual(config.auth, {
    header: 'Authorization',
    removeHeader: true,
    issuers: [
      {
        issuer: 'https://localhost:9443/oauth2/token',
        audience: [],
        keys: {
          kind: 'jwks',
          url: 'https://localhost:9443/oauth2/jwks',
          refreshIntervalMs: 300_000,
          maxStaleMs: 86_400_000,
        },
        algorithms: [],
        requireSub: true,
        requireAud: true,
        requireExp: true,
        requireJti: true,
        requireIat: false,
      },
    ],
  });
  assert.deepEqual(config.tokenCache, { maxEntries: 10_000, maxAgeMs: 900_000 });
  assert.deepEqual(config.keyManager, {
    serverUrl: 'https://localhost:9443',
    tokenContext: 'oauth2',
    issuer: 'https://localhost:9443/oauth2/token',
    basic: { username: 'admin', password: 'admin' },
    introspectionMaxAgeMs: 60_000,
    timeoutMs: 10_000,
  });
  assert.deepEqual(config.revocation, {
    whenUnknown: 'deny',
    whenStale: 'deny',
    maxStalenessMs: 60_000,
    denyOnUnclosedGap: false,
    maxEntries: 20_000_000,
    stateFolder: join(cwd, 'home', 'state'),
    streamGraceMs: 0,
    longestTokenLifeMs: 30 * 86_400_000,
    sources: [],
  });
  assert.deepEqual(config.httpClients, {
    keyStore: undefined,
    verifyHostname: true,
    disableSslVerification: false,
    connectTimeoutMs: 5000,
    headersTimeoutMs: 60_000,
    bodyIdleTimeoutMs: 60_000,
    maxConnections: undefined,
    maxWaitMs: 0,
    maxIdleConnections: 100,
    circuitBreaker: { failures: 5, openForMs: 1_000 },
    maxResponseHeaderBytes: 8192,
  });
  assert.deepEqual(config.log, { level: 'INFO', format: 'text' });
  assert.equal(config.home, join(cwd, 'home'));
});

test('the file is looked for in MGW_CONF_DIR, then MGW_HOME, then ./conf', () => {
  const cwd = scratch();
  const home = join(cwd, 'home');
  const text = (level: string) => `[b7a.log]\nlevel = "${level}"\n`;
  const named = put(join(cwd, 'named', 'micro-gw.conf'), text('ERROR'));
  const atHome = join(home, 'conf', 'micro-gw.conf');
  const here = put(join(cwd, 'conf', 'micro-gw.conf'), text('DEBUG'));
  const read = (env: Record<string, string>) => {
    const { file, config, notes } = loadConfig({ env: { MGW_HOME: home, ...env }, cwd });
    assert.ok(notes[0]?.message.includes(file ?? ''));
    return [file, config.log.level];
  };
  assert.deepEqual(read({}), [here, 'DEBUG']);
  put(atHome, text('WARN'));
  assert.deepEqual(read({}), [atHome, 'WARN']);
  assert.deepEqual(read({ MGW_HOME: 'home' }), [atHome, 'WARN']);
  assert.deepEqual(read({ MGW_CONF_DIR: 'named' }), [named, 'ERROR']);
});

test('a MGW_CONF_DIR without folder or file refuses the start', () => {
  const cwd = scratch();
  put(join(cwd, 'conf', 'micro-gw.conf'), '');
  mkdirSync(join(cwd, 'empty'));
  for (const folder of ['missing', 'empty', 'conf/micro-gw.conf', 'conf/micro-gw.conf/x']) {
    assert.throws(
      () => loadConfig({ env: { MGW_HOME: join(cwd, 'home'), MGW_CONF_DIR: folder }, cwd }),
      (error) => error instanceof OperatorError && error.code === 'ERR_CONFIG_NOT_FOUND',
      folder,
    );
  }
});

test('a file that is no UTF-8 text or too large refuses the start with its name', () => {
  for (const bytes of [new Uint8Array([0x61, 0xff]), new Uint8Array(1024 * 1024 + 1).fill(10)]) {
    const folder = scratch();
    const file = put(join(folder, 'micro-gw.conf'), bytes);
    assert.throws(
      () => loadConfig({ env: { MGW_HOME: folder, MGW_CONF_DIR: folder }, cwd: folder }),
      (error) =>
        error instanceof OperatorError &&
        error.code === 'ERR_CONFIG_UNREADABLE' &&
        error.file === file,
    );
  }
});

test('flag wins over environment, environment over file, file over default', () => {
  const text = '[b7a.log]\nlevel = "ERROR"\n';
  const env = { b7a_log_level: 'WARN' };
  const argv = ['--b7a.log.level=DEBUG'];
  assert.equal(load('').config.log.level, 'INFO');
  assert.equal(load(text).config.log.level, 'ERROR');
  assert.equal(load(text, { env }).config.log.level, 'WARN');
  assert.equal(load(text, { env, argv }).config.log.level, 'DEBUG');
  assert.equal(
    load(text, { env, argv: [...argv, '--b7a.log.level=TRACE'] }).config.log.level,
    'TRACE',
  );
});

test('the configuration is frozen in every depth', () => {
  const { config } = load(
    '[tokenRevocationConfig.persistent]\nenablePersistentStorageRetrieval = true\ntype = "redis"\nnested = { a = [1] }\n',
  );
  const walk = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    assert.ok(Object.isFrozen(value));
    Object.values(value).forEach(walk);
  };
  walk(config);
});

test('all problems are told at once, in the order of their lines', () => {
  const text = [
    '[listenerConfig]',
    'httpPrt = 1',
    'httpsPort = "9095"',
    'tokenListenerPort = 70000',
    '[b7a.log]',
    'level = "INF"',
    '[servr]',
    'header = "x"',
    'other = 1',
  ].join('\n');
  const options = { argv: ['--http2.enable=maybe', 'stray-hunter2'] };
  assert.equal(
    problemOf(text, options),
    [
      'ERR_CONFIG_UNKNOWN_KEY 2 listenerConfig.httpPrt',
      'ERR_CONFIG_WRONG_TYPE 3 listenerConfig.httpsPort',
      'ERR_CONFIG_BAD_VALUE 4 listenerConfig.tokenListenerPort',
      'ERR_CONFIG_BAD_VALUE 6 b7a.log.level',
      'ERR_CONFIG_UNKNOWN_KEY 7 servr',
      'ERR_CONFIG_FLAG - -',
      'ERR_CONFIG_WRONG_TYPE - http2.enable',
    ].join(' | '),
  );
  const problems = problemsOf(text, options);
  assert.deepEqual(
    problems.map(({ nearest }) => nearest),
    ['listenerConfig.httpPort', undefined, undefined, 'INFO', 'server', undefined, undefined],
  );
  assert.throws(
    () => load(text, options),
    (error) => {
      assert.ok(error instanceof ConfigError);
      assert.equal(error.line, 2);
      assert.equal(error.code, 'ERR_CONFIG_UNKNOWN_KEY');
      assert.equal(error.message.split('\n').length, 7);
      assert.match(error.message, /micro-gw\.conf:6: `b7a\.log\.level` must be one of/);
      assert.match(error.message, /--http2\.enable: /);
      assert.doesNotMatch(error.message, /hunter2/);
      return true;
    },
  );
});

test('a WSO2 key without effect warns once, with its line; a mistyped one is refused', () => {
  const text = [
    'myEndpoint1_prod_endpoint_0 = "https://localhost"',
    '[mutualSSLConfig]',
    'sslVerifyClient = "require"',
    '[[mutualSSLConfig.api.certificates]]',
    'name = "x"',
    '[b7a.users.admin]',
    'password = "canary"',
    '[jwtTokenConfig]',
    'validateSubscription = true',
    '[[jwtTokenConfig.claims]]',
    'remoteClaim = "a"',
    '[keymanager.security.oauth2]',
    'enabled = true',
  ].join('\n');
  const warnings = warningsOf(text).filter((line) => line.includes('WSO2 key'));
  assert.equal(warnings.length, 7);
  assert.match(warnings[1] ?? '', /micro-gw\.conf:3: `mutualSSLConfig\.sslVerifyClient`/);
  assert.ok(!warnings.join().includes('canary'));
  const env = { b7a_observability_metrics_enabled: 'true', validationConfig_x: '1' };
  assert.equal(warningsOf('', { env }).filter((line) => line.includes('WSO2 key')).length, 1);
  assert.equal(
    problemsOf('[validationConfig]\nenableRequestValidaton = true')[0]?.nearest,
    'validationConfig.enableRequestValidation',
  );
});
