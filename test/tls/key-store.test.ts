import assert from 'node:assert/strict';
import { X509Certificate, createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { chmod, copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect, createServer } from 'node:tls';
import fc from 'fast-check';
import { OperatorError } from '../../src/errors.ts';
import { issueCertificate } from '../../src/tls/certificate.ts';
import { createKeyStoreLoader, loadKeyStore } from '../../src/tls/key-store.ts';
import { loadTrustStore, trustedCertificate } from '../../src/tls/trust-store.ts';

const PASSWORD = 'changeit';
const fixture = (name: string) => new URL(`fixtures/${name}`, import.meta.url).pathname;
const fixtureText = (name: string) => readFile(fixture(name), 'utf8');
const fingerprint = (pem: string) => new X509Certificate(pem).fingerprint256;

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'portcullis-tls-'));
});
after(() => rm(folder, { recursive: true }));

async function file(name: string, content: string | Buffer): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

/** Fails unless it is refused with every one of the patterns, and without the password. */
async function refused(call: Promise<unknown>, path: string, ...patterns: RegExp[]) {
  const error: unknown = await call.then(
    () => assert.fail('must be refused'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof OperatorError, String(error));
  assert.equal(error.code, 'ERR_KEY_STORE');
  assert.ok(error.message.startsWith(`${path}: `), error.message);
  for (const pattern of patterns) assert.match(error.message, pattern);
  assert.doesNotMatch(`${error.stack}${String(error.cause)}`, /s3cret|changeit/);
}

/** The subject that a client sees, which checks against the fixtures' authority. */
async function handshake(store: { key: string; cert: string }): Promise<string> {
  const server = createServer({ key: store.key, cert: store.cert }, (socket) => socket.end());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const socket = connect({
      port: (server.address() as AddressInfo).port,
      host: '127.0.0.1',
      ca: await fixtureText('authority.pem'),
    });
    await once(socket, 'secureConnect');
    const subject = socket.getPeerX509Certificate()?.subject ?? '';
    socket.destroy();
    return subject;
  } finally {
    server.close();
    await once(server, 'close');
  }
}

