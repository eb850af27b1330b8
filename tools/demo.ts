/**
 * `npm run demo`: the story of one revoked token, told with the real programs and nothing to install: token service, petstore backend,
 * `micro-gw init`, `micro-gw build`, `gateway`. `-- --once` tells it and exits: 0, or 1 with the step that failed.
 *
 * However it ends (SIGINT, SIGTERM, SIGHUP, nobody reading its output, the death of whoever started it), its programs end and its folder goes.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createHttpClient, type HttpAnswer, type HttpClient } from '../src/net/http-client.ts';
import { freePort, isFree } from '../test/support/free-port.ts';
import { startProgram, type Program } from '../test/support/program.ts';
import { startPetstoreBackend, type PetstoreBackend } from './petstore-backend.ts';

const root = join(import.meta.dirname, '..');
const PET_PATH = '/petstore/v1/pet/findByStatus?status=available';
const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
const USAGE = 'Usage: npm run demo [-- --once]\n\n  --once  tell the story and exit';
/** How often it is looked whether whoever started this is still there, milliseconds. */
const PARENT_CHECK_MS = 500;
/** How long the gateway may take to hear of the revocation before the demo calls it a failure, milliseconds. */
const REVOCATION_DEADLINE_MS = 5_000;

class StepFailed extends Error {}

/** What runs, in the order it was started; ended in the opposite one. */
interface Stage {
  readonly folder: string;
  readonly ports: Readonly<Record<PortName, number>>;
  readonly programs: Program[];
  backend?: PetstoreBackend;
  client?: HttpClient;
}

type PortName =
  | 'token service'
  | 'petstore backend'
  | 'gateway HTTP'
  | 'gateway HTTPS'
  | 'token endpoints'
  | 'operator';

const PREFERRED: Readonly<Record<PortName, number>> = {
  'token service': 9443,
  'petstore backend': 8080,
  'gateway HTTP': 9090,
  'gateway HTTPS': 9095,
  'token endpoints': 9096,
  operator: 9097,
};

function say(text = ''): void {
  process.stdout.write(`${text}\n`);
}

/** The usual ports, or others where they are taken, which is said. */
async function choosePorts(): Promise<Record<PortName, number>> {
  const chosen = { ...PREFERRED };
  const used = new Set<number>();
  for (const name of Object.keys(PREFERRED) as PortName[]) {
    let port = PREFERRED[name];
    if (!(await isFree(port))) {
      do port = await freePort();
      while (used.has(port));
      say(`Port ${PREFERRED[name]} (${name}) is taken: using ${port}.`);
    }
    used.add(port);
    chosen[name] = port;
  }
  return chosen;
}

let step = 0;
let stepName = '';
let over = false;

/** Resolves when the demo is to end before it would by itself; no further step begins then. */
function untilInterrupted(): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      over = true;
      resolve();
    };
    // For good, not once: the second Ctrl-C of an impatient hand must not cut the clearing up short.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, end);
    // A closed pipe or terminal. Without a listener the process would die of it.
    for (const stream of [process.stdout, process.stderr]) stream.on('error', end);
    const parent = process.ppid;
    setInterval(() => process.ppid !== parent && end(), PARENT_CHECK_MS).unref();
  });
}

function begin(name: string): void {
  if (over) throw new StepFailed('interrupted');
  step++;
  stepName = name;
  say(`\n[${step}] ${name}`);
}

/** The programs' home is the demo's own; what this user configured for a real gateway stays out of it. */
function environment(stage: Stage): Record<string, string | undefined> {
  const own = Object.keys(process.env).filter((name) => name.startsWith('MGW_'));
  return {
    ...Object.fromEntries(own.map((name) => [name, undefined])),
    MGW_HOME: join(stage.folder, 'home'),
  };
}

function microGw(stage: Stage, ...args: string[]): void {
  say(`    $ micro-gw ${args.join(' ')}`);
  const output = execFileSync(process.execPath, [join(root, 'dist/cli/micro-gw.js'), ...args], {
    cwd: stage.folder,
    env: { ...process.env, ...environment(stage) },
    stdio: ['ignore', 'pipe', 'pipe'],
  }).toString();
  for (const line of output.trimEnd().split('\n')) say(`    ${line}`);
}

function indent(program: Program): void {
  for (const line of program.output().trimEnd().split('\n')) say(`    ${line}`);
}

function show(answer: HttpAnswer, body = answer.body): void {
  say(`    < HTTP ${answer.status}`);
  say(`    < ${body}`);
}

function expect(answer: HttpAnswer, status: number): HttpAnswer {
  if (answer.status !== status)
    throw new StepFailed(`expected HTTP ${status}, got ${answer.status}: ${answer.body}`);
  return answer;
}

interface ClientCredentials {
  readonly id: string;
  readonly secret: string;
}

async function startTokenService(stage: Stage): Promise<Program> {
  const program = startProgram(
    process.execPath,
    [
      join(root, 'dist/cli/micro-gw.js'),
      'token-service',
      '--port',
      String(stage.ports['token service']),
      '--issuer',
      'https://localhost:9443/oauth2/token',
    ],
    { env: environment(stage) },
  );
  stage.programs.push(program);
  await program.said(/ready at/i);
  return program;
}

