import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { load, problemOf, problemsOf, put, scratch } from './fixture.ts';

const folder = scratch();

function password(value: string, env: Record<string, string> = {}): string | undefined {
  const text = `[keymanager.security.basic]\npassword = ${value}\n`;
  return load(text, { env }).config.keyManager.basic?.password;
}

test('variables, files and the home folder are put into any string', () => {
  const file = put(join(folder, 'secret'), 'geheim\n\n');
  assert.equal(password("'${env:PW}'", { PW: 's3cret' }), 's3cret');
  assert.equal(password(`'\${file:${file}}'`), 'geheim\n');
  assert.equal(password(`'a-\${env:PW}-\${file:${file}}'`, { PW: 'b' }), 'a-b-geheim\n');
  assert.equal(password("'$${env:PW}'"), '${env:PW}');
  assert.equal(password("'cost: $5 {x}'"), 'cost: $5 {x}');
  const { config } = load('[listenerConfig]\nkeyStorePath = "${mgw-runtime.home}/k.p12"\n');
  assert.equal(config.listeners.keyStore?.path, join(config.home, 'k.p12'));
});

test('what was put in is not searched again', () => {
  assert.equal(password("'${env:PW}'", { PW: '${env:PATH}' }), '${env:PATH}');
});

test('flags and variables may hold placeholders, and numbers may come out of one', () => {
  const { config } = load('[listenerConfig]\nhttpPort = "${env:PORT}"\n', {
    env: { PORT: '8081', NAME: 'x', server_header: '${env:NAME}' },
    argv: ['--listenerConfig.httpsPort=${env:PORT}', '--listenerConfig.httpsPort=0'],
  });
  assert.equal(config.listeners.httpPort, 8081);
  assert.equal(config.server.header, 'x');
});

test('lists and the keys of an extension are searched in every depth', () => {
  const text = [
    '[[jwtTokenConfig]]',
    'audience = ["a", "${env:AUD}"]',
    '[tokenRevocationConfig.persistent]',
    'enablePersistentStorageRetrieval = true',
    'type = "redis"',
    '[[tokenRevocationConfig.persistent.nodes]]',
    'host = "${env:AUD}"',
    '[[tokenRevocationConfig.persistent.nodes]]',
    'ports = [1, { inner = "${env:AUD}" }]',
  ].join('\n');
  const { config } = load(text, { env: { AUD: 'b' } });
  assert.deepEqual(config.auth.issuers[0]?.audience, ['a', 'b']);
  const [source] = config.revocation.sources;
  assert.equal(source?.type, 'extension');
  assert.deepEqual(source.section['nodes'], [{ host: 'b' }, { ports: [1, { inner: 'b' }] }]);
});

test('what cannot be replaced refuses the start with line and name', () => {
  put(join(folder, 'bytes'), new Uint8Array([0xff, 0xfe]));
  put(join(folder, 'large'), new Uint8Array(1024 * 1024 + 1));
  for (const text of [
    '${env:NOT_SET}',
    `\${file:${folder}/missing}`,
    `\${file:${folder}}`,
    `\${file:${folder}/bytes}`,
    `\${file:${folder}/large}`,
    '${ENV:X}',
    '${env:}',
    '${}',
    '${env:X',
    '${mgw-runtime.hom}',
  ]) {
    const problem = problemOf(`\n[keymanager.security.basic]\npassword = '${text}'\n`);
    assert.equal(problem, 'ERR_CONFIG_PLACEHOLDER 3 keymanager.security.basic.password', text);
  }
  assert.match(problemsOf("[server]\nheader = '${env:NOPE}'")[0]?.message ?? '', /NOPE is not set/);
});

test('an empty variable is a value, and an impossible one where a text is needed', () => {
  assert.equal(password("'${env:EMPTY}'", { EMPTY: '' }), '');
  assert.match(
    problemOf("[listenerConfig]\nhost = '${env:EMPTY}'", { env: { EMPTY: '' } }),
    /BAD_VALUE 2/,
  );
});

test('no message repeats what came out of a placeholder', () => {
  const env = { CANARY: 'c4n4ry' };
  for (const text of [
    '[listenerConfig]\nhttpPort = "${env:CANARY}"',
    '[b7a.log]\nlevel = "${env:CANARY}"',
    '[server]\ntrustedProxies = ["${env:CANARY}"]',
    '[server]\ndrainTimeout = "${env:CANARY}"',
    '[http2]\nenable = "${env:CANARY}"',
    '[[jwtTokenConfig]]\nalgorithms = "${env:CANARY}"',
    '[[jwtTokenConfig]]\njwksURL = "${env:CANARY}"',
  ]) {
    const problems = problemsOf(text, { env });
    assert.equal(problems.length, 1, text);
    assert.doesNotMatch(problems[0]?.message ?? '', /c4n4ry/);
  }
});