describe('key stores', () => {
  for (const [name, alias] of [
    ['java.p12', 'gateway'],
    ['java-legacy.p12', 'gateway'],
    // A secret key in it is passed over.
    ['secret-key.p12', 'gateway'],
    ['java.jks', 'gateway'],
    ['openssl.p12', 'openssl'],
    ['openssl-legacy.p12', 'openssl'],
  ] as const) {
    test(`${name}: the key with its chain, and a TLS server runs on it`, async () => {
      const store = await loadKeyStore(fixture(name), PASSWORD);
      assert.equal(store.alias, alias);
      assert.deepEqual(store.warnings, []);
      const expected = createPrivateKey(await fixtureText('gateway-key.pem'));
      assert.ok(createPrivateKey(store.key).equals(expected));
      const chain = store.cert.match(/-----BEGIN[^]*?-----END CERTIFICATE-----/g) ?? [];
      assert.deepEqual(chain.map(fingerprint), [
        fingerprint(await fixtureText('gateway.pem')),
        fingerprint(await fixtureText('authority.pem')),
      ]);
      assert.equal(await handshake(store), 'CN=localhost');
    });
  }

  test('PEM: key and certificates in any order, plain, encrypted, and in the older key forms', async () => {
    const [key, gateway, authority] = await Promise.all(
      ['gateway-key.pem', 'gateway.pem', 'authority.pem'].map(fixtureText),
    );
    const privateKey = createPrivateKey(key ?? '');
    const encrypted = privateKey.export({
      type: 'pkcs8',
      format: 'pem',
      cipher: 'aes-256-cbc',
      passphrase: PASSWORD,
    });
    const sec1 = privateKey.export({ type: 'sec1', format: 'pem' });
    const oldEncrypted = privateKey.export({
      type: 'sec1',
      format: 'pem',
      cipher: 'aes-128-cbc',
      passphrase: PASSWORD,
    });
    for (const form of [key, encrypted, sec1, oldEncrypted]) {
      const path = await file('store.txt', `${authority}\n${String(form)}\nwords\n${gateway}`);
      const store = await loadKeyStore(path, PASSWORD);
      assert.equal(await handshake(store), 'CN=localhost');
      assert.equal(store.cert.match(/BEGIN/g)?.length, 2);
    }
    const path = await file('store.pem', `${String(encrypted)}${gateway}`);
    await refused(loadKeyStore(path, 's3cret'), path, /password is wrong/);
  });

  test('the content decides what a file is, not its name', async () => {
    const path = join(folder, 'really-jks.p12');
    await copyFile(fixture('java.jks'), path);
    assert.equal((await loadKeyStore(path, PASSWORD)).alias, 'gateway');
  });

  test('an alias chooses among keys, in any case; without one the first is taken and said', async () => {
    const path = fixture('two-keys.p12');
    const second = await loadKeyStore(path, PASSWORD, 'SECOND');
    assert.match(new X509Certificate(second.cert).subject, /CN=second/);
    assert.deepEqual(second.warnings, []);
    const first = await loadKeyStore(path, PASSWORD);
    assert.match(new X509Certificate(first.cert).subject, /CN=first/);
    assert.match(first.warnings.join(), /"first", "second"; "first" is used/);
    await refused(
      loadKeyStore(path, PASSWORD, 'third'),
      path,
      /no alias "third".*"first", "second"/,
    );
    const java = fixture('java.p12');
    await refused(
      loadKeyStore(java, PASSWORD, 'trusted stranger'),
      java,
      /no alias "trusted stranger"; it has "gateway"$/,
    );
  });

  test('a wrong password is said for every format, and never shown', async () => {
    for (const name of [
      'java.p12',
      'java-legacy.p12',
      'secret-key.p12',
      'java.jks',
      'rsa.jks',
      'openssl.p12',
      'openssl-legacy.p12',
      'trust.p12',
    ]) {
      for (const password of ['s3cret', 's3cret\u00e9', '']) {
        await refused(loadKeyStore(fixture(name), password), fixture(name), /password/);
      }
    }
  });

  test('what is not there, not readable, not a key store, or damaged is refused with its name', async () => {
    const missing = join(folder, 'missing.p12');
    await refused(loadKeyStore(missing, 's3cret'), missing, /no such file: .*path/);
    await refused(loadKeyStore(folder, 's3cret'), folder, /is not a file/);
    const jceks = fixture('java.jceks');
    await refused(loadKeyStore(jceks, PASSWORD), jceks, /JCEKS.*keytool -importkeystore/);
    const noise = await file('noise', 'hello');
    await refused(loadKeyStore(noise, 's3cret'), noise, /not a key store/);
    const empty = await file('empty', '');
    await refused(loadKeyStore(empty, 's3cret'), empty, /not a key store/);
    const mere = fixture('authority.pem');
    await refused(
      loadKeyStore(mere, 's3cret'),
      mere,
      /no private key: both have to be in the one file/,
    );
    const alone = fixture('gateway-key.pem');
    await refused(loadKeyStore(alone, 's3cret'), alone, /without its certificate/);
    const endless = await file('endless.pem', '-----BEGIN CERTIFICATE-----\nMIIB');
    await refused(loadKeyStore(endless, 's3cret'), endless, /damaged/);
    const huge = await file('huge.p12', Buffer.alloc(8 * 1024 * 1024 + 1, 0x30));
    await refused(loadKeyStore(huge, 's3cret'), huge, /larger than/);
  });

  test('a file that this user may not read is said so', async () => {
    const path = await file('closed.p12', 'x');
    await chmod(path, 0);
    // root may read everything: give that up for the call.
    const isRoot = process.geteuid?.() === 0;
    if (isRoot) {
      await chmod(folder, 0o755);
      process.seteuid?.(65_534);
    }
    try {
      await refused(loadKeyStore(path, 's3cret'), path, /may not be read by this user/);
    } finally {
      if (isRoot) process.seteuid?.(0);
    }
  });

  test('damage anywhere is a refusal with the name of the file, whatever the bytes', async () => {
    for (const name of ['openssl.p12', 'java.jks', 'gateway.pem']) {
      const whole = await readFile(fixture(name));
      await fc.assert(
        fc.asyncProperty(
          fc.nat(whole.length - 1),
          fc.integer({ min: 1, max: 255 }),
          fc.boolean(),
          async (at, flip, cut) => {
            const bytes = Buffer.from(cut ? whole.subarray(0, at) : whole);
            if (!cut) bytes[at] = (bytes[at] ?? 0) ^ flip;
            const path = await file('damaged', bytes);
            const error: unknown = await loadTrustStore(path, PASSWORD).then(
              () => undefined,
              (reason: unknown) => reason,
            );
            // Words around a PEM block may change without harm.
            if (error === undefined) return;
            assert.ok(error instanceof OperatorError);
            assert.ok(error.message.startsWith(path));
          },
        ),
        { numRuns: 40 },
      );
    }
  });

  test('a certificate out of its validity loads with a warning', async () => {
    const day = 86_400_000;
    const expired = await issueCertificate({
      commonName: 'old',
      purpose: 'server',
      notBefore: new Date(Date.now() - 2 * day),
      notAfter: new Date(Date.now() - day),
    });
    const early = await issueCertificate({
      commonName: 'early',
      purpose: 'server',
      notBefore: new Date(Date.now() + day),
      notAfter: new Date(Date.now() + 2 * day),
    });
    const path = await file('old.pem', expired.key + expired.cert);
    assert.match((await loadKeyStore(path, '')).warnings.join(), /"old" expired on \d{4}-/);
    const both = await file('both.pem', expired.cert + early.cert);
    const { warnings } = await loadTrustStore(both, '');
    assert.match(warnings.join('\n'), /"old" expired on .*\n.*"early" is not valid before /);
  });

  test('a loader answers with the same object until the bytes change', async () => {
    const path = join(folder, 'reload.p12');
    await copyFile(fixture('java.p12'), path);
    const load = createKeyStoreLoader(path, PASSWORD);
    const first = await load();
    await copyFile(fixture('java.p12'), path);
    assert.equal(await load(), first);
    await copyFile(fixture('rsa.jks'), path);
    assert.equal((await load()).alias, 'rsa');
    await writeFile(path, 'half');
    await refused(load(), path, /not a key store/);
    await copyFile(fixture('java.p12'), path);
    assert.equal((await load()).cert, first.cert);
  });
});

