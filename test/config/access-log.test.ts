import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load, problemOf, warningsOf } from './fixture.ts';

const TABLE = '[b7a.http.accesslog]\n';

test('there is no access log unless it is to go somewhere', () => {
  assert.equal(load('').config.accessLog, undefined);
  assert.equal(load(`${TABLE}format = "json"\nsample = 10`).config.accessLog, undefined);
  assert.equal(load(`${TABLE}console = false`).config.accessLog, undefined);
});

test('the keys of WSO2 switch it on, without a warning', () => {
  for (const [text, expected] of [
    ['console = true', { console: true, path: undefined, format: 'combined', sample: 1 }],
    [
      'path = "/x/access.log"',
      { console: false, path: '/x/access.log', format: 'combined', sample: 1 },
    ],
    [
      'console = true\nformat = "json"\nsample = 100',
      { console: true, path: undefined, format: 'json', sample: 100 },
    ],
  ] as const) {
    assert.deepEqual(load(TABLE + text).config.accessLog, expected);
    assert.deepEqual(warningsOf(TABLE + text), warningsOf(''));
  }
  const flag = ['--b7a.http.accesslog.path=/x/flag.log'];
  assert.equal(load('', { argv: flag }).config.accessLog?.path, '/x/flag.log');
});

test('what cannot be meant is refused, and the trace log is still a WSO2 key without effect', () => {
  for (const line of ['format = "xml"', 'sample = 0', 'path = ""'])
    assert.match(problemOf(TABLE + line), /^ERR_CONFIG_BAD_VALUE 2 b7a\.http\.accesslog\./, line);
  assert.match(problemOf(`${TABLE}sample = 0.5`), /^ERR_CONFIG_WRONG_TYPE 2 /);
  assert.match(problemOf(`${TABLE}formt = "json"`), /^ERR_CONFIG_UNKNOWN_KEY 2 /);
  assert.match(warningsOf('[b7a.http.tracelog]\nconsole = true').join(), /b7a\.http\.tracelog/);
});
