/**
 * `npm run check:slow`: slowhttptest holds connections to a gateway with heads and bodies that it sends, and answers that it takes, a few bytes at a
 * time, over each engine, while another client asks steadily. Exits 1 unless slowhttptest finds the service available at every look, and the other
 * client is answered every time. docs/protection.md says more.
 */
import { execFileSync } from 'node:child_process';
import { createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { testIssuer, type TestIssuer } from '../test/support/issuer.ts';
import { buildPetstore, type Gateway, owned, PETS, startGateway } from '../test/support/product.ts';
import { ensurePackages } from '../tools/debian.ts';
import { Endings } from './owner.ts';
import { attack, type Look, type Slowness } from './slow-attack.ts';

const ROOT = join(import.meta.dirname, '..');

const HELP = `Usage: npm run check:slow -- [options]

  --connections <n>   slow connections at one time (default 1000)
  --seconds <n>       of each attack (default 20)
  --engine own|node   what speaks HTTP (default: one after the other)
  --built             takes dist/ as it is
`;

const ENGINES = ['own', 'node'] as const;
const ATTACKS: readonly Slowness[] = ['headers', 'body', 'read'];

/** Of an operation without a token: slowhttptest has none. */
const OPEN = '/petstore/v1/slow';
const OPEN_PATHS = `  /slow:
    get:
      x-wso2-disable-security: true
      responses: { '200': { description: A large answer } }
    post:
      x-wso2-disable-security: true
      responses: { '200': { description: The same }}
`;
/** Far more than slow clients take while they are looked at. */
const LARGE = Buffer.alloc(524_288, 'x');
const SMALL = Buffer.from('[]');

/** The other client: an address of its own, a call so often, and how long each may take. Milliseconds. */
const ADDRESS = '127.0.0.2';
const EVERY_MS = 50;
const PATIENCE_MS = 5_000;

/** What is behind the gateway. @returns its port */
async function startUpstream(ending: Endings): Promise<number> {
  const server = createServer((request, response) => {
    const answer = request.url?.endsWith('/slow') === true ? LARGE : SMALL;
    request.resume().once('end', () => response.end(answer));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  owned(ending, () => {
    server.closeAllConnections();
    return new Promise((resolve) => {
      server.close(resolve);
    });
  });
  return (server.address() as AddressInfo).port;
}

/** One call on a connection of its own. @returns the status; 0: none in time */
function status(url: string, token: string): Promise<number> {
  return new Promise((resolve) => {
    const request = httpRequest(
      url,
      {
        agent: false,
        localAddress: ADDRESS,
        headers: { authorization: `Bearer ${token}` },
        signal: AbortSignal.timeout(PATIENCE_MS),
      },
      (response) => {
        response.resume();
        response.once('error', () => resolve(0));
        response.once('end', () => resolve(response.statusCode ?? 0));
      },
    );
    request.once('error', () => resolve(0));
    request.end();
  });
}

interface Calls {
  /** How often each status came. */
  readonly statuses: Map<number, number>;
  slowestMs: number;
}

/** Calls one after the other until told to stop. */
async function steadyCalls(gateway: Gateway, token: string, signal: AbortSignal): Promise<Calls> {
  const calls: Calls = { statuses: new Map(), slowestMs: 0 };
  while (!signal.aborted) {
    const began = performance.now();
    const answer = await status(gateway.http + PETS, token);
    const tookMs = performance.now() - began;
    calls.statuses.set(answer, (calls.statuses.get(answer) ?? 0) + 1);
    calls.slowestMs = Math.max(calls.slowestMs, tookMs);
    await pause(Math.max(1, EVERY_MS - tookMs));
  }
  return calls;
}

interface Options {
  readonly connections: number;
  readonly seconds: number;
}

/** @returns whether nothing was missed */
function report(name: string, found: readonly Look[], calls: Calls): boolean {
  const available = found.filter((look) => look.available).length;
  const most = Math.max(...found.map(({ connected }) => connected));
  const good = calls.statuses.get(200) ?? 0;
  const others = [...calls.statuses].filter(([code]) => code !== 200);
  const passed = available === found.length && others.length === 0 && good > 0 && most > 0;
  console.log(
    `${name}: ${most} slow connections, service available at ${available} of ${found.length} looks; ` +
      `${good} good calls answered, the slowest in ${Math.round(calls.slowestMs)} ms` +
      others.map(([code, count]) => `, ${count} x ${code}`).join(''),
  );
  return passed;
}

async function check(
  ending: Endings,
  engine: (typeof ENGINES)[number],
  issuer: TestIssuer,
  { connections, seconds }: Options,
): Promise<boolean> {
  const { artifact } = await buildPetstore(ending, {
    upstreamPort: await startUpstream(ending),
    morePaths: OPEN_PATHS,
  });
  const token = issuer.token();
  let passed = true;
  for (const how of ATTACKS) {
    // Who owes a head makes room for others; a body or an answer under way does not, so they have to fit in with the looks.
    const perAddress = how === 'headers' ? Math.ceil(connections / 2) : connections * 4;
    const gateway = await startGateway(ending, {
      artifact,
      issuers: [issuer],
      config: `[server]\nhttpEngine = "${engine}"
        [listenerConfig]\nmaxConnectionsPerAddress = ${perAddress}
        [httpClients.poolConfig]\nmaxActiveConnections = ${connections * 2}
        [tokenRevocationConfig]\nwhenUnknown = "allow"\n`,
    });
    await gateway.untilReady();
    const over = new AbortController();
    const calling = steadyCalls(gateway, token, over.signal);
    try {
      const found = await attack({ how, url: gateway.http + OPEN, connections, seconds });
      over.abort();
      passed = report(`${engine}, slow ${how}`, found, await calling) && passed;
    } finally {
      over.abort();
      await calling;
    }
    await gateway.stop();
  }
  return passed;
}

const { values } = parseArgs({
  options: {
    connections: { type: 'string', default: '1000' },
    seconds: { type: 'string', default: '20' },
    engine: { type: 'string' },
    built: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const [connections = 0, seconds = 0] = [values.connections, values.seconds].map(Number);
const engines = ENGINES.filter((engine) => values.engine === undefined || engine === values.engine);
const wrong = [connections, seconds].some((number) => !Number.isInteger(number) || number < 1);
if (values.help || wrong || engines.length === 0) {
  console.log(HELP);
  process.exitCode = values.help ? 0 : 2;
} else {
  ensurePackages(['slowhttptest']);
  if (!values.built)
    execFileSync('npm', ['run', '--silent', 'build'], { cwd: ROOT, stdio: 'inherit' });
  const ending = new Endings(() => undefined);
  process.once('SIGINT', () => process.exit(130));
  try {
    const issuer = testIssuer();
    for (const engine of engines)
      if (!(await check(ending, engine, issuer, { connections, seconds }))) process.exitCode = 1;
  } finally {
    await ending.close();
  }
}
