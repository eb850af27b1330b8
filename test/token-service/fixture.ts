import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type RecordedLog, recordedLog } from '../support/recorded-log.ts';
import { Agent, fetch, type RequestInit, type Response } from 'undici';
import type { OutgoingRevocation, RevocationPublisher } from '../../src/revocation/source.ts';
import { issueCertificate, type IssuedCertificate } from '../../src/tls/certificate.ts';
import { type Credentials, credentialsOf } from '../../src/token-service/credentials.ts';
import type { TokenServiceOptions } from '../../src/token-service/options.ts';
import {
  createTokenService,
  type TokenService,
  type TokenServiceAddress,
} from '../../src/token-service/token-service.ts';

export const ADMIN = basic('admin', 'the-admin-password');
export const READER = basic('gateway', 'the-reader-password');
export const ALICE = basic('alice', 'alice-secret');
export const BOB = basic('bob', 'bob-secret');
export const OPERATOR = basic('operator', 'operator-secret');

export const CREDENTIALS = {
  admin: { username: 'admin', password: 'the-admin-password' },
  readers: [{ username: 'gateway', password: 'the-reader-password' }, { certificate: 'gateway-1' }],
  clients: [
    { id: 'alice', secret: 'alice-secret', scopes: ['read', 'write'] },
    { id: 'bob', secret: 'bob-secret', tokenFormat: 'opaque', keytype: 'SANDBOX' },
    { id: 'operator', secret: 'operator-secret', revokeAny: true, introspectAny: true },
    { id: 'odd/name', secret: 'p%41+ß', tokenLifeSeconds: 60 },
  ],
};

export function basic(name: string, password: string): string {
  return `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`;
}

export function credentials(content: unknown = CREDENTIALS): Credentials {
  return credentialsOf(content, 'test');
}

interface Certificates {
  readonly authority: IssuedCertificate;
  readonly server: IssuedCertificate;
  readonly reader: IssuedCertificate;
  readonly stranger: IssuedCertificate;
}

let made: Promise<Certificates> | undefined;

/** One authority, a server for localhost and two clients; made once per test file. */
export function certificates(): Promise<Certificates> {
  made ??= (async () => {
    const notBefore = new Date(Date.now() - 60_000);
    const notAfter = new Date(Date.now() + 3_600_000);
    const authority = await issueCertificate({
      commonName: 'Test authority',
      purpose: 'authority',
      notBefore,
      notAfter,
    });
    const [server, reader, stranger] = await Promise.all([
      issueCertificate({
        commonName: 'localhost',
        purpose: 'server',
        hosts: ['localhost', '127.0.0.1'],
        notBefore,
        notAfter,
        issuer: authority,
      }),
      issueCertificate({
        commonName: 'gateway-1',
        purpose: 'client',
        notBefore,
        notAfter,
        issuer: authority,
      }),
      issueCertificate({
        commonName: 'gateway-2',
        purpose: 'client',
        notBefore,
        notAfter,
        issuer: authority,
      }),
    ]);
    return { authority, server, reader, stranger };
  })();
  return made;
}

export function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-token-service-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A publisher that keeps what it accepted, and can be down. */
export function fakePublisher(name: string): RevocationPublisher & {
  readonly accepted: OutgoingRevocation[];
  attempts: number;
  down: boolean;
  closed: boolean;
} {
  const publisher = {
    name,
    accepted: [] as OutgoingRevocation[],
    attempts: 0,
    down: false,
    closed: false,
    publish(revocation: OutgoingRevocation): Promise<void> {
      publisher.attempts += 1;
      if (publisher.down) return Promise.reject(new Error('connection refused'));
      publisher.accepted.push(revocation);
      return Promise.resolve();
    },
    close(): Promise<void> {
      publisher.closed = true;
      return Promise.resolve();
    },
  };
  return publisher;
}

export interface Running {
  readonly service: TokenService;
  readonly address: TokenServiceAddress;
  readonly stateFile: string;
  readonly log: RecordedLog;
  readonly request: (path: string, init?: RequestInit) => Promise<Response>;
  readonly post: (
    path: string,
    authorization: string | undefined,
    form: Record<string, string> | string,
  ) => Promise<Response>;
  /** An access token for a client. */
  readonly token: (authorization: string, form?: Record<string, string>) => Promise<string>;
  readonly active: (token: string) => Promise<boolean>;
  readonly close: () => Promise<void>;
}

/** A token service on a free port, ended with the test. */
export async function startService(
  t: TestContext,
  overrides: Partial<TokenServiceOptions> = {},
): Promise<Running> {
  const { authority, server } = await certificates();
  const stateFile = overrides.stateFile ?? join(temporaryFolder(t), 'state.sqlite');
  const log = recordedLog();
  const service = createTokenService({
    stateFile,
    tls: server,
    credentials: credentials(),
    log,
    port: 0,
    outboxRetryMs: 5,
    ...overrides,
  });
  const agent = new Agent({ connect: { ca: authority.cert } });
  let open = true;
  const close = async (): Promise<void> => {
    if (!open) return;
    open = false;
    await agent.destroy();
    await service.close();
  };
  t.after(close);
  const address = await service.listen();
  const request = (path: string, init: RequestInit = {}): Promise<Response> =>
    fetch(path.startsWith('https:') ? path : address.url + path, { ...init, dispatcher: agent });
  const post: Running['post'] = (path, authorization, form) =>
    request(path, {
      method: 'POST',
      headers: {
        'Content-Type': 'application/x-www-form-urlencoded',
        ...(authorization === undefined ? {} : { Authorization: authorization }),
      },
      body: typeof form === 'string' ? form : new URLSearchParams(form).toString(),
    });
  return {
    service,
    address,
    stateFile,
    log,
    request,
    post,
    async token(authorization, form = {}) {
      const answer = await post('/oauth2/token', authorization, {
        grant_type: 'client_credentials',
        ...form,
      });
      const body = (await answer.json()) as { access_token: string };
      return body.access_token;
    },
    async active(token) {
      const answer = await post('/oauth2/introspect', ADMIN, { token });
      return ((await answer.json()) as { active: boolean }).active;
    },
    close,
  };
}
