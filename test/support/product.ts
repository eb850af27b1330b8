import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { startPetstoreBackend, type PetstoreBackend } from '../../tools/petstore-backend.ts';
import type { TestIssuer } from './issuer.ts';
import { startProgram, type Program } from './program.ts';
import { until } from './until.ts';

/** The product as its users have it: the compiled programs, run as processes, spoken to over sockets. */

const ROOT = join(import.meta.dirname, '../..');
export const GATEWAY = join(ROOT, 'dist/cli/gateway.js');
export const MICRO_GW = join(ROOT, 'dist/cli/micro-gw.js');
const DEFINITION = join(ROOT, 'examples/petstore/petstore.yaml');

/** A secured operation of the petstore. */
export const PETS = '/petstore/v1/pet/findByStatus?status=available';
/** The body of every 401 for a token that does not count: 146 bytes, as in WSO2's documentation. */
export const INVALID_CREDENTIALS =
  '{"fault":{"code":900901, "message":"Invalid Credentials", "description":"Invalid Credentials. Make sure you have given the correct access token"}}';
export const STATUS_UNKNOWN =
  '{"fault":{"code":900990, "message":"Revocation Status Unknown", "description":"Revocation Status Unknown. Try again later"}}';

/** Generous: a busy machine is no failure. */
const DEADLINE_MS = 60_000;

/** Who ends what was started: a TestContext, or `{ after }` of node:test for a whole file. */
export interface Owner {
  after(closer: () => Promise<unknown>): void;
}

const endings = new WeakMap<Owner, (() => Promise<unknown>)[]>();

/** What was begun last is ended first. */
export function owned(owner: Owner, closer: () => Promise<unknown>): void {
  const closers = endings.get(owner) ?? [];
  if (closers.length === 0) {
    endings.set(owner, closers);
    owner.after(async () => {
      for (const close of closers.splice(0).reverse()) await close();
    });
  }
  closers.push(closer);
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface Sending {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: string;
  /** PEM that https is checked against. */
  readonly ca?: string;
}

/** One request on a connection of its own; https is always verified. */
export function send(url: string, options: Sending = {}): Promise<Answer> {
  const { body, ca, ...rest } = options;
  return new Promise((resolve, reject) => {
    const ask = url.startsWith('https:') ? httpsRequest : httpRequest;
    const request = ask(
      url,
      { ...rest, agent: false, timeout: DEADLINE_MS, ...(ca === undefined ? {} : { ca }) },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('error', reject);
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }),
        );
      },
    );
    request.on('timeout', () => request.destroy(new Error(`${url} did not answer`)));
    request.on('error', reject);
    request.end(body);
  });
}

export function basic(name: string, password: string): string {
  return `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`;
}

/** A folder that is gone afterwards: for `MGW_HOME`, and whatever else a test writes. */
export async function temporaryFolder(owner: Owner, name = 'home'): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), `portcullis-e2e-${name}-`));
  owned(owner, () => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

/** Runs `micro-gw` to its end. */
async function microGw(cwd: string, ...words: string[]): Promise<{ code: number; output: string }> {
  if (!existsSync(MICRO_GW)) throw new Error('there is no dist/: run `npm run build` first');
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [MICRO_GW, ...words], {
      cwd,
      env: { ...process.env, MGW_HOME: join(cwd, 'home'), NODE_TEST_CONTEXT: undefined },
    });
    return { code: 0, output: stdout + stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, output: `${stdout}${stderr}` };
  }
}

/** A built petstore and the service behind it. */
export interface Petstore {
  readonly backend: PetstoreBackend;
  /** Absolute path of the artifact. */
  readonly artifact: string;
}

/** An example's extension, to be built into a project. */
export function exampleExtension(example: string, name: string): Promise<string> {
  return readFile(join(ROOT, 'examples', example, 'extensions', name), 'utf8');
}

