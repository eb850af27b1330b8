import assert from 'node:assert/strict';
import { copyFileSync, existsSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { loadArtifact } from '../../src/artifact.ts';
import type { RevocationEvent } from '../../src/revocation/revocation.ts';
import { OperatorError } from '../../src/errors.ts';
import { buildProject } from '../../src/project/build.ts';
import type { BuildResult } from '../../src/project/build.ts';
import { EXTENSION_FILES } from '../../src/project/project-folder.ts';
import { emptyFolder, project, write } from './project-folder.ts';
import { recordedLog } from '../support/recorded-log.ts';

const SILENT = { begin(): void {}, done(): void {} };

function build(parent: string): Promise<BuildResult> {
  return buildProject({ parent, name: 'petstore', allowRemoteRefs: false }, SILENT);
}

async function refusal(parent: string): Promise<OperatorError> {
  try {
    await build(parent);
  } catch (error) {
    if (error instanceof OperatorError) return error;
    throw error;
  }
  throw new Error('the build succeeded');
}

describe('buildProject', () => {
  it('writes one file that runs elsewhere, the project being gone', async (t) => {
    const parent = emptyFolder(t);
    const dir = await project(parent, {
      'extensions/startup_extension.ts': `
        import { type StartupExtension } from 'portcullis';
        import { readFileSync } from 'fs';
        import { greet } from './words.ts';
        import { shout } from 'shouting';
        const startup: StartupExtension = ({ log }) => {
          log.info('Mine', shout(greet(typeof readFileSync)));
        };
        export default startup;
      `,
      'extensions/words.ts': `export const greet = (name: string): string => 'hello ' + name;`,
      'extensions/extension_filter.ts': `
        import type { ExtensionFilter } from 'portcullis';
        export default { filterRequest: () => ({ status: 418 }) } satisfies ExtensionFilter;
      `,
      'extensions/token_revocation_extension.ts': `
        import type { RevocationExtension } from 'portcullis';
        const revocation: RevocationExtension = async (sink, { config }) => {
          sink.add({ token: String(config['token']) });
          sink.complete();
        };
        export default revocation;
      `,
      'node_modules/shouting/package.json':
        '{ "name": "shouting", "main": "index.js", "types": "index.d.ts" }',
      'node_modules/shouting/index.js': `
        const events = require('events');
        let optional;
        try { optional = require('not-installed-and-optional'); } catch { optional = '!'; }
        exports.shout = (text) => typeof events === 'function' ? text.toUpperCase() + optional : '';
      `,
      'node_modules/shouting/index.d.ts': 'export function shout(text: string): string;',
    });
    const { target, warnings } = await build(parent);
    assert.deepEqual(warnings, []);
    assert.equal(target, join(dir, 'target/petstore.mjs'));
    const elsewhere = emptyFolder(t);
    const copy = join(elsewhere, 'anything.mjs');
    copyFileSync(target, copy);
    rmSync(dir, { recursive: true });

    const text = readFileSync(copy, 'utf8');
    const imported = [...text.matchAll(/(?:\bfrom|\bimport|require\()\s*\(?["']([^"']+)["']/g)];
    assert.ok(imported.length > 0);
    for (const [, name] of imported) assert.match(name ?? '', /^node:/);

    const artifact = await loadArtifact(copy);
    assert.equal(artifact.project, 'petstore');
    assert.deepEqual(
      artifact.apis.map(({ basePath, routes }) => [basePath, routes.length]),
      [['/pets/v1', 1]],
    );
    const log = recordedLog();
    const { signal } = new AbortController();
    await artifact.startup?.({ log, signal });
    assert.match(log.lines.join(), /HELLO FUNCTION!/);
    const request = {
      method: 'GET',
      target: '/',
      headers: new Map<string, string>(),
      requestId: '1',
      subject: undefined,
    };
    assert.deepEqual(await artifact.filter?.filterRequest?.(request), { status: 418 });
    const events: RevocationEvent[] = [];
    let completed = 0;
    await artifact.revocation?.(
      {
        add: (event) => void events.push(event),
        rule: () => assert.fail('it reads no rules'),
        complete: () => void completed++,
      },
      { config: { token: 'jti-1' }, signal, log },
    );
    assert.deepEqual([events, completed], [[{ token: 'jti-1' }], 1]);
  });

  it('leaves untouched templates out, and the same project gives the same bytes anywhere', async (t) => {
    const first = emptyFolder(t);
    const second = emptyFolder(t);
    await project(first);
    await project(second);
    const { target } = await build(first);
    const artifact = await loadArtifact(target);
    assert.deepEqual(
      [artifact.startup, artifact.filter, artifact.revocation],
      [undefined, undefined, undefined],
    );
    const other = await build(second);
    assert.deepEqual(readFileSync(other.target), readFileSync(target));
    const mine = { 'extensions/startup_extension.ts': 'export default () => {};\n' };
    write(join(first, 'petstore'), mine);
    write(join(second, 'petstore'), mine);
    const bytes = readFileSync((await build(first)).target);
    assert.deepEqual(readFileSync((await build(second)).target), bytes);
    assert.equal(bytes.includes(first), false);
  });

  it('accepts every template as it is, its examples included', async (t) => {
    const parent = emptyFolder(t);
    const dir = await project(parent);
    for (const { file, template } of EXTENSION_FILES) {
      const examples = template.replaceAll(/^( *)\/\/ (?!For example)/gm, '$1');
      write(dir, { [file]: file.includes('filter') ? examples : `${template}\n// touched\n` });
    }
    const artifact = await loadArtifact((await build(parent)).target);
    assert.equal(typeof artifact.startup, 'function');
    assert.equal(typeof artifact.revocation, 'function');
    assert.deepEqual(Object.keys(artifact.filter ?? {}), ['filterRequest', 'filterResponse']);
  });

  it('shows type errors of extensions with file and line, and what they export', async (t) => {
    const parent = emptyFolder(t);
    await project(parent, {
      'extensions/startup_extension.ts': `import type { StartupExtension } from 'portcullis';
const startup: StartupExtension = ({ log }) => {
  log.shout('x');
};
export default startup;
`,
      'extensions/extension_filter.ts': 'export default { filterRequest: 3 };\n',
      'extensions/token_revocation_extension.ts': 'export const revocation = 1;\n',
    });
    const { code, message } = await refusal(parent);
    assert.equal(code, 'ERR_EXTENSION');
    assert.match(
      message,
      /extensions\/startup_extension\.ts:3: .*'shout' does not exist on type 'Log'/,
    );
    assert.match(
      message,
      /extensions\/extension_filter\.ts: the default export is no ExtensionFilter/,
    );
    assert.match(
      message,
      /token_revocation_extension\.ts: the default export is no RevocationExtension/,
    );
    assert.equal(existsSync(join(parent, 'petstore/target/petstore.mjs')), false);
  });

  it('names an import that cannot be bundled', async (t) => {
    const parent = emptyFolder(t);
    const cases: [string, string][] = [
      [`// @ts-ignore\nimport x from 'not-installed';`, 'not-installed'],
      [`// @ts-ignore\nconst x = await import('not-there');`, 'not-there'],
      [`// @ts-ignore\nimport { x } from 'portcullis';`, 'portcullis'],
    ];
    for (const [code, name] of cases) {
      const text = `${code}\nexport default () => void x;\n`;
      await project(parent, { 'extensions/startup_extension.ts': text });
      const error = await refusal(parent);
      assert.equal(error.code, 'ERR_EXTENSION');
      assert.equal(error.file, 'extensions/startup_extension.ts');
      assert.ok(
        error.message.includes(`'${name}' is imported and cannot be bundled`),
        error.message,
      );
    }
  });

  it('refuses imports that only the running gateway could resolve, with their place', async (t) => {
    const parent = emptyFolder(t);
    const cases: [string, string][] = [
      [`const name: string = 'somewhere';\nconst x = await import(name);`, 'import(...)'],
      ['const x = 1;\nawait import(`not-${x}`);', 'import(...)'],
      ['const x = 1;\nawait import(`not-there`);', 'import(...)'],
      [`const x = ['a'];\nrequire(x[0]);`, 'require(...)'],
      [`const x = 1;\nimport { createRequire as c } from 'node:module'; void c;`, 'createRequire'],
      [
        `const x = 1;\nprocess.getBuiltinModule('node:module')['createRequire'](import.meta.url);`,
        'createRequire',
      ],
    ];
    for (const [code, what] of cases) {
      const helper = `${code}\nexport const y = () => void x;\n`.replace(/^/, '// @ts-nocheck\n');
      await project(parent, {
        'extensions/helper.ts': helper.includes('const x') ? helper : `${helper}const x = 1;\n`,
        'extensions/startup_extension.ts': `import { y } from './helper.ts';\nexport default y;\n`,
      });
      const error = await refusal(parent);
      assert.equal(error.code, 'ERR_EXTENSION', code);
      assert.match(error.message, /^extensions\/helper\.ts:3: /);
      assert.ok(error.message.includes(what), error.message);
    }
    await project(parent, {
      'extensions/helper.ts': `export const y = async () => void (await import('node:fs'));\n`,
    });
    await build(parent);
  });

  it('warns of TypeScript files that no extension imports', async (t) => {
    const parent = emptyFolder(t);
    await project(parent, { 'extensions/forgotten.ts': 'export const x = 1;\n' });
    const { warnings } = await build(parent);
    assert.deepEqual(warnings, ['extensions/forgotten.ts: no extension imports it: not used']);
  });

  it('removes the artifacts of earlier builds, also when it fails', async (t) => {
    const parent = emptyFolder(t);
    const dir = await project(parent, {
      'target/old.mjs': '',
      'target/old.jar': '',
      'target/x.txt': '',
    });
    await build(parent);
    assert.deepEqual(readdirSync(join(dir, 'target')).sort(), ['petstore.mjs', 'x.txt']);
    write(dir, { 'api_definitions/bad.yaml': 'a: [' });
    await refusal(parent);
    assert.deepEqual(readdirSync(join(dir, 'target')), ['x.txt']);
  });
});

describe('buildProject refuses', () => {
  it('a project that is not there, or that one stands in', async (t) => {
    const parent = emptyFolder(t);
    assert.equal((await refusal(parent)).message, 'Project petstore does not exist.');
    const dir = await project(parent);
    await assert.rejects(build(dir), {
      code: 'ERR_PROJECT',
      message: `Current directory: '${dir}' should have a project with name: 'petstore'. Execute the build command from the directory where the project is initialized`,
    });
    rmSync(join(dir, 'conf'), { recursive: true });
    assert.match((await refusal(parent)).message, /is not a project/);
  });

  it('a project without definitions', async (t) => {
    const parent = emptyFolder(t);
    const dir = await project(parent);
    rmSync(join(dir, 'api_definitions/pets.yaml'));
    assert.match(
      (await refusal(parent)).message,
      /^Nothing to build\. API definitions\/ Grpc Service definitions does not exist\./,
    );
  });

  it('files in folders that are not used yet, each by its name', async (t) => {
    const parent = emptyFolder(t);
    const files = [
      'extensions/startup_extension.bal',
      'gen/api_definitions/pets.yaml',
      'grpc_definitions/a/pets.proto',
      'interceptors/first.ts',
      'lib/own.jar',
    ];
    await project(parent, Object.fromEntries(files.map((file) => [file, 'x'])));
    const { code, message } = await refusal(parent);
    assert.equal(code, 'ERR_NOT_BUILT_YET');
    for (const file of files) assert.ok(message.includes(`  ${file}: `), message);
    assert.match(message, /^5 problems were found:/);
  });

  it('policies other than the default ones', async (t) => {
    const parent = emptyFolder(t);
    const dir = await project(parent);
    const policies = readFileSync(join(dir, 'policies.yaml'), 'utf8');
    const refused = async (text: string): Promise<string> => {
      write(dir, { 'policies.yaml': text });
      return (await refusal(parent)).message;
    };
    assert.match(await refused(policies.replace('50000', '1')), /^policies\.yaml: .*not built yet/);
    assert.match(
      await refused(policies.replace('Silver', 'Gold')),
      /Subscription policies contains duplicate names in the policies\.yaml file/,
    );
    assert.match(await refused('a: [\n'), /^policies\.yaml:2: /);
    write(dir, { 'policies.yaml': `# mine\n${policies}` });
    await build(parent);
    rmSync(join(dir, 'policies.yaml'));
    await build(parent);
  });

  it('deployment sections that are enabled, with file and line', async (t) => {
    const parent = emptyFolder(t);
    const dir = await project(parent);
    const cases: [string, number, RegExp][] = [
      [
        '[docker]\n[docker.dockerConfig]\nenable = true\n',
        3,
        /\[docker\.dockerConfig\] .*not built/,
      ],
      ['[kubernetes.kubernetesService]\nenable = "yes"\n', 2, /\[kubernetes\.kubernetesService\]/],
      ['[docker]\ndockerConfig = { enable = true }\n', 2, /\[docker\.dockerConfig\]/],
      ['docker.dockerConfig.enable = true\n', 1, /\[docker\.dockerConfig\]/],
      ['[[filters]]\nname = "x"\n', 1, /\[\[filters\]\] .*not built yet/],
      ['[helm]\n', 1, /section \[helm\] is not known/],
      ['a = = 1\n', 1, /Mend the syntax/],
    ];
    for (const [text, line, message] of cases) {
      write(dir, { 'conf/deployment-config.toml': text });
      const error = await refusal(parent);
      assert.match(error.message, message);
      assert.deepEqual(
        [error.file, error.line],
        ['conf/deployment-config.toml', line],
        error.message,
      );
    }
    write(dir, {
      'conf/deployment-config.toml': '[docker.dockerConfig]\nenable = false\nname = "x"\n',
    });
    await build(parent);
  });

  it('everything in definitions and settings at once', async (t) => {
    const parent = emptyFolder(t);
    await project(parent, { 'interceptors/a.ts': '', 'api_definitions/bad.yaml': 'a: [\n' });
    const { message } = await refusal(parent);
    assert.match(
      message,
      /^2 problems were found:\n {2}api_definitions\/bad\.yaml:2: .*\n {2}interceptors\/a\.ts: /,
    );
  });
});
