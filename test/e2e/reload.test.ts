import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execFile } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import { after, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { promisify } from 'node:util';
import { WebSocket } from 'undici';
import { webSocketUpstream } from '../gateway/web-socket.ts';
import { testIssuer } from '../support/issuer.ts';
import {
  buildPetstore,
  type Gateway,
  PETS,
  startGateway,
  temporaryFolder,
  type Owner,
} from '../support/product.ts';
import { until } from '../support/until.ts';
import { startLoad } from '../threads/load.ts';
import { issueCertificate } from '../../src/tls/certificate.ts';

/** Says which artifact it is of, and ends its thread when a request says so. */
const FILTER = `import type { ExtensionFilter } from 'portcullis';

const filter: ExtensionFilter = {
  filterRequest(request) {
    if (request.headers.get('x-order') === 'die') process.exit(9);
  },
  filterResponse(response) {
    response.headers.set('x-artifact', 'artifact-one');
  },
};

export default filter;
`;

const INVENTORY = '/petstore/v1/store/inventory';
const STOCK = '/petstore/v1/store/stock';
const PET = '/petstore/v1/pet/7';

const file: Owner = { after };
const issuer = testIssuer();
const upstream = await webSocketUpstream({ after }, undefined, {
  answer: (_, response) => response.end('{}'),
});
const { artifact: built } = await buildPetstore(file, {
  upstreamPort: upstream.port,
  extensions: { 'extension_filter.ts': FILTER },
});
const ONE = await readFile(built, 'utf8');
const TWO = ONE.replaceAll('artifact-one', 'artifact-two').replaceAll(
  '/store/inventory',
  '/store/stock',
);
const pairs = await Promise.all([1, 2].map(makePair));

async function makePair(): Promise<string> {
  const { key, cert } = await issueCertificate({
    commonName: 'localhost',
    purpose: 'server',
    hosts: ['localhost', '127.0.0.1'],
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 86_400_000),
  });
  return key + cert;
}

/** A gateway whose files can be replaced. */
interface Reloadable {
  readonly gateway: Gateway;
  readonly headers: { readonly authorization: string };
  /** PEM of both certificates. */
  readonly ca: string;
  replace(what: 'artifact' | 'pair', text: string): Promise<void>;
  /** Rewrites micro-gw.conf. */
  configure(edit: (text: string) => string): Promise<void>;
  /** Sends the signal. */
  hangUp(): void;
  /** Sends the signal, and resolves when the reload is over. */
  reload(outcome?: 'done' | 'failed'): Promise<void>;
}

async function reloadable(
  t: Owner,
  { flags = [], config = '' }: { flags?: readonly string[]; config?: string } = {},
): Promise<Reloadable> {
  const folder = await temporaryFolder(t, 'reload');
  const paths = { artifact: join(folder, 'petstore.mjs'), pair: join(folder, 'pair.pem') };
  // In one step: nobody reads half of it.
  const replace: Reloadable['replace'] = async (what, text) => {
    await writeFile(`${paths[what]}.new`, text, { mode: 0o600 });
    await rename(`${paths[what]}.new`, paths[what]);
  };
  await replace('artifact', ONE);
  await replace('pair', pairs[0] ?? '');
  const home = await temporaryFolder(t);
  const gateway = await startGateway(t, {
    artifact: paths.artifact,
    issuers: [issuer],
    home,
    config: `[listenerConfig]\n  keyStorePath = "${paths.pair}"\n${config}`,
    flags: ['--server.threads=2', ...flags],
  });
  const conf = (await readdir(home)).find((name) => name.startsWith('conf-')) ?? '';
  const configFile = join(home, conf, 'micro-gw.conf');
  const count = async (outcome: string): Promise<number> =>
    (await gateway.metric(`portcullis_reloads_total{outcome="${outcome}"}`)) ?? -1;
  const hangUp = (): void => gateway.program.signal('SIGHUP');
  return {
    gateway,
    headers: { authorization: `Bearer ${issuer.token()}` },
    ca: pairs.join('\n'),
    replace,
    configure: async (edit) => writeFile(configFile, edit(await readFile(configFile, 'utf8'))),
    hangUp,
    async reload(outcome = 'done') {
      const before = await count(outcome);
      hangUp();
      await until(
        async () => (await count(outcome)) === before + 1,
        `a reload is ${outcome}`,
        30_000,
      ).catch((cause: unknown) => {
        throw new Error(gateway.program.output().split('\n').slice(-10).join('\n'), { cause });
      });
    },
  };
}