async function tell(stage: Stage): Promise<() => Promise<void>> {
  const home = join(stage.folder, 'home');
  mkdirSync(join(home, 'conf'), { recursive: true });
  const tokenService = `https://localhost:${stage.ports['token service']}`;
  const gateway = `https://localhost:${stage.ports['gateway HTTPS']}`;

  begin('Token service up: it issues, introspects and revokes tokens');
  const service = await startTokenService(stage);
  indent(service);
  const credentials = readCredentials(service);
  const client = credentials.application;

  begin('Petstore backend up: the service that the gateway stands in front of');
  stage.backend = await startPetstoreBackend(stage.ports['petstore backend']);
  say(`    http://127.0.0.1:${stage.backend.port}/v2`);

  begin('A project for its API');
  microGw(stage, 'init', 'petstore');
  const definition = readFileSync(join(root, 'examples/petstore/petstore.yaml'), 'utf8');
  writeFileSync(
    join(stage.folder, 'petstore/api_definitions/petstore.yaml'),
    definition.replace('127.0.0.1:8080', `127.0.0.1:${stage.backend.port}`),
  );
  say('    petstore.yaml copied into petstore/api_definitions/');

  begin('Build it: one file that any gateway runs');
  microGw(stage, 'build', 'petstore');

  begin('Gateway up: it follows the token service for revocations');
  writeFileSync(join(home, 'conf/micro-gw.conf'), gatewayConfig(stage, tokenService, credentials), {
    mode: 0o600,
  });
  const gatewayProgram = startProgram(
    process.execPath,
    [join(root, 'dist/cli/gateway.js'), join(stage.folder, 'petstore/target/petstore.mjs')],
    { env: environment(stage) },
  );
  stage.programs.push(gatewayProgram);
  await gatewayProgram.said(/HTTPS listener is active/);
  const ca = join(home, 'security/local-ca.pem');
  stage.client = createHttpClient({ ca: [readFileSync(ca, 'utf8')] });
  await untilReady(stage.client, gateway);
  indent(gatewayProgram);

  begin('Get a token');
  const token = await getToken(stage.client, tokenService, client, true);

  begin('Call the API with it');
  await callApi(stage.client, gateway, token, 200);

  begin('Revoke it');
  const revokedAt = await revoke(stage.client, tokenService, client, token);

  begin('The same call again');
  await untilRefused(stage.client, gateway, token, revokedAt);

  const http = stage.client;
  return async () => {
    const ready = await getToken(http, tokenService, client, false);
    printCommands(ca, gateway, tokenService, client, ready);
  };
}

/** What the token service made at random on its first start. */
interface DemoCredentials {
  /** Gets tokens, and revokes its own. */
  readonly application: ClientCredentials;
  /** May introspect any token: what the gateway asks with. */
  readonly operator: ClientCredentials;
  /** May read the event stream. */
  readonly reader: ClientCredentials;
}

function readCredentials(service: Program): DemoCredentials {
  const path = /(\S+credentials\S*\.json)/.exec(service.output())?.[1];
  if (path === undefined)
    throw new StepFailed('the token service did not say where its credentials are');
  const file = JSON.parse(readFileSync(path, 'utf8')) as {
    readers: { username: string; password: string }[];
    clients: ClientCredentials[];
  };
  const [reader] = file.readers;
  const [application, operator] = file.clients;
  if (reader === undefined || application === undefined || operator === undefined)
    throw new StepFailed(`${path} lacks a reader or a client`);
  return { application, operator, reader: { id: reader.username, secret: reader.password } };
}

function gatewayConfig(
  stage: Stage,
  tokenService: string,
  { operator, reader }: DemoCredentials,
): string {
  return `[listenerConfig]
  host = "127.0.0.1"
  httpPort = ${stage.ports['gateway HTTP']}
  httpsPort = ${stage.ports['gateway HTTPS']}
  tokenListenerPort = ${stage.ports['token endpoints']}

[operatorConfig]
  port = ${stage.ports.operator}

[[jwtTokenConfig]]
  issuer = "https://localhost:9443/oauth2/token"
  jwksURL = "${tokenService}/oauth2/jwks"

[keyManager]
  serverUrl = "${tokenService}"

[keymanager.security.basic]
  enabled = true
  username = "${operator.id}"
  password = "${operator.secret}"

[tokenRevocationConfig]
  [tokenRevocationConfig.persistent]
    enablePersistentStorageRetrieval = true
    type = "event-stream"
    endpointURL = "${tokenService}/internal/data/v1/revocation-events"
    username = "${reader.id}"
    password = "${reader.secret}"
`;
}

