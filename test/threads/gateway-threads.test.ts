import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import type { Agent, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { after, describe, test } from 'node:test';
import { startHttpServer } from '../support/http-server.ts';
import { freePort } from '../support/free-port.ts';
import { testIssuer } from '../support/issuer.ts';
import {
  buildPetstore,
  type Gateway,
  INVALID_CREDENTIALS,
  launchGateway,
  owned,
  PETS,
  send,
  startGateway,
  temporaryFolder,
  type GatewayOptions,
  type Owner,
} from '../support/product.ts';
import { until } from '../support/until.ts';
import { oneConnection, over, startLoad } from './load.ts';

/** Does to its own thread what no extension should, when a request says so. */
const FILTER = `import type { ExtensionFilter } from 'portcullis';
import { isMainThread, threadId } from 'node:worker_threads';

if (!isMainThread && process.env['THREADS_DIE'] !== undefined)
  setTimeout(() => {
    throw new RangeError('this thread was not to live');
  }, 300);

const filter: ExtensionFilter = {
  filterRequest(request) {
    switch (request.headers.get('x-order')) {
      case 'throw':
        setImmediate(() => {
          throw new TypeError('an extension fails where nobody catches it');
        });
        break;
      case 'exit':
        process.exit(9);
        break;
      case 'busy': {
        const end = Date.now() + 5_000;
        while (Date.now() < end);
        break;
      }
      case 'thread':
        return { status: 200, body: String(threadId) };
      default:
    }
    return undefined;
  },
};

export default filter;
`;

/** Fails in the control thread, when a file says so. */
const STARTUP = `import type { StartupExtension } from 'portcullis';
import { existsSync } from 'node:fs';

const startup: StartupExtension = () => {
  const order = process.env['ORDER_FILE'];
  if (order === undefined) return;
  const timer = setInterval(() => {
    if (!existsSync(order)) return;
    clearInterval(timer);
    throw new TypeError('the startup extension fails much later');
  }, 20);
};

export default startup;
`;

const OPEN = '/petstore/v1/store/inventory';
const file = { after };
const issuer = testIssuer();
const held: ServerResponse[] = [];
const upstream = await startHttpServer((request, response) => {
  if (request.headers['x-hold'] === undefined) response.end('{}');
  else held.push(response);
});
owned(file, () => upstream.close());
const { artifact } = await buildPetstore(file, {
  upstreamPort: upstream.port,
  extensions: { 'extension_filter.ts': FILTER, 'startup_extension.ts': STARTUP },
});
const revoked = randomUUID();
const hub = await startHttpServer((_request, response) =>
  response
    .setHeader('content-type', 'application/json')
    .end(JSON.stringify([{ jwt_signature: revoked, expiry_time: Date.now() + 600_000 }])),
);
owned(file, () => hub.close());
const HUB = `[tokenRevocationConfig.persistent]
  enablePersistentStorageRetrieval = true
  endpointURL = "${hub.url}"
`;
const TWO = '--server.threads=2';

function gatewayOf(owner: Owner, { flags = [], ...options }: Partial<GatewayOptions> = {}) {
  return startGateway(owner, { artifact, issuers: [issuer], flags: [TWO, ...flags], ...options });
}

/** The thread that serves a connection. */
async function threadOf(agent: Agent, gateway: Gateway): Promise<string> {
  return (await over(agent, gateway.http + OPEN, { 'x-order': 'thread' })).body;
}

/** Connections until there is one to each of the two threads. */
async function onePerThread(owner: Owner, gateway: Gateway): Promise<Map<string, Agent>> {
  const found = new Map<string, Agent>();
  await until(
    async () => {
      const agent = oneConnection();
      const thread = await threadOf(agent, gateway);
      if (found.has(thread)) agent.destroy();
      else {
        found.set(thread, agent);
        owned(owner, () => Promise.resolve(agent.destroy()));
      }
      return found.size === 2;
    },
    'a connection to each thread',
    30_000,
  );
  return found;
}

const LISTENERS = [
  /started HTTPS\/WSS listener 127\.0\.0\.1:\d+$/,
  /started HTTP\/WS listener 127\.0\.0\.1:\d+$/,
  / HTTP listener is active on port \d+$/,
  / HTTPS listener is active on port \d+$/,
];

test('two threads serve one port, which is said once', async (t) => {
  const gateway = await gatewayOf(t);
  assert.equal((await onePerThread(t, gateway)).size, 2);
  const counts = LISTENERS.map(
    (pattern) => gateway.lines().filter((line) => pattern.test(line)).length,
  );
  assert.deepEqual(counts, [2, 1, 1, 1], gateway.program.output());
  for (const url of [gateway.http, gateway.https])
    assert.equal((await send(`${url}/ready`, { ca: gateway.ca })).status, 200);
});

test('a TLS session that one thread began is resumed by any', async (t) => {
  const gateway = await gatewayOf(t);
  const { port } = new URL(gateway.https);
  /** Whether the session was resumed; the ticket for a next visit comes after the handshake of a new one. */
  const open = (session?: Buffer): Promise<{ reused: boolean; ticket: Buffer | undefined }> =>
    new Promise((resolve, reject) => {
      const socket = connect({
        port: Number(port),
        host: '127.0.0.1',
        servername: 'localhost',
        ca: gateway.ca,
        ...(session === undefined ? {} : { session }),
      });
      socket.setTimeout(20_000, () => socket.destroy(new Error('no session')));
      socket.on('error', reject);
      const done = (ticket?: Buffer): void => {
        resolve({ reused: socket.isSessionReused(), ticket });
        socket.destroy();
      };
      if (session === undefined) socket.once('session', done);
      else socket.once('secureConnect', done);
    });
  const { reused, ticket } = await open();
  assert.equal(reused, false);
  for (let visit = 0; visit < 12; visit++) assert.equal((await open(ticket)).reused, true);
});

test('the bound of calls to one upstream holds for all threads together', async (t) => {
  const gateway = await gatewayOf(t, {
    config: '[httpClients.poolConfig]\n  maxActiveConnections = 2\n',
  });
  const before = held.length;
  const agents = [...(await onePerThread(t, gateway)).values()];
  const calls = agents.map((agent) => over(agent, gateway.http + OPEN, { 'x-hold': 'yes' }));
  await until(() => held.length === before + 2, 'one call of each thread is held', 30_000);
  for (let visit = 0; visit < 8; visit++)
    assert.equal((await send(gateway.http + OPEN)).status, 503);
  for (const response of held.slice(before)) response.end('{}');
  for (const call of calls) assert.equal((await call).status, 200);
  assert.equal((await send(gateway.http + OPEN)).status, 200);
});

test('with a time to wait, a call has its turn when a call of another thread has ended', async (t) => {
  const gateway = await gatewayOf(t, {
    config: '[httpClients.poolConfig]\n  maxActiveConnections = 1\n  waitTimeInMillis = 60000\n',
  });
  const before = held.length;
  const [one, other] = [...(await onePerThread(t, gateway)).values()];
  assert.ok(one && other);
  const holding = over(one, gateway.http + OPEN, { 'x-hold': 'yes' });
  await until(() => held.length === before + 1, 'a call is held', 30_000);
  const waiting = over(other, gateway.http + OPEN);
  await onePerThread(t, gateway); // what came to either before is at work
  held[before]?.end('{}');
  for (const call of [holding, waiting]) assert.equal((await call).status, 200);
});

for (const order of ['throw', 'exit'] as const)
  test(`a thread that dies (${order}) under load: the other serves every request, and a new one takes its place, with the list`, async (t) => {
    const gateway = await gatewayOf(t, { config: HUB });
    await gateway.untilReady();
    const agents = await onePerThread(t, gateway);
    const [[victim, victimAgent] = [], [survivor, survivorAgent] = []] = [...agents];
    assert.ok(victimAgent && survivorAgent && survivor !== undefined && victim !== undefined);
    const replaced = new AbortController();
    const answers: string[] = [];
    const steady = (async () => {
      while (!replaced.signal.aborted) {
        const { status, body } = await over(survivorAgent, gateway.http + OPEN, {
          'x-order': 'thread',
        });
        answers.push(`${status} ${body}`);
      }
    })();
    const bad = issuer.token({ jti: revoked });
    const good = issuer.token();
    const verdicts = new Set<string>();
    const newcomers = new Set<string>();
    await over(victimAgent, gateway.http + OPEN, { 'x-order': order }).catch(() => undefined);
    // New connections, some of them while the thread dies: whoever takes one knows the revoked token.
    await until(
      async () => {
        const agent = oneConnection();
        try {
          const refused = await over(agent, gateway.http + PETS, {
            authorization: `Bearer ${bad}`,
          });
          verdicts.add(`${refused.status} ${refused.body}`);
          const admitted = await over(agent, gateway.http + PETS, {
            authorization: `Bearer ${good}`,
          });
          verdicts.add(`${admitted.status}`);
          newcomers.add(await threadOf(agent, gateway));
        } catch {
          // A connection that the dying thread had not accepted yet.
        } finally {
          agent.destroy();
        }
        return [...newcomers].some((thread) => thread !== survivor && thread !== victim);
      },
      'a new thread answers',
      30_000,
    );
    replaced.abort();
    await steady;
    assert.deepEqual([...new Set(answers)], [`200 ${survivor}`]);
    assert.ok(answers.length > 10, String(answers.length));
    assert.deepEqual([...verdicts].sort(), ['200', `401 ${INVALID_CREDENTIALS}`]);
    const why =
      order === 'throw'
        ? /ERROR .*\[DataPlane\] \[-\] Data-plane thread [12] has ended: TypeError: an extension fails where nobody catches it \(at .*\. 1 go on; a new one starts in /
        : /ERROR .*\[DataPlane\] \[-\] Data-plane thread [12] has ended: it ended with code 9\. 1 go on/;
    assert.match(gateway.program.output(), why);
    assert.equal(await gateway.stop(), 0);
  });

test('when threads die as soon as they live, the process ends with 1 and says why', async (t) => {
  const { program } = await launchGateway(t, {
    artifact,
    issuers: [issuer],
    flags: [TWO],
    env: { THREADS_DIE: 'yes' },
  });
  assert.equal(await program.ended(60_000), 1);
  assert.match(
    program.output(),
    /no data-plane thread stays alive; the last one has ended: RangeError: this thread was not to live/,
  );
});

test('an error that nobody catches in the control thread: what is in flight is finished, and the process ends with 1', async (t) => {
  const order = join(await temporaryFolder(t), 'order');
  const gateway = await gatewayOf(t, { env: { ORDER_FILE: order } });
  const before = held.length;
  const answer = send(gateway.http + OPEN, { headers: { 'x-hold': 'yes' } });
  await until(() => held.length > before, 'the upstream has the request', 30_000);
  await writeFile(order, '');
  await gateway.program.said(
    /ERROR .*The gateway cannot go on: TypeError: the startup extension fails/,
  );
  await gateway.program.said(/Ending \(failure\)/);
  held.at(-1)?.end('late');
  assert.deepEqual([(await answer).status, (await answer).body], [200, 'late']);
  assert.equal(await gateway.program.ended(), 1);
  assert.match(gateway.program.output(), /\[APIGateway\] \[-\] Ended\n$/);
});

test('SIGTERM under load: clients are told to go, no request fails, and the process ends with 0', async (t) => {
  const gateway = await gatewayOf(t);
  const load = startLoad(8, { url: gateway.http + OPEN, heedsClose: true });
  await until(() => load.answered() > 200, 'load', 30_000);
  gateway.program.signal('SIGTERM');
  const clients = await load.ended;
  assert.deepEqual(
    clients.flatMap(({ failures }) => failures),
    [],
  );
  assert.equal(await gateway.program.ended(), 0);
});

test('log lines of several threads are whole, at DEBUG and under load', async (t) => {
  const gateway = await gatewayOf(t, { flags: ['--b7a.log.level=DEBUG'] });
  const headers = { authorization: `Bearer ${issuer.token()}`, 'x-order': 'thread' };
  const load = startLoad(8, { url: gateway.http + PETS, headers, fresh: true });
  await until(() => load.answered() > 300, 'load', 60_000);
  const clients = await load.stop();
  assert.equal(await gateway.stop(), 0);
  const whole =
    /^(?:\[ballerina\/http\] started |\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (?:DEBUG|INFO |WARN |ERROR) \[wso2\/gateway\/src\/gateway\/utils\] - \[[^\]]+\] \[[^\]]+\] )/;
  // What Node itself says on standard error is no line of the log.
  const lines = gateway.lines().filter((line) => !/^\((?:node:\d|Use `node)/.test(line));
  assert.deepEqual(
    lines.filter(
      (line) => !whole.test(line) || /\d{4}-\d\d-\d\d .*\d{4}-\d\d-\d\d \d\d:/.test(line),
    ),
    [],
  );
  const answered = clients.reduce((sum, client) => sum + client.answered, 0);
  const ended = lines.filter((line) => line.includes(' -> 200 filtered, '));
  assert.equal(ended.length, answered);
});

test('who waits for all threads is told in time which did not confirm', async (t) => {
  const gateway = await gatewayOf(t, {});
  const busy = send(gateway.http + OPEN, { headers: { 'x-order': 'busy' } });
  const wait = { subject: 'kim', wait: 'threads', timeoutMs: 500 };
  await until(
    async () => {
      const { status, json } = await gateway.operator('POST', '/revocations', wait);
      if (status !== 202) return false;
      assert.deepEqual(json['confirmedThreads'], { confirmed: 1, of: 2 });
      return true;
    },
    'an answer while a thread is busy',
    4_000,
  );
  await busy;
  assert.equal((await gateway.operator('POST', '/revocations', wait)).status, 200);
});

describe('one gateway has its addresses', () => {
  const listensOn = (port: number): string[] => [
    `--listenerConfig.httpPort=${port}`,
    '--listenerConfig.host=127.0.0.1',
  ];

  test('a second one refuses to start, and the first goes on', async (t) => {
    const port = await freePort();
    const first = await gatewayOf(t, { flags: listensOn(port) });
    const { program } = await launchGateway(t, { artifact, flags: [TWO, ...listensOn(port)] });
    assert.equal(await program.ended(), 1);
    assert.match(
      program.output(),
      new RegExp(
        `\`listenerConfig\\.httpPort\`: http listener: cannot listen on 127\\.0\\.0\\.1:${port} \\(EADDRINUSE\\): another gateway has this port\\. .*--takeover.* \\[ERR_LISTEN\\]\n$`,
      ),
    );
    assert.equal((await send(`${first.http}/health`)).status, 200);
  });

  for (const engine of ['node', 'own'])
    test(`with --takeover it shares them, no request is lost when the first ends, over http or https (${engine})`, async (t) => {
      const [http, https] = [await freePort(), await freePort()];
      const home = await temporaryFolder(t);
      const ports = [`--listenerConfig.httpPort=${http}`, `--listenerConfig.httpsPort=${https}`];
      const flags = [...ports, `--server.httpEngine=${engine}`];
      const first = await gatewayOf(t, { home, flags });
      const { ca } = first;
      const loads = [{ url: first.http + OPEN }, { url: first.https + OPEN, ca }].flatMap((to) => [
        startLoad(3, { ...to, retriesReset: true, pauseMs: 5 }),
        startLoad(2, { ...to, fresh: true, retriesReset: true, pauseMs: 5 }),
      ]);
      const more = async (count: number): Promise<void> => {
        const wanted = loads.map((load) => load.answered() + count);
        const enough = () => loads.every((load, n) => load.answered() >= (wanted[n] ?? 0));
        await until(enough, 'load', 30_000);
      };
      await more(30);
      const second = await gatewayOf(t, { home, flags: ['--takeover', ...flags] });
      assert.match(
        second.program.output(),
        /Sharing 127\.0\.0\.1:\d+ with the gateway that has it/,
      );
      assert.equal(await first.stop(), 0);
      await more(30);
      const clients = (await Promise.all(loads.map((load) => load.stop()))).flat();
      assert.deepEqual(
        clients.flatMap(({ failures }) => failures),
        [],
      );
      const { program } = await launchGateway(t, { artifact, flags: [TWO, ...ports] });
      assert.equal(await program.ended(), 1);
      assert.match(program.output(), /\(EADDRINUSE\)/);
    });

  test('one that cannot start as it is configured takes nothing, also with --takeover', async (t) => {
    const home = await temporaryFolder(t);
    const first = await gatewayOf(t, { home });
    for (const flag of [
      '--operatorConfig.keyStorePath=/no/such.p12',
      '--operatorConfig.tokenPath=/tmp',
      '--jwtTokenConfig.0.certificatePath=/no/such.pem',
    ]) {
      const flags = [TWO, '--takeover', '--listenerConfig.httpPort=0', flag];
      const { program } = await launchGateway(t, { artifact, home, flags });
      assert.equal(await program.ended(), 1);
      assert.match(program.output(), new RegExp(`^gateway: ${flag.split('=')[0]}: .*\\[ERR_`, 'm'));
    }
    const made = await first.operator('POST', '/revocations', { subject: 'kim' });
    assert.equal(made.status, 201, JSON.stringify(made.json));
    assert.doesNotMatch(first.program.output(), /Another gateway takes over/);
  });

  test('a port that another program has is refused also with --takeover', async (t) => {
    const { port } = upstream;
    const { program } = await launchGateway(t, {
      artifact,
      flags: [TWO, '--takeover', ...listensOn(port)],
    });
    assert.equal(await program.ended(), 1);
    assert.match(
      program.output(),
      new RegExp(
        `\`listenerConfig\\.httpPort\`: http listener: cannot listen on 127\\.0\\.0\\.1:${port} \\(EADDRINUSE\\): another program`,
      ),
    );
  });
});

test('a key set is read once for all threads, and once more for a key that none of them knows', async (t) => {
  const rotated = testIssuer('ES256', 'https://rotated.issuer.invalid');
  const jwk = createPublicKey(rotated.publicKeyPem).export({ format: 'jwk' });
  let reads = 0;
  let keys: readonly object[] = [
    generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' }),
  ];
  const server = await startHttpServer((_request, response) => {
    reads += 1;
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys }));
  });
  owned(t, () => server.close());
  const gateway = await gatewayOf(t, {
    config: `[[jwtTokenConfig]]
  issuer = "${rotated.issuer}"
  jwksURL = "${server.url}/jwks"
`,
  });
  const agents = [...(await onePerThread(t, gateway)).values()];
  assert.equal(reads, 1);
  keys = [jwk];
  const headers = { authorization: `Bearer ${rotated.token()}` };
  const call = () => Promise.all(agents.map((agent) => over(agent, gateway.http + PETS, headers)));
  // Within the cool-down nobody asks again.
  await until(
    async () => (await call()).every(({ status }) => status === 200),
    'both know it',
    30_000,
  );
  assert.equal(reads, 2);
});
