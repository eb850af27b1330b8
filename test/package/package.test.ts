import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { bringNode, copyCheckout, plainEnvironment, ROOT } from '../support/checkout.ts';
import { startHttpServer } from '../support/http-server.ts';
import { testIssuer } from '../support/issuer.ts';
import {
  INVALID_CREDENTIALS,
  owned,
  PETS,
  send,
  temporaryFolder,
  type Owner,
} from '../support/product.ts';
import { startProgram } from '../support/program.ts';
import { until } from '../support/until.ts';
import { startPetstoreBackend } from '../../tools/petstore-backend.ts';

/** The oldest Node that is promised, and the one that this is developed on. */
const NODES = ['22.18.0', '24.21.0'] as const;
const NPM_DEADLINE_MS = 150_000;

const FILTER = `import type { ExtensionFilter } from 'portcullis';

const filter: ExtensionFilter = {
  filterResponse(response) {
    response.headers.set('x-extension', 'ran');
  },
};

export default filter;
`;

interface Manifest {
  readonly bin: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
}

async function command(
  cwd: string,
  env: Readonly<Record<string, string>>,
  name: string,
  ...words: string[]
): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(name, words, {
      cwd,
      env,
      timeout: NPM_DEADLINE_MS,
      maxBuffer: 16 * 1024 * 1024,
    });
    return stdout;
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    throw new Error(`${name} ${words.join(' ')} failed: ${stdout ?? ''}${stderr ?? ''}`, {
      cause: error,
    });
  }
}

