import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load, problemOf, problemsOf } from './fixture.ts';

test('bare numbers keep the unit that WSO2 gives them, and units may be written', () => {
  const { config } = load(
    [
      '[server]',
      'timestampSkew = 1500',
      'drainTimeout = "1.5m"',
      '[caching]',
      'tokenCacheExpiryTime = 900000',
      '[listenerConfig]',
      'maxHeaderSize = "16 KiB"',
      'maxEntityBodySize = 1000',
      '[tokenRevocationConfig]',
      'longestTokenLife = 3600',
    ].join('\n'),
  );
  assert.equal(config.server.clockSkewMs, 1500);
  assert.equal(config.server.drainTimeoutMs, 90_000);
  assert.equal(config.tokenCache.maxAgeMs, 900_000);
  assert.equal(config.limits.maxHeaderBytes, 16_384);
  assert.equal(config.limits.maxBodyBytes, 1000);
  assert.equal(config.revocation.longestTokenLifeMs, 3_600_000);
});

test('a value of another type is refused with what to write instead', () => {
  for (const [line, words] of [
    ['httpPort = "9090"', /quotation marks: take them off/],
    ['httpPort = 9090.5', /whole number from 0 to 65535/],
    ['httpPort = true', /not a boolean/],
    ['httpPort = [1]', /not an array/],
    ['host = 1', /in quotation marks, not a number/],
    ['keepAlive = true', /in quotation marks, not a boolean/],
    ['headersTimeout = "30"', /take them off, or add a unit/],
    ['maxUriLength = 1979-05-27', /not a date/],
    ['keyStorePath = { a = 1 }', /is a value, not a table/],
  ] as const) {
    const problems = problemsOf(`[listenerConfig]\n${line}\n`);
    assert.equal(problems[0]?.code, 'ERR_CONFIG_WRONG_TYPE', line);
    assert.equal(problems[0].place.line, 2);
    assert.match(problems[0].message, words);
  }
  assert.match(problemsOf('[http2]\nenable = "true"')[0]?.message ?? '', /take them off/);
  assert.match(problemsOf('[http2]\nenable = 1')[0]?.message ?? '', /`true` or `false`/);
});

test('a number is shown as it was written: without quotation marks', () => {
  for (const [table, line, shown] of [
    ['httpClients.timeouts', 'connect = 5', /, not 5$/],
    ['httpClients.timeouts', 'connect = "5ms"', /, not "5ms"$/],
    ['failedVerifications', 'perSecond = 0.5', /, not 0\.5$/],
    ['listenerConfig', 'httpPort = 99999999999999999999', /, not 99999999999999999999$/],
  ] as const)
    assert.match(problemsOf(`[${table}]\n${line}`)[0]?.message ?? '', shown, line);
});

test('an impossible value is refused', () => {
  for (const line of [
    'httpPort = 65536',
    'httpPort = -1',
    'httpPort = 99999999999999999999',
    'host = ""',
    'host = "a b"',
    'host = "http://x"',
    'keepAlive = "MAYBE"',
    'headersTimeout = "30 parsecs"',
    'headersTimeout = 0',
    'headersTimeout = "2h"',
    'maxUriLength = -1',
    'maxHeaderSize = "2 MiB"',
    'maxEntityBodySize = -2',
    'keyStorePath = ""',
  ])
    assert.match(problemOf(`[listenerConfig]\n${line}`), /^ERR_CONFIG_BAD_VALUE 2 /, line);
  assert.equal(load('[listenerConfig]\nkeepAlive = "never"').config.listeners.keepAlive, false);
});

test('two listeners on one port contradict each other, except on a free one', () => {
  const [problem] = problemsOf('[listenerConfig]\nhttpPort = 8443\nhttpsPort = 8443\n');
  assert.equal(problem?.code, 'ERR_CONFIG_CONTRADICTION');
  assert.equal(problem.place.line, 3);
  assert.match(problem.message, /`listenerConfig\.httpPort` \(line 2\)/);
  assert.equal(
    problemOf('[listenerConfig]\nhttpPort = 9095'),
    'ERR_CONFIG_CONTRADICTION 2 listenerConfig.httpPort',
  );
  load('[listenerConfig]\nhttpPort = 0\nhttpsPort = 0\ntokenListenerPort = 0\n');
});

