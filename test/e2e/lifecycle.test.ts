import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import forge from 'node-forge';
import { startHttpServer } from '../support/http-server.ts';
import { testIssuer } from '../support/issuer.ts';
import {
  buildPetstore,
  launchGateway,
  owned,
  send,
  startGateway,
  temporaryFolder,
  type GatewayOptions,
  type Owner,
} from '../support/product.ts';
import { until } from '../support/until.ts';

const file = { after };
/** Requests that the upstream has received and not answered. */
const held: ServerResponse[] = [];
const upstream = await startHttpServer((_request, response) => held.push(response));
owned(file, () => upstream.close());
const { artifact } = await buildPetstore(file, { upstreamPort: upstream.port });
const issuer = testIssuer();
const issuers = [issuer];

/** A call that has reached the upstream. */
async function inFlight(call: () => Promise<{ status: number; body: string }>) {
  const before = held.length;
  const answer = call();
  answer.catch(() => undefined);
  await until(() => held.length > before, 'the upstream has the request', 30_000);
  const response = held.at(-1);
  assert.ok(response);
  return { answer, response };
}

describe('a gateway that is told to end', () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    test(`${signal}: takes no new connections, finishes what is in flight, and ends with 0`, async (t) => {
      const gateway = await startGateway(t, { artifact, issuers });
      const plain = await inFlight(() => gateway.call(issuer.token()));
      const tls = await inFlight(() => gateway.callTls(issuer.token()));
      plain.response.write('half of');

      gateway.program.signal(signal);
      await gateway.program.said(new RegExp(`\\[APIGateway\\] \\[-\\] Ending \\(${signal}\\)`));
      await until(
        () =>
          send(`${gateway.http}/health`).then(
            () => false,
            () => true,
          ),
        'new connections are refused',
      );
      plain.response.end(' it');
      tls.response.end('all of it');
      const [first, second] = [await plain.answer, await tls.answer];
      assert.deepEqual([first.status, first.body], [200, 'half of it']);
      assert.deepEqual([second.status, second.body], [200, 'all of it']);
      assert.equal(await gateway.program.ended(), 0);
      assert.match(gateway.program.output(), /\[APIGateway\] \[-\] Ended\n$/);
    });

  test('waits for server.drainTimeout at most', async (t) => {
    const gateway = await startGateway(t, {
      artifact,
      issuers,
      config: '[server]\n  drainTimeout = "200ms"\n',
    });
    const { answer } = await inFlight(() => gateway.call(issuer.token()));
    gateway.program.signal('SIGTERM');
    await assert.rejects(answer, /ECONNRESET|socket hang up/);
    assert.equal(await gateway.program.ended(), 0);
  });

  test('ends at once at the second signal', async (t) => {
    const gateway = await startGateway(t, { artifact, issuers });
    const { answer } = await inFlight(() => gateway.call(issuer.token()));
    gateway.program.signal('SIGINT');
    await gateway.program.said(/Ending \(SIGINT\)/);
    gateway.program.signal('SIGINT');
    assert.equal(await gateway.program.ended(), 1);
    await assert.rejects(answer);
  });
});

