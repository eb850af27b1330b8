import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ARTIFACT_BANNER, artifactModule, loadArtifact } from '../../src/artifact.ts';
import { emptyFolder } from './project-folder.ts';

const ROUTE = {
  method: 'GET',
  template: '/a',
  secured: true,
  scopes: ['read'],
  production: ['https://up.example'],
  sandbox: [],
};
const API = { title: 'Pets', version: '1', basePath: '', file: 'pets.yaml', routes: [ROUTE] };

describe('loadArtifact', () => {
  it('reads what artifactModule writes', async (t) => {
    const file = join(emptyFolder(t), 'a.mjs');
    const apis = [
      {
        ...API,
        routes: [ROUTE, { ...ROUTE, template: '/b', whenStale: 'allow' as const, http2: true }],
      },
    ];
    writeFileSync(file, `${ARTIFACT_BANNER}\n${artifactModule('petstore', apis, {})}`);
    const artifact = await loadArtifact(file);
    assert.deepEqual([artifact.format, artifact.project, artifact.apis], [1, 'petstore', apis]);
  });

  it('refuses what is no artifact without running any of it', async (t) => {
    const folder = emptyFolder(t);
    const cases: [string, RegExp][] = [
      ['', /is not a Portcullis artifact/],
      ['globalThis.wasRun = true; export const artifact = {};', /is not a Portcullis artifact/],
      [`${ARTIFACT_BANNER}x\nglobalThis.wasRun = true`, /is not a Portcullis artifact/],
      ['PK\u0003\u0004jar', /is a jar or zip file, not a Portcullis artifact/],
      [
        '// @portcullis-artifact format=2\nglobalThis.wasRun = true',
        /has format 2, and this gateway .* up to format 1/,
      ],
    ];
    for (const [index, [text, message]] of cases.entries()) {
      const file = join(folder, `${index}.mjs`);
      writeFileSync(file, text);
      await assert.rejects(loadArtifact(file), { code: 'ERR_ARTIFACT', message, file });
    }
    assert.equal('wasRun' in globalThis, false);
  });

  it('refuses a path that leads to no file', async (t) => {
    const folder = emptyFolder(t);
    for (const path of [join(folder, 'nothing.mjs'), folder]) {
      await assert.rejects(loadArtifact(path), {
        code: 'ERR_ARTIFACT',
        message: /^Path to executable file is invalid: /,
      });
    }
  });

  it('refuses a damaged artifact', async (t) => {
    const folder = emptyFolder(t);
    const whole = { format: 1, portcullisVersion: '0', project: 'p', apis: [API] };
    const damaged: [unknown, RegExp][] = [
      [undefined, /exports no artifact/],
      [{ ...whole, format: 0 }, /its format differs/],
      [{ ...whole, project: 5 }, /names no project/],
      [{ ...whole, apis: {} }, /an API is malformed/],
      [{ ...whole, apis: [{ ...API, basePath: undefined }] }, /an API is malformed/],
      [
        { ...whole, apis: [{ ...API, routes: [{ ...ROUTE, secured: 'no' }] }] },
        /an API is malformed/,
      ],
      [
        { ...whole, apis: [{ ...API, routes: [{ ...ROUTE, scopes: [1] }] }] },
        /an API is malformed/,
      ],
      [
        { ...whole, apis: [{ ...API, routes: [{ ...ROUTE, whenStale: 'open' }] }] },
        /an API is malformed/,
      ],
      [{ ...whole, apis: [{ ...API, routes: [{ ...ROUTE, http2: 1 }] }] }, /an API is malformed/],
      [{ ...whole, startup: 1 }, /the startup extension is no function/],
      [{ ...whole, filter: { filterRequest: 1 } }, /the filter extension is malformed/],
    ];
    for (const [index, [value, message]] of damaged.entries()) {
      const file = join(folder, `${index}.mjs`);
      const text =
        value === undefined
          ? 'export const x = 1;'
          : `export const artifact = ${JSON.stringify(value)};`;
      writeFileSync(file, `${ARTIFACT_BANNER}\n${text}\n`);
      await assert.rejects(loadArtifact(file), { code: 'ERR_ARTIFACT', message, file });
    }
    const broken = join(folder, 'broken.mjs');
    for (const text of ['export const artifact = {', 'throw new Error("from inside")']) {
      const file = `${broken}${text.length}.mjs`;
      writeFileSync(file, `${ARTIFACT_BANNER}\n${text}\n`);
      await assert.rejects(loadArtifact(file), {
        code: 'ERR_ARTIFACT',
        message: /cannot be loaded/,
      });
    }
  });
});