function basic({ id, secret }: ClientCredentials): string {
  return `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;
}

async function untilReady(client: HttpClient, gateway: string): Promise<void> {
  const end = performance.now() + 15_000;
  for (;;) {
    const answer = await client.request({ method: 'GET', url: `${gateway}/ready` });
    if (answer.status === 200) return;
    if (performance.now() > end) throw new StepFailed('the gateway did not become ready in 15 s');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function getToken(
  client: HttpClient,
  tokenService: string,
  credentials: ClientCredentials,
  aloud: boolean,
): Promise<string> {
  if (aloud) say('    > POST /oauth2/token  grant_type=client_credentials');
  const answer = expect(
    await client.request({
      method: 'POST',
      url: `${tokenService}/oauth2/token`,
      headers: { ...FORM, authorization: basic(credentials) },
      body: 'grant_type=client_credentials',
    }),
    200,
  );
  const token = (JSON.parse(answer.body) as { access_token: string }).access_token;
  if (aloud) show(answer, answer.body.replace(token, `${token.slice(0, 24)}...${token.slice(-8)}`));
  return token;
}

function call(client: HttpClient, gateway: string, token: string): Promise<HttpAnswer> {
  return client.request({
    method: 'GET',
    url: gateway + PET_PATH,
    headers: { authorization: `Bearer ${token}` },
  });
}

async function callApi(
  client: HttpClient,
  gateway: string,
  token: string,
  status: number,
): Promise<void> {
  say(`    > GET ${PET_PATH}`);
  show(expect(await call(client, gateway, token), status));
}

/** Revokes the token; answers when that was, on the monotonic clock. */
async function revoke(
  client: HttpClient,
  tokenService: string,
  credentials: ClientCredentials,
  token: string,
): Promise<number> {
  say('    > POST /oauth2/revoke  token=<the token>');
  const answer = await client.request({
    method: 'POST',
    url: `${tokenService}/oauth2/revoke`,
    headers: { ...FORM, authorization: basic(credentials) },
    body: `token=${encodeURIComponent(token)}`,
  });
  const at = performance.now();
  show(expect(answer, 200));
  return at;
}

async function untilRefused(
  client: HttpClient,
  gateway: string,
  token: string,
  revokedAt: number,
): Promise<void> {
  say(`    > GET ${PET_PATH}`);
  for (;;) {
    const began = performance.now();
    const answer = await call(client, gateway, token);
    if (answer.status === 401) {
      show(answer);
      const size = Buffer.byteLength(answer.body);
      if (size !== 146) throw new StepFailed(`the fault body has ${size} bytes, not 146`);
      say(
        `    Refused, ${size} bytes. The call was sent ${(began - revokedAt).toFixed(1)} ms after the revocation was answered.`,
      );
      return;
    }
    expect(answer, 200);
    if (began - revokedAt > REVOCATION_DEADLINE_MS)
      throw new StepFailed(`still admitted ${REVOCATION_DEADLINE_MS} ms after the revocation`);
  }
}

function printCommands(
  ca: string,
  gateway: string,
  tokenService: string,
  client: ClientCredentials,
  token: string,
): void {
  say(`
Try it yourself; this token is new and works:

    TOKEN=${token}

    curl -i --cacert ${ca} -H "Authorization: Bearer $TOKEN" "${gateway}${PET_PATH}"

    curl -i --cacert ${ca} -u ${client.id}:${client.secret} -d "token=$TOKEN" ${tokenService}/oauth2/revoke

Run the first one again: 401. And another token:

    curl -i --cacert ${ca} -u ${client.id}:${client.secret} -d grant_type=client_credentials ${tokenService}/oauth2/token

Ctrl-C ends everything.`);
}

async function endAll(stage: Stage): Promise<void> {
  for (const program of stage.programs.reverse()) await program.stop();
  await stage.client?.close();
  await stage.backend?.close();
  rmSync(stage.folder, { recursive: true, force: true });
}

/** Whether to exit after the story; undefined when that is not what was typed. */
function readArguments(): { readonly once: boolean } | undefined {
  try {
    return parseArgs({ options: { once: { type: 'boolean', default: false } } }).values;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${USAGE}\n`);
    return undefined;
  }
}

async function main(): Promise<number> {
  const typed = readArguments();
  if (typed === undefined) return 1;
  const interrupted = untilInterrupted();
  say('Building Portcullis (npm run build) ...');
  try {
    execFileSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: 'inherit' });
  } catch {
    say('The build failed.');
    return 1;
  }

  const ports = await choosePorts();
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-demo-'));
  const stage: Stage = { folder, ports, programs: [] };
  try {
    const invite = await Promise.race([tell(stage), interrupted.then(() => undefined)]);
    if (invite === undefined) return 1;
    say('\nThe story is told.');
    if (typed.once) return 0;
    await invite();
    await interrupted;
    say('\nEnding.');
    return 0;
  } catch (error) {
    if (over) return 1;
    say(
      `\nStep ${step} failed: ${stepName}\n${error instanceof Error ? error.message : String(error)}`,
    );
    return 1;
  } finally {
    await endAll(stage);
  }
}

// Not only the exit code: an interrupted story must not go on behind the scenes.
process.exit(await main());