export interface PetstoreOptions {
  /** Files of `extensions/` by name, instead of those that `init` makes. They find this repository's packages. */
  readonly extensions?: Readonly<Record<string, string>>;
  /** Port of the service behind it. Default: the backend's. */
  readonly upstreamPort?: number;
  /** What follows in the definition, within `paths`. */
  readonly morePaths?: string;
  /** Further definitions, by file name. */
  readonly definitions?: Readonly<Record<string, string>>;
}

/** `micro-gw init`, the petstore's definition, `micro-gw build`; its endpoint is a backend of its own that counts calls. */
export async function buildPetstore(
  owner: Owner,
  { extensions = {}, upstreamPort, morePaths = '', definitions = {} }: PetstoreOptions = {},
): Promise<Petstore> {
  const backend = await startPetstoreBackend();
  owned(owner, () => backend.close());
  const folder = await temporaryFolder(owner, 'project');
  const command = async (...words: string[]): Promise<void> => {
    const { code, output } = await microGw(folder, ...words);
    if (code !== 0) throw new Error(`micro-gw ${words.join(' ')} ended with ${code}:\n${output}`);
  };
  await command('init', 'petstore');
  const definition = await readFile(DEFINITION, 'utf8');
  await writeFile(
    join(folder, 'petstore/api_definitions/petstore.yaml'),
    definition.replace('127.0.0.1:8080', `127.0.0.1:${upstreamPort ?? backend.port}`) + morePaths,
  );
  for (const [name, text] of Object.entries(definitions))
    await writeFile(join(folder, 'petstore/api_definitions', name), text);
  if (Object.keys(extensions).length > 0)
    await symlink(join(ROOT, 'node_modules'), join(folder, 'petstore/node_modules'));
  for (const [name, text] of Object.entries(extensions))
    await writeFile(join(folder, 'petstore/extensions', name), text);
  await command('build', 'petstore');
  return { backend, artifact: join(folder, 'petstore/target/petstore.mjs') };
}

export interface GatewayOptions {
  readonly artifact: string;
  /** Text of micro-gw.conf. */
  readonly config?: string;
  /** Issuers whose tokens are taken, beside those of `config`. Default: the one that the gateway has by default. */
  readonly issuers?: readonly TestIssuer[];
  /** `MGW_HOME`. Default: a folder of its own. */
  readonly home?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Words `--section.key=value`. */
  readonly flags?: readonly string[];
  /** The program that starts it, with its words: it is to become the gateway itself. */
  readonly under?: readonly string[];
  /** `free` (the default): free ports of 127.0.0.1, by flags. `configured`: what configuration and defaults say. */
  readonly ports?: 'free' | 'configured';
}

/** A gateway process that listens. */
export interface Gateway {
  readonly program: Program;
  readonly home: string;
  /** `http://127.0.0.1:port` of the API listener. */
  readonly http: string;
  /** `https://localhost:port` of the API listener. */
  readonly https: string;
  /** `https://localhost:port` of the token endpoints. */
  readonly tokens: string;
  /** PEM of the CA that vouches for it. */
  readonly ca: string;
  /** A call of {@link PETS}, or of another path, with a bearer token. */
  call(token: string | undefined, path?: string): Promise<Answer>;
  /** The same over TLS, verified. */
  callTls(token: string | undefined, path?: string): Promise<Answer>;
  /** Resolves with the first answer of `/ready` that is 200, or of `path`. */
  untilReady(): Promise<void>;
  /** Resolves when a call with this token is answered with this status. */
  untilStatus(token: string, status: number, deadlineMs?: number): Promise<Answer>;
  /** Complete lines of its log so far. */
  lines(): string[];
  /** One call of the operator's API, with its token; the answer's JSON. */
  operator(method: string, path: string, body?: object): Promise<OperatorAnswer>;
  /** One `micro-gw` command about this gateway. */
  microGw(...words: readonly string[]): Promise<{ code: number; output: string }>;
  /** The value of one line of `/metrics`, named with its labels. */
  metric(name: string): Promise<number | undefined>;
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | string>;
}

export interface OperatorAnswer {
  readonly status: number;
  readonly json: Readonly<Record<string, unknown>>;
}