test('-1 means no limit, or another key, where that is said', () => {
  const { config } = load(
    '[server]\ntimestampSkew = -1\n[keyManager]\ntimestampSkew = "7s"\n[httpClients.poolConfig]\nmaxActiveConnections = -1\n',
  );
  assert.equal(config.server.clockSkewMs, 7000);
  assert.equal(config.httpClients.maxConnections, undefined);
  assert.equal(
    load('[httpClients.poolConfig]\nmaxActiveConnections = 9').config.httpClients.maxConnections,
    9,
  );
  for (const [line, kept] of [
    ['', 100],
    ['maxIdleConnections = 0', 0],
    ['maxIdleConnections = 7', 7],
    ['maxIdleConnections = -1', undefined],
  ] as const) {
    const { httpClients } = load(`[httpClients.poolConfig]\n${line}`).config;
    assert.equal(httpClients.maxIdleConnections, kept);
  }
  assert.equal(load('').config.httpClients.maxWaitMs, 0);
  assert.equal(
    load('[httpClients.poolConfig]\nwaitTimeInMillis = 30000').config.httpClients.maxWaitMs,
    30_000,
  );
});

test('each entry that is no trusted proxy is named', () => {
  const [problem] = problemsOf('[server]\ntrustedProxies = ["proxy", "10.0.0.1", "::/129", "1.2"]');
  assert.match(problem?.message ?? '', /; "proxy", "::\/129" and "1\.2" are none$/);
  const many = JSON.stringify(Array.from({ length: 30 }, (_, at) => `p${at}`));
  const [first] = problemsOf(`[server]\ntrustedProxies = ${many}`);
  assert.match(first?.message ?? '', /; "p0", .*"p19" and 10 more are none$/);
});

test('trusted proxies are addresses or blocks', () => {
  const proxies = (list: string) => `[server]\ntrustedProxies = ${list}`;
  assert.deepEqual(load(proxies('["10.0.0.1", "::1", "fd00::/8"]')).config.server.trustedProxies, [
    '10.0.0.1',
    '::1',
    'fd00::/8',
  ]);
  for (const list of [
    '["10.0.0.0/33"]',
    '["::/129"]',
    '["proxy"]',
    '["10.0.0.1/"]',
    '["1.2.3"]',
    '["::1", "::1"]',
    '[""]',
    '["10.0.0.0/8/8"]',
  ])
    assert.match(problemOf(proxies(list)), /^ERR_CONFIG_BAD_VALUE 2/, list);
  assert.match(problemOf(proxies('[1]')), /^ERR_CONFIG_WRONG_TYPE 2/);
});

test('header names and values cannot carry a second header line', () => {
  const rule = (lines: string) => `[[server.headerConf]]\n${lines}`;
  assert.deepEqual(load(rule('headerName = "User-Agent"')).config.server.headerRules, [
    { name: 'User-Agent', preserve: false, value: 'ballerina' },
  ]);
  for (const text of [
    '[server]\nheader = "a\\r\\nx: y"',
    '[server]\nheader = "a\\u0000"',
    '[authConfig]\nauthorizationHeader = "a:b"',
    '[authConfig]\nauthorizationHeader = ""',
    rule('headerName = "a b"'),
  ])
    assert.match(problemOf(text), /^ERR_CONFIG_BAD_VALUE 2/, text);
  assert.match(
    problemOf(rule('preserveHeader = true')),
    /^ERR_CONFIG_CONTRADICTION 1 .*headerName$/,
  );
  assert.match(
    problemOf(`${rule('headerName = "a"')}\n${rule('headerName = "A"')}`),
    /CONTRADICTION 4/,
  );
  assert.equal(load('[server]\nheader = ""').config.server.header, 'ballerina');
});

test('Server of answers: server.header where it says something, else its rule, else ballerina', () => {
  const rule = (name: string, preserve: boolean) =>
    `[[server.headerConf]]\nheaderName = "${name}"\npreserveHeader = ${preserve}\noverrideValue = "ours"\n`;
  const said = (text: string) => load(text).config.server.header;
  assert.equal(said(''), 'ballerina');
  assert.equal(said(rule('Server', false)), 'ours');
  assert.equal(said(rule('server', false)), 'ours', 'in any case');
  assert.equal(said(`[server]\nheader = ""\n${rule('Server', false)}`), 'ours');
  assert.equal(said(`[server]\nheader = "mine"\n${rule('Server', false)}`), 'mine');
  assert.equal(said(`[server]\nheader = "ballerina"\n${rule('Server', false)}`), 'ballerina');
  assert.equal(said(rule('Server', true)), 'ballerina', "in the gateway's own answers");
  assert.equal(said(rule('User-Agent', false)), 'ballerina');
});

test('caching switched off caches nothing', () => {
  assert.equal(load('[caching]\nenabled = false').config.tokenCache.maxEntries, 0);
});
