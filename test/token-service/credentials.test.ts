import assert from 'node:assert/strict';
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { OperatorError, type OperatorErrorCode } from '../../src/errors.ts';
import { isLoopback } from '../../src/token-service/credentials.ts';
import { ensureCredentials, readCredentials } from '../../src/token-service/credentials-file.ts';
import { hashSecret, secretOf } from '../../src/token-service/secret.ts';
import { basic, credentials, CREDENTIALS, startService, temporaryFolder } from './fixture.ts';

function coded(code: OperatorErrorCode, text: RegExp = /./): (error: unknown) => boolean {
  return (error) =>
    error instanceof OperatorError && error.code === code && text.test(error.message);
}

const modeOf = (file: string): string => (statSync(file).mode & 0o777).toString(8);

test('credentials are made at random once, readable by the owner only', (t) => {
  const file = join(temporaryFolder(t), 'deep', 'credentials.json');
  assert.equal(ensureCredentials(file).created, true);
  assert.equal(modeOf(file), '600');
  const text = readFileSync(file, 'utf8');
  const again = ensureCredentials(file);
  assert.equal(again.created, false);
  assert.equal(readFileSync(file, 'utf8'), text);
  assert.deepEqual(readdirSync(join(file, '..')), ['credentials.json']);
  const other = join(temporaryFolder(t), 'credentials.json');
  ensureCredentials(other);
  const secrets = [...text.matchAll(/"(?:secret|password)": "([^"]+)"/g)].map(
    ([, secret]) => secret ?? '',
  );
  assert.equal(new Set(secrets).size, 4);
  for (const secret of secrets) {
    assert.ok(secret.length >= 43);
    assert.ok(!readFileSync(other, 'utf8').includes(secret));
  }
});

test('the state file is readable by the owner only, and an open one refuses the start', async (t) => {
  const running = await startService(t);
  assert.equal(modeOf(running.stateFile), '600');
  for (const name of readdirSync(join(running.stateFile, '..'))) {
    assert.equal(modeOf(join(running.stateFile, '..', name)), '600', name);
  }
  await running.close();
  chmodSync(running.stateFile, 0o640);
  await assert.rejects(
    startService(t, { stateFile: running.stateFile }),
    coded('ERR_TOKEN_SERVICE_FILE_MODE', /mode 640/),
  );
});

test('no secret of a client or user is in the state file', async (t) => {
  const running = await startService(t);
  await running.token(basic('alice', 'alice-secret'));
  await running.close();
  const bytes = readFileSync(running.stateFile);
  for (const secret of ['alice-secret', 'the-admin-password']) assert.ok(!bytes.includes(secret));
});

test('two services cannot share a state file, and a foreign file is not touched', async (t) => {
  const running = await startService(t);
  await assert.rejects(
    startService(t, { stateFile: running.stateFile }),
    coded('ERR_TOKEN_SERVICE_STATE', /in use by another process/),
  );
  const foreign = join(temporaryFolder(t), 'foreign');
  writeFileSync(foreign, 'not a database', { mode: 0o600 });
  await assert.rejects(startService(t, { stateFile: foreign }), coded('ERR_TOKEN_SERVICE_STATE'));
  assert.equal(readFileSync(foreign, 'utf8'), 'not a database');
});

test('a file with plain secrets that others can read is refused; one with hashes only is not', async (t) => {
  const file = join(temporaryFolder(t), 'credentials.json');
  writeFileSync(file, JSON.stringify(CREDENTIALS), { mode: 0o644 });
  assert.throws(() => readCredentials(file), coded('ERR_TOKEN_SERVICE_FILE_MODE', /mode 644/));
  const hash = await hashSecret('a secret');
  writeFileSync(file, JSON.stringify({ clients: [{ id: 'a', secret: hash }] }));
  assert.equal(modeOf(file), '644');
  const [client] = readCredentials(file).clients;
  assert.ok(await client?.secret.matches('a secret'));
  assert.ok(!(await client?.secret.matches('another')));
  assert.ok(!(await client?.secret.matches(hash)));
});

test('TOML says the same as JSON', (t) => {
  const file = join(temporaryFolder(t), 'credentials.toml');
  const toml = `
[admin]
username = "admin"
password = "p"
[[readers]]
certificate = "gateway-1"
[[clients]]
id = "a"
secret = "s"
scopes = ["x"]
revokeAny = true
`;
  writeFileSync(file, toml, { mode: 0o600 });
  const read = readCredentials(file);
  assert.deepEqual([read.users[0]?.name, read.readerCertificates], ['admin', ['gateway-1']]);
  assert.deepEqual([read.clients[0]?.scopes, read.clients[0]?.revokeAny], [['x'], true]);
});

