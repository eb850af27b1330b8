import assert from 'node:assert/strict';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose';
import { OperatorError } from '../../src/errors.ts';
import { SIGNING_ALGORITHMS } from '../../src/token-service/options.ts';
import { ALICE, certificates, type Running, startService } from './fixture.ts';

const DAY = 86_400_000;

async function jwks({ request }: Running): Promise<JSONWebKeySet> {
  const answer = await request('/oauth2/jwks');
  assert.equal(answer.status, 200);
  return (await answer.json()) as JSONWebKeySet;
}

async function kidOf({ token }: Running): Promise<string> {
  const header = (await token(ALICE)).split('.')[0] ?? '';
  return (JSON.parse(Buffer.from(header, 'base64url').toString()) as { kid: string }).kid;
}

/** Every member name at any depth. */
function members(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => [name, ...members(inner)]);
}

for (const algorithm of SIGNING_ALGORITHMS) {
  test(`${algorithm}: the key set verifies the tokens and shows no private member at any depth`, async (t) => {
    const running = await startService(t, { algorithm });
    const set = await jwks(running);
    const secret = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k', 'oth', 'priv'];
    assert.deepEqual(
      members(set).filter((name) => secret.includes(name)),
      [],
    );
    const { protectedHeader } = await jwtVerify(
      await running.token(ALICE),
      createLocalJWKSet(set),
      { algorithms: [algorithm] },
    );
    assert.equal(protectedHeader.kid, set.keys[0]?.kid);
    assert.equal(set.keys[0]?.use, 'sig');
    assert.equal(set.keys[0]?.alg, algorithm);
  });
}

test('a new key is published before it signs, and the old one until its last token is dead', async (t) => {
  const start = Date.parse('2026-01-01T00:00:00Z');
  let now = start;
  const running = await startService(t, {
    now: () => now,
    algorithm: 'ES256',
    keyLifeSeconds: (10 * DAY) / 1000,
    keyLeadSeconds: DAY / 1000,
    longestTokenLifeSeconds: (2 * DAY) / 1000,
  });
  const at = async (days: number): Promise<{ published: string[]; signs: string }> => {
    now = start + days * DAY;
    await running.service.upkeep();
    const { keys } = await jwks(running);
    return { published: keys.map((key) => String(key.kid)), signs: await kidOf(running) };
  };
  const first = await at(0);
  assert.equal(first.published.length, 1);
  assert.deepEqual(await at(8.9), first);
  const overlap = await at(9.1);
  assert.equal(overlap.published.length, 2, 'published one lead before it signs');
  assert.equal(overlap.signs, first.signs);
  const second = overlap.published[1];
  const changed = await at(10.2);
  assert.equal(changed.signs, second);
  assert.deepEqual(changed.published, overlap.published);
  assert.deepEqual((await at(12)).published, overlap.published, 'a token of the old key may live');
  assert.deepEqual((await at(12.2)).published, [second]);
});

test('a service that slept past a rotation still publishes the new key before it signs', async (t) => {
  let now = Date.parse('2026-01-01T00:00:00Z');
  const running = await startService(t, { now: () => now, algorithm: 'ES256' });
  const first = await kidOf(running);
  now += 200 * DAY;
  await running.service.upkeep();
  assert.equal((await jwks(running)).keys.length, 2);
  assert.equal(await kidOf(running), first);
  now += DAY;
  assert.notEqual(await kidOf(running), first);
});

test('rotation on demand publishes one key at a time', async (t) => {
  let now = Date.now();
  const running = await startService(t, { now: () => now, algorithm: 'EdDSA' });
  const first = await kidOf(running);
  await running.service.rotateSigningKey();
  await running.service.rotateSigningKey();
  assert.equal((await jwks(running)).keys.length, 2);
  assert.equal(await kidOf(running), first);
  now += DAY;
  assert.notEqual(await kidOf(running), first);
});

test('keys survive a restart', async (t) => {
  const first = await startService(t, { algorithm: 'ES256' });
  const before = await jwks(first);
  await first.close();
  const second = await startService(t, { stateFile: first.stateFile, algorithm: 'ES384' });
  assert.deepEqual(await jwks(second), before, 'another algorithm is for the next key');
});

test('an operator’s own key signs, with its certificate in the key set', async (t) => {
  const { server } = await certificates();
  const running = await startService(t, {
    signingKey: { privateKey: server.key, certificate: server.cert },
  });
  const [key] = (await jwks(running)).keys;
  const x509 = new X509Certificate(server.cert);
  assert.deepEqual(key?.x5c, [x509.raw.toString('base64')]);
  const token = await running.token(ALICE);
  const { protectedHeader } = await jwtVerify(token, x509.publicKey, { algorithms: ['RS256'] });
  assert.equal(protectedHeader.x5t, key?.x5t);
});

test('a signing key that is too small, or not the certificate’s, refuses the start', async (t) => {
  const { server, authority } = await certificates();
  const small = generateKeyPairSync('rsa', {
    modulusLength: 1024,
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
  for (const signingKey of [
    { privateKey: small.privateKey },
    { privateKey: server.key, certificate: authority.cert },
    { privateKey: 'no key' },
  ]) {
    await assert.rejects(
      startService(t, { signingKey }),
      (error) =>
        error instanceof OperatorError &&
        error.code === 'ERR_TOKEN_SERVICE_OPTION' &&
        !error.message.includes('PRIVATE'),
    );
  }
});