/** The certificate that a new connection is shown. */
async function shown({ gateway, ca }: Reloadable): Promise<string> {
  const { port } = new URL(gateway.https);
  const socket = connectTls({ port: Number(port), host: '127.0.0.1', servername: 'localhost', ca });
  await once(socket, 'secureConnect');
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}

for (const engine of ['own', 'node'] as const)
  test(`under load over http and https nothing is lost by reloads, and open connections live on (${engine})`, async (t) => {
    const staged = await reloadable(t, { flags: [`--server.httpEngine=${engine}`] });
    const { gateway, headers, ca } = staged;
    const serials = [await shown(staged)];
    const socket = new WebSocket(gateway.http.replace('http', 'ws') + PETS, { headers });
    const heard: string[] = [];
    socket.addEventListener('message', ({ data }) => heard.push(String(data)));
    await once(socket, 'open');

    const seen = new Set<string>();
    const check = ({ headers: fields }: { headers: Record<string, unknown> }) => {
      const artifact = String(fields['x-artifact']);
      seen.add(artifact);
      return /^artifact-(one|two)$/.test(artifact) ? undefined : artifact;
    };
    const loads = [gateway.http, gateway.https].flatMap((base) => {
      const options = { url: base + PETS, headers, check, ...(base === gateway.https && { ca }) };
      return [startLoad(3, options), startLoad(1, { ...options, fresh: true })];
    });
    const kept = [loads[0], loads[2]];
    const wrk = promisify(execFile)('/usr/bin/wrk', [
      '-t1',
      '-c8',
      '-d3s',
      `-Hauthorization: ${headers.authorization}`,
      gateway.https + PET,
    ]);
    for (const [n, text] of [TWO, ONE, TWO].entries()) {
      await staged.replace('artifact', text);
      await staged.replace('pair', pairs[(n + 1) % 2] ?? '');
      await staged.reload();
      serials.push(await shown(staged));
      await pause(400);
    }
    // As fast as they come: those that come while one is under way are one more.
    for (let n = 0; n < 5; n++) {
      staged.hangUp();
      await pause(20);
    }
    await staged.replace('artifact', ONE);
    await staged.reload();
    const { stdout: report } = await wrk;
    assert.doesNotMatch(report, /Socket errors|Non-2xx/);
    assert.match(report, /^Requests\/sec: +[1-9]/m);
    const clients = (await Promise.all(loads.map((load) => load.stop()))).flat();
    assert.deepEqual(
      clients.flatMap(({ failures }) => failures),
      [],
    );
    for (const load of kept)
      for (const { connections, answered } of (await load?.stop()) ?? []) {
        assert.equal(connections, 1, 'a connection that is kept is not closed');
        assert.ok(answered > 20, `${answered} answers`);
      }
    assert.deepEqual([...seen].sort(), ['artifact-one', 'artifact-two']);
    assert.equal(serials[0], serials[2]);
    assert.equal(serials[1], serials[3]);
    assert.notEqual(serials[0], serials[1]);
    socket.send('still here');
    await until(() => heard.includes('still here'), 'the WebSocket speaks');
    socket.close();

    const answered = clients.reduce((sum, client) => sum + client.answered, 0);
    const counted =
      'portcullis_route_requests_total{method="GET",route="/petstore/v1/pet/findByStatus",status="2xx"}';
    assert.equal(await gateway.metric(counted), answered, 'counts go on');
    assert.equal(await gateway.stop(), 0);
  });

test('routes, the filter and settings are replaced, also in a thread that takes the place of one that died', async (t) => {
  const staged = await reloadable(t);
  const { gateway } = staged;
  const token = issuer.token();
  const status = async (path: string): Promise<number> => (await gateway.call(token, path)).status;
  assert.deepEqual([await status(INVENTORY), await status(STOCK)], [200, 404]);
  await staged.replace('artifact', TWO);
  await staged.configure((text) => `${text}\n[server]\n  header = "second"\n`);
  assert.equal(await status(STOCK), 404, 'nothing happens without a signal');
  await staged.reload();
  assert.deepEqual([await status(INVENTORY), await status(STOCK)], [404, 200]);
  assert.equal((await gateway.call('bad')).headers['server'], 'second');
  assert.match(gateway.program.output(), /\[Reload\] .* petstore are in use: \d+ route\(s\)/);

  // What the file holds by now is nobody's business before the next signal.
  await staged.replace('artifact', ONE);
  const headers = { authorization: `Bearer ${token}`, 'x-order': 'die' };
  await assert.rejects(fetch(gateway.http + PETS, { headers }));
  await gateway.program.said(/serves again/, 30_000);
  for (let n = 0; n < 10; n++) {
    const answer = await gateway.call(token, STOCK);
    assert.deepEqual([answer.status, answer.headers['x-artifact']], [200, 'artifact-two']);
  }
});