describe('a start that is refused ends with 1 and says why', () => {
  async function refusal(t: Owner, options: Partial<GatewayOptions>) {
    const { program, home } = await launchGateway(t, { artifact, issuers, ...options });
    assert.equal(await program.ended(), 1, program.output());
    const output = program.output();
    assert.doesNotMatch(output, /listener is active|\n +at .*\.js:\d+/);
    return { output, home };
  }

  test('a port that is taken: the one who has it goes on', async (t) => {
    const first = await startGateway(t, { artifact, issuers });
    const { port } = new URL(first.https);
    const { output } = await refusal(t, { flags: [`--listenerConfig.httpsPort=${port}`] });
    assert.match(
      output,
      new RegExp(
        `gateway: --listenerConfig\\.httpsPort: \`listenerConfig\\.httpsPort\`: https listener: cannot listen on 127\\.0\\.0\\.1:${port} \\(EADDRINUSE\\): .* \\[ERR_LISTEN\\]`,
      ),
    );
    assert.equal((await send(`${first.http}/health`)).status, 200);
  });

  test('every problem of micro-gw.conf at once, each with file and line', async (t) => {
    const { output } = await refusal(t, {
      issuers: [],
      config: [
        '[listenerConfig]',
        'httpProt = 9090',
        '[tokenRevocationConfig.realtime]',
        'enableRealtimeMessageRetrieval = "yes"',
        '[tokenRevocationConfig.persistent]',
        'enablePersistentStorageRetrieval = true',
        'type = "default"',
        'username = "kim"',
        'endpointURL = "not a url"',
        'reconcileInterval = "0s"',
        'password = "${env:PORTCULLIS_TEST_UNSET}"',
        '[server]',
        'drainTimeout = -4',
      ].join('\n'),
    });
    for (const [line, pattern] of [
      [2, /httpProt.*httpPort/],
      [4, /enableRealtimeMessageRetrieval/],
      [9, /endpointURL/],
      [10, /reconcileInterval/],
      [11, /PORTCULLIS_TEST_UNSET/],
      [13, /drainTimeout/],
    ] as const) {
      const said = output.split('\n').find((text) => text.includes(`micro-gw.conf:${line}:`));
      assert.match(String(said), pattern, output);
    }
  });

  test('TOML that is none, and settings that contradict each other', async (t) => {
    const broken = await refusal(t, { issuers: [], config: '[server]\nheader = "a\n' });
    assert.match(broken.output, /micro-gw\.conf:2: /);
    const taken = await refusal(t, {
      issuers: [],
      ports: 'configured',
      config: '[listenerConfig]\nhttpPort = 9099\nhttpsPort = 9099\n',
    });
    assert.match(taken.output, /micro-gw\.conf:3: .*httpsPort.*line 2/);
  });

  test('an artifact that is missing, or is something else', async (t) => {
    const folder = await temporaryFolder(t);
    const missing = join(folder, 'petstore.mjs');
    assert.match(
      (await refusal(t, { artifact: missing })).output,
      /petstore\.mjs.*micro-gw build/s,
    );
    const jar = join(folder, 'petstore.jar');
    await writeFile(jar, 'PK\u0003\u0004');
    assert.match((await refusal(t, { artifact: jar })).output, /petstore\.jar: is a jar/);
    const script = join(folder, 'script.mjs');
    await writeFile(script, 'console.log("it ran")');
    const { output } = await refusal(t, { artifact: script });
    assert.match(output, /script\.mjs: is not a Portcullis artifact/);
    assert.doesNotMatch(output, /it ran/);
  });

  test('a certificate that TLS does not take, not after threads have died of it', async (t) => {
    const file = join(await temporaryFolder(t), 'weak.pem');
    await writeFile(file, weakPair());
    const { output } = await refusal(t, { flags: [`--listenerConfig.keyStorePath=${file}`] });
    assert.match(output, /certificate cannot be shown: .*key too small.*\[ERR_KEY_STORE\]/);
    assert.doesNotMatch(output, /has ended/);
  });

  test('a source that needs an extension which the artifact has not', async (t) => {
    const { output } = await refusal(t, {
      config:
        '[tokenRevocationConfig.persistent]\nenablePersistentStorageRetrieval = true\ntype = "redis"\n',
    });
    assert.match(output, /"redis".*token_revocation_extension\.ts/);
  });

  test('a broker URL that cannot be read, without its password', async (t) => {
    const { output } = await refusal(t, {
      config: `[tokenRevocationConfig.realtime]
        enableRealtimeMessageRetrieval = true
        jmsConnectionProviderUrl = "amqp://kim:hidden-5e1c@carbon/carbon"`,
    });
    assert.match(output, /brokerlist/);
    assert.doesNotMatch(output, /hidden-5e1c/);
  });

  test('an issuer whose certificate is not there', async (t) => {
    const { output } = await refusal(t, {
      issuers: [],
      config: '[[jwtTokenConfig]]\nissuer = "a"\ncertificatePath = "/nowhere/issuer.pem"\n',
    });
    assert.match(output, /\/nowhere\/issuer\.pem: cannot be read: ENOENT/);
  });
});

test('SIGHUP while the gateway starts is a reload as soon as it has started', async (t) => {
  const folder = await temporaryFolder(t);
  const slow = join(folder, 'slow.mjs');
  const go = JSON.stringify(join(folder, 'go'));
  const wait = `import { existsSync } from 'node:fs';
    console.error('it is being read');
    while (!existsSync(${go})) await new Promise((resolve) => setTimeout(resolve, 10));`;
  await writeFile(slow, `${await readFile(artifact, 'utf8')}\n${wait}\n`);
  const { program } = await launchGateway(t, { artifact: slow, issuers });
  await program.said(/it is being read/);
  program.signal('SIGHUP');
  await writeFile(join(folder, 'go'), '');
  await program.said(/\[Reload\] \[-\] Configuration, certificates and the artifact .* are in use/);
  assert.equal(await program.stop(), 0);
});

/** A certificate with a key that is too short for today's TLS. */
function weakPair(): string {
  const pair = generateKeyPairSync('rsa', {
    modulusLength: 1024,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(pair.publicKey);
  certificate.validity.notAfter = new Date(Date.now() + 86_400_000);
  certificate.setSubject([{ name: 'commonName', value: 'localhost' }]);
  certificate.setIssuer([{ name: 'commonName', value: 'localhost' }]);
  certificate.sign(forge.pki.privateKeyFromPem(pair.privateKey), forge.md.sha256.create());
  return forge.pki.certificateToPem(certificate) + pair.privateKey;
}
