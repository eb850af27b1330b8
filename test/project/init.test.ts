import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import forge from 'node-forge';
import { OperatorError } from '../../src/errors.ts';
import { initProject } from '../../src/project/init.ts';
import type { InitOptions } from '../../src/project/init.ts';
import { projectName } from '../../src/project/project-folder.ts';
import { PETS, emptyFolder, filesBelow, project, write } from './project-folder.ts';

function init(parent: string, more: Partial<InitOptions> = {}): Promise<void> {
  const download = { headers: {}, insecure: false };
  return initProject({ parent, name: 'petstore', force: false, download, ...more });
}

/** Runs the compiler on the project as it is. */
function compile(dir: string): { code: number | null; said: string } {
  const package_ = createRequire(import.meta.url).resolve('typescript/package.json');
  const tsc = join(dirname(package_), 'bin', 'tsc');
  const words = [tsc, '-p', dir, '--pretty', 'false'];
  const { status, stdout, stderr } = spawnSync(process.execPath, words, {
    cwd: dir,
    encoding: 'utf8',
  });
  return { code: status, said: stdout + stderr };
}

const FILES = [
  'api_definitions/.keep',
  'conf/deployment-config.toml',
  'extensions/extension_filter.ts',
  'extensions/startup_extension.ts',
  'extensions/token_revocation_extension.ts',
  'grpc_definitions/.keep',
  'interceptors/.keep',
  'lib/.keep',
  'policies.yaml',
  'tsconfig.json',
];

describe('initProject', () => {
  it('makes the folders and files of the layout and nothing beside them', async (t) => {
    const parent = emptyFolder(t);
    await init(parent);
    assert.deepEqual(filesBelow(join(parent, 'petstore')), FILES);
    assert.deepEqual(readdirSync(parent), ['petstore']);
  });

  it('whose extensions any TypeScript checks as the build does, with nothing installed', async (t) => {
    const parent = emptyFolder(t);
    await init(parent);
    const dir = join(parent, 'petstore');
    assert.deepEqual(compile(dir), { code: 0, said: '' });
    write(dir, {
      'extensions/startup_extension.ts': `import type { StartupExtension } from 'portcullis';
const startup: StartupExtension = ({ log }) => log.info('A', process.env['A'] ?? 7);
export default startup;
`,
    });
    const { code, said } = compile(dir);
    assert.notEqual(code, 0);
    assert.match(
      said,
      /^extensions\/startup_extension\.ts\(2,\d+\): error TS2345: [^\n]*'string \| 7'[^\n]*\n {2}[^\n]*\n$/,
    );
  });

  it('takes a definition and a deployment configuration along', async (t) => {
    const parent = emptyFolder(t);
    write(parent, {
      'pets.yml': PETS,
      definition: '{"openapi":"3.0.3"}',
      text: PETS,
      'd.toml': '# mine\n',
    });
    const taken = async (apiDefinition: string): Promise<string[]> => {
      await init(parent, { force: true, apiDefinition, deploymentConfig: 'd.toml' });
      return readdirSync(join(parent, 'petstore/api_definitions')).filter(
        (name) => name !== '.keep',
      );
    };
    assert.deepEqual(await taken('pets.yml'), ['pets.yml']);
    assert.deepEqual(await taken('definition'), ['definition.json']);
    assert.deepEqual(await taken(join(parent, 'text')), ['text.yaml']);
    assert.equal(readFileSync(join(parent, 'petstore/api_definitions/text.yaml'), 'utf8'), PETS);
    const config = join(parent, 'petstore/conf/deployment-config.toml');
    assert.equal(readFileSync(config, 'utf8'), '# mine\n');
  });

  it('refuses a name that is taken, and with force deletes the old project as a whole', async (t) => {
    const parent = emptyFolder(t);
    const dir = await project(parent, { 'extensions/mine.ts': '' });
    await assert.rejects(init(parent), {
      code: 'ERR_USAGE',
      message:
        'Project name `petstore` already exist. use -f or --force to forcefully update the project directory.',
    });
    assert.ok(filesBelow(dir).includes('extensions/mine.ts'));
    await init(parent, { force: true });
    assert.deepEqual(filesBelow(dir), FILES);
  });

  it('deletes nothing that is not a project, even with force', async (t) => {
    const parent = emptyFolder(t);
    const other = emptyFolder(t);
    const kept = await project(other);
    write(parent, { 'folder/file': 'x', file: 'x' });
    symlinkSync(kept, join(parent, 'link'));
    for (const name of ['folder', 'file', 'link']) {
      await assert.rejects(init(parent, { name, force: true }), {
        code: 'ERR_PROJECT',
        message: /is not a project, so it is not deleted/,
      });
    }
    assert.ok(filesBelow(parent).includes('folder/file'));
    assert.ok(filesBelow(kept).includes('api_definitions/pets.yaml'));
    mkdirSync(join(parent, 'petstore'));
    await init(parent, { force: true });
    assert.deepEqual(filesBelow(join(parent, 'petstore')), FILES);
  });

  it('keeps the old project when what should come into the new one cannot be had', async (t) => {
    const parent = emptyFolder(t);
    const dir = await project(parent);
    const before = filesBelow(dir);
    await assert.rejects(init(parent, { force: true, apiDefinition: 'nothing.yaml' }), {
      message:
        "Error while getting the open API definition. Probably the file path 'nothing.yaml' is invalid.",
    });
    await assert.rejects(init(parent, { force: true, apiDefinition: 'http://127.0.0.1:1/a' }), {
      code: 'ERR_DOWNLOAD',
    });
    await assert.rejects(init(parent, { force: true, deploymentConfig: 'nothing.toml' }), {
      code: 'ERR_PROJECT',
    });
    assert.deepEqual(filesBelow(dir), before);
    assert.deepEqual(readdirSync(parent), ['petstore']);
  });
});

