import { randomUUID } from 'node:crypto';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import forge from 'node-forge';
import { issueCertificate, type IssuedCertificate } from '../../src/tls/certificate.ts';
import { freePort } from './free-port.ts';
import type { Program } from './program.ts';
import { startServer } from './server.ts';
import { until } from './until.ts';

export interface EtcdOptions {
  /** Serves the v2 API too (`--enable-v2=true`). */
  readonly v2?: boolean;
  /** TLS with a certificate of a CA made for this server. */
  readonly tls?: boolean;
  /** Asks for a client certificate of the same CA; implies `tls`. */
  readonly clientCertificates?: boolean;
  /** Switches authentication on, for v3 (and v2 when served), with this user beside `root`. */
  readonly auth?: { readonly username: string; readonly password: string };
  /** The v3 prefix, and the v2 directory, that the user of `auth` may read and write. Default `jti/`. */
  readonly prefix?: string;
  readonly args?: readonly string[];
}

/** A real etcd on 127.0.0.1 with its own data. */
export interface Etcd {
  readonly port: number;
  /** `http(s)://localhost:port`, no slash at the end. */
  readonly url: string;
  /** PEM of the CA, with `tls`. */
  readonly ca: string | undefined;
  /** Path of that PEM. */
  readonly caFile: string | undefined;
  /** A client certificate and key, with `tls`. */
  readonly client: { readonly cert: string; readonly key: string } | undefined;
  /** Name and password of the administrator, with `auth`. */
  readonly root: { readonly username: 'root'; readonly password: string };
  /** v3: one call of the JSON gateway as root, path without `/v3`. */
  call(path: string, body: object): Promise<Record<string, unknown>>;
  /** v2: one call as root; `path` begins with `/v2/`. */
  callV2(
    method: string,
    path: string,
    body?: string,
    contentType?: string,
  ): Promise<{ status: number; body: string }>;
  /** v3: compacts everything up to now. */
  compact(): Promise<void>;
  stop(signal?: 'SIGTERM' | 'SIGKILL'): Promise<void>;
  /** Starts it again with its data, on the same port. */
  start(): Promise<void>;
  /** Keeps a copy of its data, in place of the last one. It must be stopped. */
  saveCopy(): Promise<void>;
  /** Puts the copy in place of its data. It must be stopped. */
  restoreCopy(): Promise<void>;
  /** Stops it for good and removes its data. */
  close(): Promise<void>;
}

/**
 * Starts etcd with data of its own; `close` it in every case.
 * @throws Error naming the Debian package when etcd is not installed
 */