describe('trust stores', () => {
  test("Java's: aliases in any case, the certificates themselves", async () => {
    const store = await loadTrustStore(fixture('trust.p12'), PASSWORD);
    assert.deepEqual([...store.byAlias.keys()].sort(), ['ballerina', 'wso2apim310']);
    const gateway = fingerprint(await fixtureText('gateway.pem'));
    for (const alias of ['wso2apim310', 'WSO2apim310']) {
      assert.equal(trustedCertificate(store, alias).fingerprint256, gateway);
    }
    assert.throws(
      () => trustedCertificate(store, 'wso2'),
      /trust\.p12: has no alias "wso2"; it has ("ballerina", "wso2apim310"|"wso2apim310", "ballerina")$/,
    );
    assert.equal(store.pem.length, 2);
    assert.ok(store.pem.map(fingerprint).includes(gateway));
  });

  test('one without password, one by OpenSSL, one DER certificate', async () => {
    const open = await loadTrustStore(fixture('open-trust.p12'), '');
    assert.deepEqual([...open.byAlias.keys()], ['open']);
    const openssl = await loadTrustStore(fixture('openssl-trust.p12'), PASSWORD);
    assert.equal(openssl.pem.length, 1);
    const path = await file('one.cer', new X509Certificate(await fixtureText('stranger.pem')).raw);
    const der = await loadTrustStore(path, '');
    assert.deepEqual([...der.byAlias.keys()], ['stranger.example']);
  });

  test('of a key only its own certificate is trusted, not the authority in its chain', async () => {
    for (const name of ['java.p12', 'java-legacy.p12', 'java.jks', 'secret-key.p12']) {
      const store = await loadTrustStore(fixture(name), PASSWORD);
      assert.deepEqual([...store.byAlias.keys()].sort(), ['gateway', 'trusted stranger']);
      const authority = fingerprint(await fixtureText('authority.pem'));
      assert.ok(!store.pem.map(fingerprint).includes(authority), name);
    }
    const openssl = await loadTrustStore(fixture('openssl.p12'), PASSWORD);
    assert.deepEqual([...openssl.byAlias.keys()], ['openssl']);
  });

  test('PEM: friendly name, else CN, else number; repeated names are numbered', async () => {
    const { publicKey } = generateKeyPairSync('ed25519');
    const texts = await Promise.all(
      ['authority.pem', 'stranger.pem', 'authority.pem', 'gateway.pem'].map(fixtureText),
    );
    const path = await file(
      'bundle.pem',
      `${texts.slice(0, 3).join('\n')}${publicKey.export({ type: 'spki', format: 'pem' }).toString()}
Bag Attributes
    friendlyName: My Issuer
${texts[3]}`,
    );
    const store = await loadTrustStore(path, '');
    assert.deepEqual(
      [...store.byAlias.keys()],
      ['test authority', 'stranger.example', 'test authority-2', 'my issuer'],
    );
    assert.equal(store.pem.length, 3);
  });

  test('a store without a single certificate is refused, not empty trust', async () => {
    const path = await file('only-words.pem', '-----BEGIN WORDS-----\nx\n-----END WORDS-----\n');
    await refused(loadTrustStore(path, ''), path, /neither a key nor a trusted certificate/);
  });
});