/** Starts the gateway's program without waiting for anything: for starts that are refused. */
export async function launchGateway(
  owner: Owner,
  options: GatewayOptions,
): Promise<{ program: Program; home: string }> {
  if (!existsSync(GATEWAY)) throw new Error('there is no dist/: run `npm run build` first');
  const home = options.home ?? (await temporaryFolder(owner));
  const conf = await mkdtemp(join(home, 'conf-'));
  await writeFile(
    join(conf, 'micro-gw.conf'),
    `${await issuerTables(conf, options.issuers ?? [])}${options.config ?? ''}`,
  );
  const ports = ['httpPort', 'httpsPort', 'tokenListenerPort'].map(
    (name) => `--listenerConfig.${name}=0`,
  );
  const [command, ...words] = [...(options.under ?? []), process.execPath];
  const program = startProgram(
    command,
    [
      ...words,
      GATEWAY,
      options.artifact,
      ...((options.ports ?? 'free') === 'free'
        ? ['--listenerConfig.host=127.0.0.1', ...ports, '--operatorConfig.port=0']
        : []),
      ...(options.flags ?? []),
    ],
    { cwd: dirname(conf), env: { MGW_HOME: home, MGW_CONF_DIR: conf, ...options.env } },
  );
  owned(owner, () => program.stop());
  return { program, home };
}

/** Before the rest of the file, which may end within a table. */
async function issuerTables(folder: string, issuers: readonly TestIssuer[]): Promise<string> {
  let text = '';
  for (const [index, { issuer, publicKeyPem }] of issuers.entries()) {
    const file = join(folder, `issuer-${index}.pem`);
    await writeFile(file, publicKeyPem);
    text += `[[jwtTokenConfig]]\n  issuer = "${issuer}"\n  certificatePath = "${file}"\n`;
  }
  return text;
}