test('a file that cannot be used says why and shows no secret', (t) => {
  const folder = temporaryFolder(t);
  const client = { id: 'a', secret: 'hush-hush' };
  const bad: [unknown, RegExp][] = [
    [[], /must be a table/],
    [{}, /names nobody/],
    [{ admins: {} }, /unknown key "admins"; known are admin, readers, clients/],
    [{ clients: [{ ...client, scope: 'x' }] }, /clients\[0\] has the unknown key "scope"/],
    [{ clients: [{ ...client, secret: '' }] }, /clients\[0\]\.secret/],
    [{ clients: [{ ...client, secret: 7 }] }, /clients\[0\]\.secret/],
    [{ clients: [{ ...client, secret: 'scrypt:1:1:1:hush-hush:x' }] }, /scrypt/],
    [{ clients: [client, client] }, /clients\[1\]\.id is used twice/],
    [{ admin: { username: 'a', password: 'hush-hush' }, clients: [client] }, /used twice/],
    [{ clients: [{ ...client, id: 'a:b' }] }, /without a colon/],
    [{ clients: [{ ...client, scopes: ['a b'] }] }, /no scope/],
    [{ clients: [{ ...client, revokeAny: 'yes' }] }, /true or false/],
    [{ clients: [{ ...client, tokenFormat: 'paper' }] }, /jwt or opaque/],
    [{ clients: [{ ...client, tokenLifeSeconds: 0 }] }, /tokenLifeSeconds/],
    [{ clients: [{ ...client, keytype: 'TEST' }] }, /PRODUCTION or SANDBOX/],
    [{ clients: {} }, /must be a list/],
  ];
  for (const [content, message] of bad) {
    const file = join(folder, 'credentials.json');
    writeFileSync(file, JSON.stringify(content), { mode: 0o600 });
    assert.throws(
      () => readCredentials(file),
      (error) =>
        coded('ERR_TOKEN_SERVICE_CREDENTIALS', message)(error) &&
        (error as Error).message.startsWith(file) &&
        !(error as Error).message.includes('hush-hush'),
      JSON.stringify(content),
    );
  }
  for (const name of ['broken.json', 'broken.toml']) {
    const file = join(folder, name);
    writeFileSync(file, '{ "secret": "hush-hush" ', { mode: 0o600 });
    assert.throws(
      () => readCredentials(file),
      (error) =>
        coded('ERR_TOKEN_SERVICE_CREDENTIALS', /not valid/)(error) &&
        !(error as Error).message.includes('hush-hush'),
    );
  }
  assert.throws(
    () => readCredentials(join(folder, 'absent')),
    coded('ERR_TOKEN_SERVICE_CREDENTIALS'),
  );
});

test('well-known passwords work on loopback and refuse the start anywhere else', async (t) => {
  const weak: [string, unknown][] = [
    ['admin/admin', { admin: { username: 'admin', password: 'admin' } }],
    ['a name as its own password', { clients: [{ id: 'zork', secret: 'zork' }] }],
    ['a known word', { readers: [{ username: 'x', password: 'wso2carbon' }] }],
    ['a known word, hashed', { clients: [{ id: 'x', secret: await hashSecret('changeit') }] }],
  ];
  for (const [what, content] of weak) {
    const stateFile = join(temporaryFolder(t), 'state.sqlite');
    await assert.rejects(
      startService(t, { credentials: credentials(content), host: '0.0.0.0', stateFile }),
      coded('ERR_TOKEN_SERVICE_WELL_KNOWN_PASSWORD', /0\.0\.0\.0/),
      what,
    );
    assert.ok(!existsSync(stateFile), 'refused before anything is made');
  }
  const running = await startService(t, { credentials: credentials(weak[0]?.[1]) });
  const list = await running.request('/internal/data/v1/revokedjwt', {
    headers: { Authorization: basic('admin', 'admin') },
  });
  assert.equal(list.status, 200);
  await startService(t, { host: '0.0.0.0' });
});

test('loopback is what only this machine can reach', () => {
  for (const host of ['127.0.0.1', '127.8.9.1', '::1', 'localhost'])
    assert.ok(isLoopback(host), host);
  for (const host of ['0.0.0.0', '::', '10.0.0.1', '127.evil.test', 'localhost.evil.test', '']) {
    assert.ok(!isLoopback(host), host);
  }
});

test('a hashed secret serves a client over HTTP, and too many guesses at once are 503', async (t) => {
  const secret = 'correct horse battery staple';
  const running = await startService(t, {
    credentials: credentials({ clients: [{ id: 'a', secret: await hashSecret(secret) }] }),
  });
  const grant = { grant_type: 'client_credentials' };
  const right = await running.post('/oauth2/token', basic('a', secret), grant);
  assert.equal(right.status, 200);
  const guesses = await Promise.all(
    Array.from({ length: 60 }, (_, i) => running.post('/oauth2/token', basic('a', `x${i}`), grant)),
  );
  const statuses = new Set(guesses.map(({ status }) => status));
  assert.deepEqual(statuses, new Set([401, 503]));
  const during = await running.post('/oauth2/token', basic('a', secret), grant);
  assert.equal(during.status, 200, 'a secret that was proved once needs no derivation');
});

test('a plain secret matches itself only', async () => {
  const secret = secretOf('s€cret');
  assert.ok(await secret.matches('s€cret'));
  for (const other of ['', 's€cre', 's€crett', 'S€CRET']) assert.ok(!(await secret.matches(other)));
});