export async function startEtcd(options: EtcdOptions = {}): Promise<Etcd> {
  const folder = await mkdtemp(join(tmpdir(), 'portcullis-etcd-'));
  const root = { username: 'root', password: `root-${randomUUID()}` } as const;
  const secure = options.tls === true || options.clientCertificates === true;
  const scheme = secure ? 'https' : 'http';
  const [port, peerPort] = [await freePort(), await freePort()];
  const url = `${scheme}://localhost:${port}`;
  const peer = `http://127.0.0.1:${peerPort}`;
  const identity = secure ? await writeIdentity(folder) : undefined;
  const ca = identity?.ca;
  let server: Program | undefined;
  let adminToken: string | undefined;

  function send(
    method: string,
    path: string,
    body: string | undefined,
    headers: Record<string, string>,
  ): Promise<{ status: number; body: string }> {
    return new Promise((resolve, reject) => {
      const ask = secure ? httpsRequest : httpRequest;
      const request = ask(
        `${scheme}://127.0.0.1:${port}${path}`,
        {
          method,
          headers,
          agent: false,
          ...(identity && { ca, cert: identity.client.cert, key: identity.client.key }),
        },
        (response) => {
          let text = '';
          response.setEncoding('utf8');
          response.on('data', (chunk: string) => {
            text += chunk;
          });
          response.on('error', reject);
          response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }));
        },
      );
      request.on('error', reject);
      request.end(body);
    });
  }

  async function call(path: string, body: object, again = true): Promise<Record<string, unknown>> {
    const answer = await send('POST', `/v3${path}`, JSON.stringify(body), {
      'content-type': 'application/json',
      ...(adminToken === undefined ? {} : { authorization: adminToken }),
    });
    if (answer.status === 401 && adminToken !== undefined && again) {
      await logIn();
      return call(path, body, false);
    }
    if (answer.status !== 200) throw new Error(`etcd ${path}: ${answer.status} ${answer.body}`);
    return JSON.parse(answer.body) as Record<string, unknown>;
  }

  async function logIn(): Promise<void> {
    adminToken = undefined;
    const answer = await call('/auth/authenticate', {
      name: root.username,
      password: root.password,
    });
    adminToken = String(answer['token']);
  }

  let v2Authorization: string | undefined;
  async function callV2(
    method: string,
    path: string,
    body?: string,
    contentType = 'application/x-www-form-urlencoded',
  ): Promise<{ status: number; body: string }> {
    return send(method, path, body, {
      ...(body === undefined ? {} : { 'content-type': contentType }),
      ...(v2Authorization === undefined ? {} : { authorization: v2Authorization }),
    });
  }

  async function enableAuth(user: { username: string; password: string }): Promise<void> {
    const prefix = options.prefix ?? 'jti/';
    const key = Buffer.from(prefix).toString('base64');
    const end = Buffer.from(prefix.replace(/.$/, (last) => next(last))).toString('base64');
    await call('/auth/user/add', { name: root.username, password: root.password });
    await call('/auth/role/add', { name: 'root' });
    await call('/auth/user/grant', { user: root.username, role: 'root' });
    await call('/auth/user/add', { name: user.username, password: user.password });
    await call('/auth/role/add', { name: 'revocations' });
    await call('/auth/role/grant', {
      name: 'revocations',
      perm: { permType: 'READWRITE', key, range_end: end },
    });
    await call('/auth/user/grant', { user: user.username, role: 'revocations' });
    await call('/auth/enable', {});
    await logIn();
    if (options.v2 === true) await enableV2Auth(user, `/${prefix}*`);
  }

  async function enableV2Auth(
    user: { username: string; password: string },
    pattern: string,
  ): Promise<void> {
    const put = async (path: string, value: object): Promise<void> => {
      const answer = await callV2('PUT', path, JSON.stringify(value), 'application/json');
      if (answer.status >= 300) throw new Error(`etcd ${path}: ${answer.status} ${answer.body}`);
    };
    const kv = { read: [pattern, pattern.slice(0, -2)], write: [pattern] };
    await put('/v2/auth/users/root', { user: 'root', password: root.password });
    await put('/v2/auth/roles/revocations', { role: 'revocations', permissions: { kv } });
    await put(`/v2/auth/users/${user.username}`, {
      user: user.username,
      password: user.password,
      roles: ['revocations'],
    });
    await put('/v2/auth/enable', {});
    v2Authorization = `Basic ${Buffer.from(`root:${root.password}`).toString('base64')}`;
    await put('/v2/auth/roles/guest', {
      role: 'guest',
      revoke: { kv: { read: ['/*'], write: ['/*'] } },
    });
  }

  async function start(): Promise<void> {
    server = await startServer(
      'etcd',
      [
        `--data-dir=${join(folder, 'data')}`,
        `--listen-client-urls=${scheme}://127.0.0.1:${port}`,
        `--advertise-client-urls=${url}`,
        `--listen-peer-urls=${peer}`,
        `--initial-advertise-peer-urls=${peer}`,
        `--initial-cluster=default=${peer}`,
        '--unsafe-no-fsync=true',
        ...(options.v2 === true ? ['--enable-v2=true'] : []),
        ...(secure
          ? [
              `--cert-file=${join(folder, 'server.pem')}`,
              `--key-file=${join(folder, 'server.key')}`,
            ]
          : []),
        ...(options.clientCertificates === true
          ? ['--client-cert-auth=true', `--trusted-ca-file=${join(folder, 'ca.pem')}`]
          : []),
        ...(options.args ?? []),
      ],
      { debianPackage: 'etcd-server', ready: /ready to serve client requests/ },
    );
    await until(
      async () =>
        (await send('GET', '/health', undefined, {}).catch(() => undefined))?.status === 200,
      'etcd is healthy',
      20_000,
    );
  }

  async function stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    server?.signal(signal);
    await server?.stop();
    server = undefined;
  }

  try {
    await mkdir(join(folder, 'data'), { mode: 0o700 });
    await start();
    if (options.auth !== undefined) await enableAuth(options.auth);
  } catch (error) {
    await stop('SIGKILL');
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
  return {
    port,
    url,
    ca,
    caFile: secure ? join(folder, 'ca.pem') : undefined,
    client: identity?.client,
    root,
    call,
    callV2,
    async compact() {
      const { header } = (await call('/kv/range', { key: 'AA==' })) as {
        header: { revision: string };
      };
      await call('/kv/compaction', { revision: header.revision, physical: true });
    },
    stop,
    start,
    saveCopy: () => replaceFolder(join(folder, 'copy'), join(folder, 'data')),
    restoreCopy: () => replaceFolder(join(folder, 'data'), join(folder, 'copy')),
    async close() {
      await stop('SIGKILL');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function replaceFolder(to: string, from: string): Promise<void> {
  await rm(to, { recursive: true, force: true });
  await cp(from, to, { recursive: true });
}

const next = (last: string): string => String.fromCharCode(last.charCodeAt(0) + 1);

async function writeIdentity(folder: string): Promise<{
  ca: string;
  client: { cert: string; key: string };
}> {
  const validity = {
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 86_400_000),
  };
  const issuer = await issueCertificate({
    commonName: 'etcd test CA',
    purpose: 'authority',
    ...validity,
  });
  const server = await issueCertificate({
    commonName: 'localhost',
    purpose: 'server',
    hosts: ['localhost', '127.0.0.1'],
    issuer,
    ...validity,
  });
  const client = await issueCertificate({
    commonName: 'gateway',
    purpose: 'client',
    issuer,
    ...validity,
  });
  await writeFile(join(folder, 'ca.pem'), issuer.cert);
  await writeFile(join(folder, 'server.pem'), servingAndCalling(server, issuer));
  await writeFile(join(folder, 'server.key'), server.key, { mode: 0o600 });
  return { ca: issuer.cert, client };
}

/** etcd's JSON gateway calls etcd itself with the server's certificate: it must be one for clients too. */
function servingAndCalling(server: IssuedCertificate, issuer: IssuedCertificate): string {
  const certificate = forge.pki.certificateFromPem(server.cert);
  const extensions = certificate.extensions as { name?: string }[];
  certificate.setExtensions(
    extensions.map((extension) =>
      extension.name === 'extKeyUsage'
        ? { name: 'extKeyUsage', serverAuth: true, clientAuth: true }
        : extension,
    ),
  );
  certificate.sign(forge.pki.privateKeyFromPem(issuer.key), forge.md.sha256.create());
  return forge.pki.certificateToPem(certificate);
}