test('what is broken is refused as a whole, with the words of a start, and everything stays', async (t) => {
  const staged = await reloadable(t);
  const { gateway } = staged;
  const serial = await shown(staged);
  const good = pairs[0] ?? '';
  const refused = async (pattern: RegExp): Promise<void> => {
    const from = gateway.program.output().length;
    await staged.reload('failed');
    assert.match(gateway.program.output().slice(from), pattern);
    const { status, headers } = await gateway.call(issuer.token(), INVENTORY);
    assert.deepEqual([status, headers['x-artifact']], [200, 'artifact-one']);
    assert.equal(await shown(staged), serial);
  };
  await staged.replace('artifact', TWO);
  await staged.replace('pair', good.slice(0, 900));
  await refused(
    /ERROR .*\[Reload\].*micro-gw\.conf:\d+: `listenerConfig\.keyStorePath`: .*pair\.pem.*\[ERR_KEY_STORE\]/,
  );
  await staged.replace('pair', pairs[1] ?? '');
  await staged.replace('artifact', TWO.slice(0, -40));
  await refused(/ERROR .*\[Reload\].*petstore\.mjs: cannot be loaded: .*\[ERR_ARTIFACT\]/);
  await staged.replace('artifact', TWO.replaceAll('http://127.0.0.1', 'ftp://127.0.0.1'));
  await refused(/ERROR .*\[Reload\].*an endpoint URL is not usable.*\[ERR_ENDPOINT_URL\]/);
  await staged.replace('artifact', TWO);
  await staged.configure((text) => `${text}\n[server]\n  headr = "x"\n  drainTimeout = -4\n`);
  await refused(/ERROR .*headr.*\[ERR_CONFIG_UNKNOWN_KEY\]\n.*ERROR .*drainTimeout/);
  await staged.configure((text) => text.replace(/\n\[server\][^]*$/, ''));
  await staged.reload();
  assert.equal((await gateway.call(issuer.token(), STOCK)).status, 200);
  assert.notEqual(await shown(staged), serial);
});

test('what cannot change in a running process is named, and nothing else changes either', async (t) => {
  const staged = await reloadable(t);
  const { gateway } = staged;
  await staged.replace('artifact', TWO);
  await staged.configure((text) =>
    [
      text,
      'maxUriLength = 100',
      '[tokenRevocationConfig]',
      'maxStaleness = "1h"',
      '[http2]',
      'enable = false',
      '[b7a.log]',
      'level = "DEBUG"',
    ].join('\n'),
  );
  await staged.reload('failed');
  assert.match(
    gateway.program.output(),
    /ERROR .*needs a restart: `http2\.enable`, `tokenRevocationConfig`, `b7a\.log` \[ERR_RELOAD\]/,
  );
  assert.equal((await gateway.call(issuer.token(), INVENTORY)).status, 200);
  assert.equal((await gateway.call(issuer.token(), `${INVENTORY}?${'x'.repeat(200)}`)).status, 200);

  // Keys of an issuer that were replaced in place.
  await staged.configure((text) => text.slice(0, text.indexOf('maxUriLength')));
  const [conf] = (await readdir(gateway.home)).filter((name) => name.startsWith('conf-'));
  const pem = join(gateway.home, conf ?? '', 'issuer-0.pem');
  const original = await readFile(pem, 'utf8');
  await writeFile(pem, testIssuer().publicKeyPem);
  await staged.reload('failed');
  assert.match(gateway.program.output(), /needs a restart: the certificate of an issuer/);
  await writeFile(pem, original);
  await staged.reload();
  assert.equal((await gateway.call(issuer.token(), STOCK)).status, 200);
});
