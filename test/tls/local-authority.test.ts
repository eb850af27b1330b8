import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { text as readAll } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { connect, createServer } from 'node:tls';
import { promisify } from 'node:util';
import { issueCertificate } from '../../src/tls/certificate.ts';
import { ensureLocalAuthority, ensureServerCertificate } from '../../src/tls/local-authority.ts';

const run = promisify(execFile);
const DAY_MS = 86_400_000;

let folder: string;
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'portcullis-authority-')), 'security');
});
afterEach(() => rm(join(folder, '..'), { recursive: true }));

const modeOf = async (path: string) => ((await stat(path)).mode & 0o777).toString(8);
const daysLeft = (pem: string) =>
  Math.round((new X509Certificate(pem).validToDate.getTime() - Date.now()) / DAY_MS);

describe('the local authority', () => {
  test('is made once, its key for its owner only, and stays', async () => {
    const mask = process.umask(0);
    const made = await ensureLocalAuthority(folder).finally(() => process.umask(mask));
    assert.equal(await modeOf(folder), '755', 'whatever the umask is');
    assert.equal(made.created, true);
    assert.deepEqual(made.warnings, []);
    assert.equal(await modeOf(join(folder, 'local-ca-key.pem')), '600');
    assert.equal(await readFile(made.caFile, 'utf8'), made.caPem);
    assert.doesNotMatch(made.caPem, /PRIVATE KEY/);
    assert.equal(daysLeft(made.caPem), 3650);
    const again = await ensureLocalAuthority(folder);
    assert.deepEqual(again, { ...made, created: false });
    assert.deepEqual((await readdir(folder)).sort(), ['local-ca-key.pem', 'local-ca.pem']);
  });

  test('has its public file restored when that is missing or differs', async () => {
    const made = await ensureLocalAuthority(folder);
    await rm(made.caFile);
    await ensureLocalAuthority(folder);
    assert.equal(await readFile(made.caFile, 'utf8'), made.caPem);
    await writeFile(made.caFile, 'half');
    await ensureLocalAuthority(folder);
    assert.equal(await readFile(made.caFile, 'utf8'), made.caPem);
  });

  test('is one, however many processes start at once', async () => {
    const script = `
      import { ensureLocalAuthority, ensureServerCertificate } from ${JSON.stringify(
        new URL('../../src/tls/local-authority.ts', import.meta.url).href,
      )};
      const authority = await ensureLocalAuthority(process.argv[1]);
      const server = await ensureServerCertificate(process.argv[1], 'gateway');
      console.log(JSON.stringify([authority, server]));`;
    const outcomes = await Promise.all(
      [1, 2, 3].map(async () => {
        const child = spawn(process.execPath, ['--input-type=module', '-e', script, folder], {
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        return JSON.parse(await readAll(child.stdout)) as [
          { caPem: string; created: boolean },
          { cert: string; created: boolean },
        ];
      }),
    );
    assert.equal(new Set(outcomes.map(([authority]) => authority.caPem)).size, 1);
    assert.equal(new Set(outcomes.map(([, server]) => server.cert)).size, 1);
    assert.equal(outcomes.filter(([authority]) => authority.created).length, 1);
    assert.equal(outcomes.filter(([, server]) => server.created).length, 1);
    assert.equal((await readdir(folder)).length, 3);
  });

  test(
    'warns when others may read its key, and still serves',
    { skip: process.platform === 'win32' },
    async () => {
      await ensureLocalAuthority(folder);
      await chmod(join(folder, 'local-ca-key.pem'), 0o640);
      const { warnings } = await ensureLocalAuthority(folder);
      assert.match(warnings.join(), /local-ca-key\.pem: others .* \(mode 0640\)/);
    },
  );

  test('is refused when its file is damaged, expired, no authority, or the folder cannot be', async () => {
    const refusal = (pattern: RegExp) => ({ code: 'ERR_LOCAL_AUTHORITY', message: pattern });
    await ensureLocalAuthority(folder);
    const file = join(folder, 'local-ca-key.pem');
    await writeFile(file, '-----BEGIN PRIVATE KEY-----\n');
    await assert.rejects(
      ensureLocalAuthority(folder),
      refusal(/local-ca-key\.pem: .*damaged.*delete it/),
    );
    const expired = await issueCertificate({
      commonName: 'Portcullis local authority x',
      purpose: 'authority',
      notBefore: new Date(Date.now() - 2 * DAY_MS),
      notAfter: new Date(Date.now() - DAY_MS),
    });
    await writeFile(file, expired.key + expired.cert);
    await assert.rejects(
      ensureServerCertificate(folder, 'gateway'),
      refusal(/expired on .*delete it/),
    );
    const server = await issueCertificate({
      commonName: 'x',
      purpose: 'server',
      notBefore: new Date(),
      notAfter: new Date(Date.now() + DAY_MS),
    });
    await writeFile(file, server.key + server.cert);
    await assert.rejects(ensureLocalAuthority(folder), refusal(/not a certificate authority/));
    await assert.rejects(ensureLocalAuthority(join(file, 'below')), refusal(/below.*(ENOTDIR)/));
  });
});

describe('a server certificate of it', () => {
  test('is what openssl calls valid, for localhost, this machine and the hosts asked for', async () => {
    const { caFile } = await ensureLocalAuthority(folder);
    const made = await ensureServerCertificate(folder, 'gateway', [
      'api.example.com',
      '10.1.2.3',
      '0.0.0.0',
    ]);
    assert.equal(made.created, true);
    assert.equal(await modeOf(made.file), '600');
    assert.equal(daysLeft(made.cert), 825);
    assert.ok(new X509Certificate(made.cert).checkPrivateKey(createPrivateKey(made.key)));
    const verify = (...more: string[]) =>
      run('openssl', [
        'verify',
        '-x509_strict',
        '-purpose',
        'sslserver',
        '-CAfile',
        caFile,
        ...more,
        made.file,
      ]);
    for (const name of ['localhost', hostname(), 'api.example.com']) {
      await verify('-verify_hostname', name);
    }
    for (const address of ['127.0.0.1', '::1', '10.1.2.3']) await verify('-verify_ip', address);
    await assert.rejects(verify('-verify_hostname', 'other.example.com'));
    await assert.rejects(verify('-verify_ip', '0.0.0.0'));
    const { stdout } = await run('openssl', ['x509', '-in', made.file, '-noout', '-text']);
    assert.match(stdout, /CA:FALSE/);
    assert.match(stdout, /Digital Signature, Key Encipherment/);
    assert.match(stdout, /TLS Web Server Authentication/);
    const authority = (await run('openssl', ['x509', '-in', caFile, '-noout', '-text'])).stdout;
    assert.match(authority, /CA:TRUE, pathlen:0/);
    assert.match(authority, /Certificate Sign, CRL Sign/);
  });

  test('makes a TLS handshake with a client that trusts the authority, and with no other', async (t) => {
    const { caPem } = await ensureLocalAuthority(folder);
    const { key, cert } = await ensureServerCertificate(folder, 'gateway');
    const server = createServer({ key, cert }, (socket) => socket.end());
    server.on('tlsClientError', () => undefined);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(async () => {
      server.close();
      await once(server, 'close');
    });
    const { port } = server.address() as AddressInfo;
    for (const servername of ['localhost', hostname()]) {
      const socket = connect({ port, host: '127.0.0.1', servername, ca: caPem });
      await once(socket, 'secureConnect');
      assert.equal(socket.authorized, true);
      socket.destroy();
    }
    await assert.rejects(once(connect({ port, host: '127.0.0.1' }), 'secureConnect'), {
      code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    });
  });

  test('stays until it lacks a host, nears its end, or another authority rules', async () => {
    await ensureLocalAuthority(folder);
    const first = await ensureServerCertificate(folder, 'gateway', ['a.example']);
    const same = await ensureServerCertificate(folder, 'gateway', ['A.example']);
    assert.deepEqual(same, { ...first, created: false });
    const fewer = await ensureServerCertificate(folder, 'gateway');
    assert.equal(fewer.created, false);
    const more = await ensureServerCertificate(folder, 'gateway', ['b.example']);
    assert.equal(more.created, true);
    assert.notEqual(more.cert, first.cert);
    assert.equal(await modeOf(more.file), '600');
    assert.equal((await ensureServerCertificate(folder, 'gateway', ['b.example'])).cert, more.cert);

    const text = await readFile(join(folder, 'local-ca-key.pem'), 'utf8');
    const at = text.indexOf('-----BEGIN CERTIFICATE');
    const ending = await issueCertificate({
      commonName: 'localhost',
      purpose: 'server',
      hosts: ['localhost', '127.0.0.1', '::1', hostname()],
      notBefore: new Date(),
      notAfter: new Date(Date.now() + 29 * DAY_MS),
      issuer: { key: text.slice(0, at), cert: text.slice(at) },
    });
    await writeFile(more.file, ending.key + ending.cert);
    const renewed = await ensureServerCertificate(folder, 'gateway');
    assert.equal(renewed.created, true);
    assert.equal(daysLeft(renewed.cert), 825);

    await rm(join(folder, 'local-ca-key.pem'));
    const { caPem } = await ensureLocalAuthority(folder);
    const moved = await ensureServerCertificate(folder, 'gateway');
    assert.equal(moved.created, true);
    assert.ok(new X509Certificate(moved.cert).verify(new X509Certificate(caPem).publicKey));
  });

  test('never replaces what was not made here', async () => {
    await ensureLocalAuthority(folder);
    const foreign = await issueCertificate({
      commonName: 'mine',
      purpose: 'server',
      notBefore: new Date(),
      notAfter: new Date(Date.now() + DAY_MS),
    });
    const file = join(folder, 'gateway.pem');
    for (const content of [foreign.key + foreign.cert, 'half a file']) {
      await writeFile(file, content);
      await assert.rejects(ensureServerCertificate(folder, 'gateway'), {
        code: 'ERR_LOCAL_AUTHORITY',
      });
      assert.equal(await readFile(file, 'utf8'), content);
    }
    await assert.rejects(ensureServerCertificate(folder, '../gateway'), TypeError);
  });
});