/** Starts a gateway and waits until it listens; `untilReady` waits for its sources. */
export async function startGateway(owner: Owner, options: GatewayOptions): Promise<Gateway> {
  const { program, home } = await launchGateway(owner, options);
  const said = (pattern: RegExp): Promise<RegExpExecArray> => program.said(pattern, DEADLINE_MS);
  const [, tokenPort = ''] = await said(/started HTTPS\/WSS listener [^"\s]+:(\d+)\b/);
  const [, httpPort = ''] = await said(/HTTP listener is active on port (\d+)\b/);
  const [, httpsPort = ''] = await said(/HTTPS listener is active on port (\d+)\b/);
  const [, operatorUrl = ''] = await said(/The operator's API listens on (http\S+)/);
  const http = `http://127.0.0.1:${httpPort}`;
  const https = `https://localhost:${httpsPort}`;
  const ca = await readFile(join(home, 'security/local-ca.pem'), 'utf8');
  const bearer = (token: string | undefined): Sending =>
    token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } };
  const call = (token: string | undefined, path = PETS): Promise<Answer> =>
    send(http + path, bearer(token));
  return {
    program,
    home,
    http,
    https,
    tokens: `https://localhost:${tokenPort}`,
    ca,
    call,
    callTls: (token, path = PETS) => send(https + path, { ...bearer(token), ca }),
    untilReady: () =>
      until(
        async () => (await send(`${http}/ready`)).status === 200,
        'the gateway is ready',
        DEADLINE_MS,
      ).catch((cause: unknown) => {
        throw new Error(`the gateway said\n${program.output()}`, { cause });
      }),
    async untilStatus(token, status, deadlineMs = DEADLINE_MS) {
      let answer: Answer | undefined;
      await until(
        async () => {
          answer = await call(token);
          return answer.status === status;
        },
        `a call is answered with ${status}`,
        deadlineMs,
      ).catch((cause: unknown) => {
        const said = program.output().split('\n').slice(-80).join('\n');
        throw new Error(`last answer ${answer?.status}; the gateway said\n${said}`, { cause });
      });
      if (answer === undefined) throw new Error('no answer');
      return answer;
    },
    async operator(method, path, body) {
      const token = await readFile(join(home, 'security/operator.token'), 'utf8');
      const answer = await send(operatorUrl + path, {
        method,
        headers: {
          authorization: `Bearer ${token.trim()}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const json = answer.body.startsWith('{') ? (JSON.parse(answer.body) as object) : {};
      return { status: answer.status, json: json as OperatorAnswer['json'] };
    },
    microGw: (...words) =>
      microGw(
        home,
        ...words,
        '--operator-url',
        operatorUrl,
        '--operator-token-file',
        join(home, 'security/operator.token'),
      ),
    async metric(name) {
      const { body } = await send(`${operatorUrl}/metrics`);
      const line = body.split('\n').find((text) => text.startsWith(`${name} `));
      return line === undefined ? undefined : Number(line.slice(name.length + 1));
    },
    lines: () => program.output().split('\n').slice(0, -1),
    stop: () => program.stop(),
  };
}

export interface TokenClient {
  readonly id: string;
  readonly secret: string;
  readonly tokenFormat?: 'jwt' | 'opaque';
  readonly revokeAny?: boolean;
}

export interface TokenServiceOptions {
  /** Shared with the gateway, so that both have certificates of one CA. */
  readonly home: string;
  /** Further words after `token-service`. Default port: any free one. */
  readonly words?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Credentials of every token service of the tests. */
export const ADMIN = { username: 'admin', password: 'admin' } as const;
export const READER = { username: 'gateway', password: 'reader-secret-1f0c' } as const;
export const SHOP: TokenClient = { id: 'shop', secret: 'shop-secret-77aa' };
export const OPAQUE_SHOP: TokenClient = {
  id: 'opaque-shop',
  secret: 'opaque-secret-41cd',
  tokenFormat: 'opaque',
};
export const OPERATOR: TokenClient = {
  id: 'operator',
  secret: 'operator-secret-9e2b',
  revokeAny: true,
};

/** A token service process that answers. */
export interface TokenService {
  readonly program: Program;
  readonly url: string;
  readonly port: number;
  readonly ca: string;
  post(path: string, client: TokenClient, form: Readonly<Record<string, string>>): Promise<Answer>;
  /** A new token of the client. */
  token(client?: TokenClient): Promise<string>;
  /** Revokes a token, or a `jti`; rejects unless the answer is 200. */
  revoke(token: string, client?: TokenClient): Promise<void>;
}

export async function startTokenService(
  owner: Owner,
  options: TokenServiceOptions,
): Promise<TokenService> {
  const { home } = options;
  await mkdir(home, { recursive: true });
  const clients = join(home, 'clients.json');
  const credentials = {
    admin: ADMIN,
    readers: [READER],
    clients: [SHOP, OPAQUE_SHOP, OPERATOR],
  };
  await writeFile(clients, JSON.stringify(credentials), { mode: 0o600 });
  const program = startProgram(
    process.execPath,
    [MICRO_GW, 'token-service', '--port', '0', '--clients', clients, ...(options.words ?? [])],
    { cwd: home, env: { MGW_HOME: home, ...options.env } },
  );
  owned(owner, () => program.stop());
  const [, url = '', port = ''] = await program.said(
    /ready at (https:\/\/localhost:(\d+))\s/,
    DEADLINE_MS,
  );
  const ca = await readFile(join(home, 'security/local-ca.pem'), 'utf8');
  const post: TokenService['post'] = (path, { id, secret }, form) =>
    send(url + path, {
      method: 'POST',
      ca,
      headers: {
        authorization: basic(id, secret),
        'content-type': 'application/x-www-form-urlencoded',
      },
      body: new URLSearchParams(form).toString(),
    });
  const ok = (answer: Answer): Answer => {
    if (answer.status !== 200) throw new Error(`token service: ${answer.status} ${answer.body}`);
    return answer;
  };
  return {
    program,
    url,
    port: Number(port),
    ca,
    post,
    async token(client = SHOP) {
      const answer = ok(await post('/oauth2/token', client, { grant_type: 'client_credentials' }));
      return (JSON.parse(answer.body) as { access_token: string }).access_token;
    },
    async revoke(token, client = SHOP) {
      ok(await post('/oauth2/revoke', client, { token }));
    },
  };
}