/** `npm pack` in a fresh checkout: the path of the tarball, and the paths in it. */
async function pack(owner: Owner): Promise<{ tarball: string; packed: string[] }> {
  const folder = await temporaryFolder(owner, 'pack');
  const source = join(folder, 'source');
  copyCheckout(source, true);
  const env = await plainEnvironment(folder);
  const output = await command(source, env, 'npm', 'pack', '--json', '--pack-destination', folder);
  // Lines of the build may come first.
  const [entry] = JSON.parse(output.slice(output.search(/^\[/m))) as [
    { filename: string; files: { path: string }[] },
  ];
  return {
    tarball: join(folder, entry.filename),
    packed: entry.files.map(({ path }) => path),
  };
}

const { tarball, packed } = await pack({ after });

test('the tarball has what ships, compiled from the sources that are there, and nothing else', () => {
  const shipped =
    /^(?:dist\/.+\.(?:js|d\.ts)|docs\/.+\.md|conf\/micro-gw\.conf|README\.md|LICENSE|CHANGELOG\.md|package\.json)$/;
  assert.deepEqual(
    packed.filter((path) => !shipped.test(path)),
    [],
  );
  for (const path of [
    'README.md',
    'LICENSE',
    'CHANGELOG.md',
    'conf/micro-gw.conf',
    'docs/house.md',
  ])
    assert.ok(packed.includes(path), `${path} is missing`);
  for (const path of packed.filter((path) => path.startsWith('dist/'))) {
    const source = path.replace(/^dist/, 'src').replace(/(?:\.d\.ts|\.js)$/, '.ts');
    assert.ok(existsSync(join(ROOT, source)), `${path} comes from no source`);
  }
});

test('every entry of `bin` and `exports` is in the tarball', async () => {
  const { bin, exports } = JSON.parse(
    await readFile(join(ROOT, 'package.json'), 'utf8'),
  ) as Manifest;
  const entries = [
    ...Object.values(bin),
    ...Object.values(exports).flatMap((entry) =>
      typeof entry === 'string' ? [entry] : Object.values(entry),
    ),
  ].map((path) => path.replace(/^\.\//, ''));
  assert.deepEqual(Object.keys(bin).sort(), ['gateway', 'micro-gw']);
  for (const path of entries) assert.ok(packed.includes(path), `${path} is missing`);
});

test('publint has nothing to say', async () => {
  const data = await readFile(tarball);
  const { messages, pkg } = await publint({
    pack: { tarball: data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength) },
    strict: true,
  });
  assert.deepEqual(
    messages.map((message) => formatMessage(message, pkg)),
    [],
  );
});

async function buildPetstore(
  folder: string,
  env: Readonly<Record<string, string>>,
  upstreamPort: number,
): Promise<string> {
  assert.match(
    await command(folder, env, 'micro-gw', 'init', 'petstore'),
    /^Project 'petstore' is initialized successfully\.\n/,
  );
  const definition = await readFile(join(ROOT, 'examples/petstore/petstore.yaml'), 'utf8');
  await writeFile(
    join(folder, 'petstore/api_definitions/petstore.yaml'),
    definition.replace('127.0.0.1:8080', `127.0.0.1:${upstreamPort}`),
  );
  await writeFile(join(folder, 'petstore/extensions/extension_filter.ts'), FILTER);
  const target = join(folder, 'petstore/target/petstore.mjs');
  assert.ok(
    (await command(folder, env, 'micro-gw', 'build', 'petstore')).endsWith(
      `\nBUILD SUCCESSFUL\nTarget: ${target}\n`,
    ),
  );
  return target;
}

/** What a module imports by name, statically or not. */
function imports(code: string): string[] {
  return [...code.matchAll(/\b(?:from|import)\s*\(?\s*(["'])(.*?)\1/g)].map(
    ([, , name]) => name ?? '',
  );
}

/** Starts `gateway` as it is found on the PATH; answers the port of its HTTP listener. */
async function startGateway(
  t: TestContext,
  folder: string,
  env: Readonly<Record<string, string>>,
  artifact: string,
): Promise<number> {
  const gateway = startProgram(
    'gateway',
    [
      artifact,
      '--listenerConfig.host=127.0.0.1',
      ...['httpPort', 'httpsPort', 'tokenListenerPort'].map((name) => `--listenerConfig.${name}=0`),
      '--operatorConfig.port=0',
    ],
    { cwd: folder, env },
  );
  owned(t, () => gateway.stop());
  const [, port] = await gateway.said(/HTTP listener is active on port (\d+)/, 60_000);
  await until(
    async () => (await send(`http://127.0.0.1:${port}/ready`)).status === 200,
    'the gateway is ready',
    60_000,
  ).catch((error: unknown) => {
    throw new Error(gateway.output(), { cause: error });
  });
  return Number(port);
}

for (const version of NODES)
  test(`with Node ${version}: installed in an empty folder, a project is built, and its artifact runs alone`, async (t) => {
    const home = await temporaryFolder(t);
    const nodeFolder = await bringNode(await temporaryFolder(t, 'node'), version);
    const folder = await temporaryFolder(t, 'installed');
    const plain = await plainEnvironment(home, nodeFolder);
    const env = { ...plain, PATH: `${join(folder, 'node_modules/.bin')}:${plain['PATH']}` };
    assert.equal((await command(folder, env, 'node', '--version')).trim(), `v${version}`);
    await writeFile(join(folder, 'package.json'), '{ "private": true, "type": "module" }\n');
    await command(folder, env, 'npm', 'install', tarball);

    await t.test("types of 'portcullis' are found from an empty project", async () => {
      await writeFile(join(folder, 'extension.ts'), FILTER);
      const words = '--noEmit --strict --module nodenext --target es2023 --types node'.split(' ');
      await command(folder, env, 'tsc', ...words, 'extension.ts');
      await writeFile(
        join(folder, 'extension.ts'),
        FILTER.replace('response.headers', 'response.heads'),
      );
      await assert.rejects(
        command(folder, env, 'tsc', ...words, 'extension.ts'),
        /Property 'heads' does not exist/,
      );
    });

    const backend = await startPetstoreBackend();
    owned(t, () => backend.close());
    const target = await buildPetstore(folder, env, backend.port);
    const alone = await temporaryFolder(t, 'alone');
    const artifact = join(alone, 'petstore.mjs');
    await copyFile(target, artifact);
    await rm(dirname(dirname(target)), { recursive: true });
    for (const name of imports(await readFile(artifact, 'utf8')))
      assert.match(name, /^node:/, `the artifact imports ${name}`);

    const issuer = testIssuer();
    const revoked = randomUUID();
    const hub = await startHttpServer((_request, response) =>
      response
        .setHeader('content-type', 'application/json')
        .end(JSON.stringify([{ jwt_signature: revoked, expiry_time: Date.now() + 60_000 }])),
    );
    owned(t, () => hub.close());
    await mkdir(join(alone, 'conf'));
    await writeFile(join(alone, 'conf/issuer.pem'), issuer.publicKeyPem);
    await writeFile(
      join(alone, 'conf/micro-gw.conf'),
      `[[jwtTokenConfig]]
  issuer = "${issuer.issuer}"
  certificatePath = "issuer.pem"
[tokenRevocationConfig.persistent]
  enablePersistentStorageRetrieval = true
  endpointURL = "${hub.url}"
`,
    );
    const port = await startGateway(t, alone, { ...env, MGW_HOME: home }, artifact);
    const call = (claims = {}) =>
      send(`http://127.0.0.1:${port}${PETS}`, {
        headers: { authorization: `Bearer ${issuer.token(claims)}` },
      });
    const good = await call();
    assert.deepEqual([good.status, good.headers['x-extension']], [200, 'ran']);
    const refused = await call({ jti: revoked });
    assert.deepEqual([refused.status, refused.body], [401, INVALID_CREDENTIALS]);
    assert.equal(backend.calls, 1);
  });