describe('a project name', () => {
  it('is one folder in the current one, slashes around it not counting', () => {
    assert.equal(projectName('petstore'), 'petstore');
    assert.equal(projectName('./pet-store_2.0/'), 'pet-store_2.0');
    for (const typed of [
      '.',
      '..',
      '/',
      '',
      './',
      '../x',
      'a/b',
      '/tmp',
      '~',
      '.x',
      '-f',
      'a b',
      'a\\b',
    ]) {
      assert.throws(() => projectName(typed), { code: 'ERR_USAGE' }, typed);
    }
  });
});

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

async function listen(t: TestContext, server: ReturnType<typeof createServer>): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function http(t: TestContext, answer: Answer): Promise<string> {
  return `http://${await listen(t, createServer(answer))}`;
}

describe('a definition from an address', () => {
  it('is downloaded with the given header fields and named after its path', async (t) => {
    const parent = emptyFolder(t);
    const seen: unknown[] = [];
    const url = await http(t, (request, response) => {
      seen.push([request.url, request.headers['x-key']]);
      response.end(PETS);
    });
    const download = { headers: { 'x-key': 's3cret' }, insecure: false };
    await init(parent, { apiDefinition: `${url}/v1/%2e%2e/pets%2Fdef?x=1`, download });
    assert.deepEqual(seen, [['/pets%2Fdef?x=1', 's3cret']]);
    const text = readFileSync(join(parent, 'petstore/api_definitions/pets_2Fdef.yaml'), 'utf8');
    assert.equal(text, PETS);
  });

  it('follows redirects, but takes header fields to no other origin', async (t) => {
    const parent = emptyFolder(t);
    const asked: string[] = [];
    const other = await http(t, (request, response) => {
      asked.push(`other${request.url}`);
      response.end('{}');
    });
    const url = await http(t, (request, response) => {
      asked.push(`first${request.url}`);
      const location = request.url === '/away' ? `${other}/away.json` : '/here.json';
      if (request.url === '/loop') response.writeHead(302, { location: '/loop' });
      else if (request.url !== '/here.json') response.writeHead(302, { location });
      response.end('{}');
    });
    await init(parent, { apiDefinition: `${url}/moved` });
    await init(parent, { force: true, apiDefinition: `${url}/away` });
    assert.deepEqual(asked.splice(0), [
      'first/moved',
      'first/here.json',
      'first/away',
      'other/away.json',
    ]);
    const download = { headers: { authorization: 'Bearer s3cret' }, insecure: false };
    await assert.rejects(init(parent, { force: true, apiDefinition: `${url}/away`, download }), {
      code: 'ERR_DOWNLOAD',
      message: /must not get the given headers/,
    });
    assert.deepEqual(asked.splice(0), ['first/away']);
    await assert.rejects(
      init(parent, { force: true, apiDefinition: `${url}/loop` }),
      /too many redirects/,
    );
  });

  it('that is no success, too large or holds a password in its address is refused', async (t) => {
    const parent = emptyFolder(t);
    const url = await http(t, (request, response) => {
      if (request.url?.startsWith('/404') === true) response.writeHead(404).end('{}');
      else response.end(Buffer.alloc(10 * 1024 * 1024 + 1, 0x20));
    });
    await assert.rejects(init(parent, { apiDefinition: `${url}/404?key=s3cret` }), (error) => {
      assert.ok(error instanceof OperatorError);
      assert.match(error.message, /\/404' cannot be fetched: HTTP status 404/);
      assert.doesNotMatch(error.message, /s3cret/);
      return true;
    });
    await assert.rejects(init(parent, { apiDefinition: `${url}/big` }), /larger than 10 MiB/);
    await assert.rejects(init(parent, { apiDefinition: 'http://a:s3cret@b/' }), (error) => {
      assert.ok(error instanceof OperatorError);
      assert.equal(error.code, 'ERR_USAGE');
      assert.doesNotMatch(error.message, /s3cret/);
      return true;
    });
    assert.deepEqual(readdirSync(parent), []);
  });

  it('is believed only with a trusted certificate, unless -k says otherwise', async (t) => {
    const parent = emptyFolder(t);
    const server = createTlsServer(selfSigned(), (_request, response) => response.end('{}'));
    const url = `https://${await listen(t, server)}/pets.json`;
    await assert.rejects(init(parent, { apiDefinition: url }), /self-signed certificate/);
    assert.deepEqual(readdirSync(parent), []);
    await init(parent, { apiDefinition: url, download: { headers: {}, insecure: true } });
    assert.ok(filesBelow(parent).includes('petstore/api_definitions/pets.json'));
  });

  it('keeps no half of a project when the disk refuses', async (t) => {
    const parent = emptyFolder(t);
    writeFileSync(join(parent, 'x'), '');
    await assert.rejects(init(join(parent, 'x')));
    assert.deepEqual(readdirSync(parent), ['x']);
  });
});

function selfSigned(): { key: string; cert: string } {
  const keys = forge.pki.rsa.generateKeyPair(2048);
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = keys.publicKey;
  certificate.validity.notAfter = new Date(Date.now() + 3_600_000);
  certificate.setSubject([{ name: 'commonName', value: '127.0.0.1' }]);
  certificate.setIssuer([{ name: 'commonName', value: '127.0.0.1' }]);
  certificate.sign(keys.privateKey, forge.md.sha256.create());
  return {
    key: forge.pki.privateKeyToPem(keys.privateKey),
    cert: forge.pki.certificateToPem(certificate),
  };
}
