import assert from 'node:assert/strict';
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { OperatorError } from '../../src/errors.ts';
import { loadApis } from '../../src/openapi/load.ts';
import { RESPONSES, definitionFolder, load, openapi, refusal } from './definition-files.ts';

describe('loadApis reads', () => {
  it('OpenAPI 3.0 as JSON, 3.1 as .yaml and Swagger 2 as .yml, at any depth, sorted by file', async (t) => {
    const parameters = [{ name: 'petId', in: 'path', required: true, schema: { type: 'string' } }];
    const { apis, warnings } = await load(t, {
      'c.yml': `
swagger: "2.0"
info: { title: Two, version: "2" }
host: up.example
basePath: /two/
schemes: [https]
paths:
  /pet/{petId}:
    get:
      parameters: [{ name: petId, in: path, required: true, type: string }]
      responses: { 200: { description: ok } }
`,
      'a.json': openapi({ paths: { '/pet/{petId}': { parameters, get: RESPONSES } } }),
      'b/three.yaml': `
openapi: 3.1.0
info: { title: Three, version: v3 }
servers: [{ url: https://up.example/three }]
paths:
  /pet/{petId}:
    parameters: [{ name: petId, in: path, required: true, schema: { type: string } }]
    get: { responses: { "200": { description: ok } } }
`,
      '.keep': '',
    });
    assert.deepEqual(warnings, []);
    const routes = (upstream: string): unknown => [
      {
        method: 'GET',
        template: '/pet/{petId}',
        secured: true,
        scopes: [],
        production: [upstream],
        sandbox: [],
      },
    ];
    assert.deepEqual(apis, [
      {
        title: 'Pets',
        version: '1.0.0',
        basePath: '/pets',
        file: 'a.json',
        routes: routes('https://up.example/v2'),
      },
      {
        title: 'Three',
        version: 'v3',
        basePath: '/three',
        file: 'b/three.yaml',
        routes: routes('https://up.example/three'),
      },
      {
        title: 'Two',
        version: '2',
        basePath: '/two',
        file: 'c.yml',
        routes: routes('https://up.example/two'),
      },
    ]);
  });

  it('every method of a path, and anchors and merge keys of YAML', async (t) => {
    const { apis } = await load(t, {
      'pets.yaml': `
openapi: 3.0.3
info: { title: Pets, version: "1" }
servers: [{ url: https://up.example }]
x-wso2-basePath: /
paths:
  /a:
    get: &operation { responses: { "200": { description: ok } } }
    put: *operation
    post: { <<: *operation, summary: merged }
    delete: *operation
    options: *operation
    head: *operation
    patch: *operation
    trace: *operation
`,
    });
    assert.equal(apis[0]?.basePath, '');
    const methods = apis[0]?.routes.map(({ method }) => method).join(' ');
    assert.equal(methods, 'GET PUT POST DELETE OPTIONS HEAD PATCH TRACE');
  });

  it('warns of files that are no definitions, and of definitions without operations', async (t) => {
    const { warnings } = await load(t, { 'a.json': openapi({ paths: {} }), 'NOTES.txt': 'x' });
    assert.deepEqual(warnings, [
      'api_definitions/NOTES.txt: not an API definition (.json, .yaml, .yml): not used',
      'api_definitions/a.json: the definition has no operations: nothing of it is served',
    ]);
  });

  it('slips in payload schemas and documentation, and warns of them', async (t) => {
    const { apis, warnings } = await load(t, {
      'a.yaml': `
openapi: 3.0.3
info: { title: Pets, version: "1" }
x-wso2-basePath: /pets
servers: [{ url: https://up.example }]
paths:
  /a/{id}:
    get:
      operationId: same
      responses: { "200": { description: ok } }
    put:
      operationId: same
      responses: { "200": { description: ok } }
`,
    });
    assert.equal(apis[0]?.routes.length, 2);
    assert.match(warnings.join('\n'), /a\.yaml:8: .*missing path parameter/);
    assert.match(warnings.join('\n'), /operationId `same` is duplicated/);
  });
});

describe('loadApis refuses with file and line', () => {
  const yaml = (rest: string): string => `openapi: 3.0.3
info: { title: Pets, version: "1" }
servers: [{ url: https://up.example }]
${rest}`;

  it('YAML and JSON that cannot be read, duplicate keys included', async (t) => {
    const cases: [string, string, number, RegExp][] = [
      ['a.yaml', 'openapi: 3.0.3\ninfo: [\n', 3, /Flow sequence/],
      ['a.yaml', yaml('paths:\n  /a: {}\n  /a: {}\n'), 6, /must be unique/],
      ['a.yaml', yaml('paths: {}\nx-codes:\n  200: a\n  "200": b\n'), 7, /must be unique/],
      ['a.json', '{\n  "openapi": "3.0.3",\n  "info": 1,\n  "info": 2\n}', 4, /must be unique/],
      ['a.json', '{\n  "openapi": "3.0.3",\n  info: 1\n}', 3, /Not valid JSON/],
      ['a.yaml', 'a: 1\n---\nb: 2\n', 2, /multiple documents/],
      ['a.yaml', 'title: no definition\n', 1, /Check the open API format/],
      ['a.yaml', '', 1, /Check the open API format/],
    ];
    for (const [name, text, line, message] of cases) {
      const error = await refusal(t, { [name]: text });
      assert.equal(error.code, 'ERR_DEFINITION');
      assert.deepEqual([error.file, error.line], [`api_definitions/${name}`, line], error.message);
      assert.match(error.message, message);
      assert.ok(error.message.startsWith(`api_definitions/${name}:${line}: `));
    }
  });

  it('an anchor that contains itself, and nesting without end', async (t) => {
    assert.match((await refusal(t, { 'a.yaml': 'a: &a [*a]' })).message, /nested too deeply or/);
    const deep = await refusal(t, { 'a.json': `${'['.repeat(100_000)}${']'.repeat(100_000)}` });
    assert.equal(deep.file, 'api_definitions/a.json');
  });

  it('what its specification does not allow, at the line of the source', async (t) => {
    const cases: [string, number, RegExp][] = [
      [yaml('paths:\n  /a:\n    get:\n      summary: no responses\n'), 6, /responses is missing/],
      [yaml('paths:\n  /a:\n    get: { responses: {"200": {}}}\n'), 6, /description is missing/],
      [yaml('paths:\n  /a:\n    gett: {}\n'), 6, /gett is not expected/],
      [yaml('paths: {}\n').replace('title: Pets, ', ''), 2, /title is missing/],
      [yaml('paths: {}\n').replace('"1"', '1.0'), 2, /must be string/],
      [yaml('paths:\n  a: {}\n'), 1, /must begin with a leading slash/],
      [
        yaml('paths: {}\n').replace('3.0.3', '3.2.0'),
        1,
        /"3\.2\.0".*OpenAPI 3\.0 and OpenAPI 3\.1/,
      ],
      ['swagger: 2.0\ninfo: {title: a, version: b}\npaths: {}', 1, /Write it in quotes: "2\.0"/],
      [yaml('paths:\n  /a:\n    $ref: "#/components/nothing"\n'), 6, /Missing \$ref pointer/],
    ];
    for (const [text, line, message] of cases) {
      const error = await refusal(t, { 'a.yaml': text });
      assert.match(error.message, message);
      assert.deepEqual([error.file, error.line], ['api_definitions/a.yaml', line], error.message);
    }
  });

  it('two definitions with the same title and version', async (t) => {
    const error = await refusal(t, {
      'a.json': openapi(),
      'b.json': openapi({ 'x-wso2-basePath': '/other' }),
    });
    const text =
      "The API 'Pets' version '1.0.0' is duplicated across multiple openAPI definitions: a.json, b.json.";
    assert.equal(
      error.message,
      `api_definitions/b.json:4: ${text} Give one of them another title or version.`,
    );
  });

  it('two definitions with the same base path, however it is written', async (t) => {
    const error = await refusal(t, {
      'a.json': openapi(),
      'b.json': openapi({ info: { title: 'B', version: '1' }, 'x-wso2-basePath': '/pets/' }),
    });
    assert.match(
      error.message,
      /b\.json:7: The derived value for the base path '\/pets' is duplicated in the following openAPI definitions: a\.json, b\.json/,
    );
  });

  it('templates of one definition that match the same requests', async (t) => {
    const of = (first: string, second: string): object => ({
      paths: { [first]: { get: RESPONSES, put: RESPONSES }, [second]: { get: RESPONSES } },
    });
    const cases = [
      ['/a/{x}', '/a/{y}'],
      ['/a%62/{x}', '/ab/{x}'],
    ] as const;
    for (const [first, second] of cases) {
      const { message, line } = await refusal(t, { 'a.json': openapi({ ...of(first, second) }) });
      assert.ok(
        message.includes(`GET ${second} is ambiguous: it matches the same requests as ${first}`),
      );
      assert.ok((line ?? 0) > 14);
    }
    const methods = { '/a/{x}': { get: RESPONSES }, '/a/{y}': { put: RESPONSES } };
    assert.equal((await load(t, { 'a.json': openapi({ paths: methods }) })).apis.length, 1);
  });

  it('an operation that lies below the base path of another definition', async (t) => {
    const b = openapi({ info: { title: 'B', version: '1' }, 'x-wso2-basePath': '/pets/b' });
    const shadowed = openapi({ paths: { '/b/{x}': { get: RESPONSES } } });
    assert.match(
      (await refusal(t, { 'a.json': shadowed, 'b.json': b })).message,
      /a\.json:\d+: GET \/b\/\{x\} is never reached: .* below the base path \/pets\/b of b\.json/,
    );
    const beside = openapi({ paths: { '/{x}/b': { get: RESPONSES }, '/bb': { get: RESPONSES } } });
    assert.equal((await load(t, { 'a.json': beside, 'b.json': b })).apis.length, 2);
  });

  it('paths that the gateway answers by itself', async (t) => {
    const of = (basePath: string, path: string): Record<string, unknown> =>
      openapi({ 'x-wso2-basePath': basePath, paths: { [path]: { get: RESPONSES } } });
    for (const path of ['/health', '/ready', '/token', '/%72evoke']) {
      const { message } = await refusal(t, { 'a.json': of('/', path) });
      assert.match(message, /a\.json:\d+: GET .* is never reached: the gateway answers/);
    }
    assert.equal((await load(t, { 'a.json': of('/pets', '/health') })).apis.length, 1);
  });

  it('paths that no request can have, wildcards and partial parameters', async (t) => {
    const cases: [string, RegExp][] = [
      ['/a//b', /empty segment/],
      ['/a/../b', /dot segment/],
      ['/a/%2e/b', /dot segment/],
      ['/a%2Fb', /encoded slash/],
      ['/a b', /blank/],
      ['/a?b', /query/],
      ['/*', /wildcard, which is not built yet/],
      ['/a/{b}.json', /neither text nor one whole/],
      ['/a/{b', /neither text nor one whole/],
      ['/{a}/{a}', /names the parameter \{a\} twice/],
    ];
    for (const [path, message] of cases) {
      const error = await refusal(t, {
        'a.json': openapi({ paths: { [path]: { get: RESPONSES } } }),
      });
      assert.match(error.message, message, path);
      assert.equal(error.line, 14, error.message);
    }
  });

  it('everything at once, ordered by place', async (t) => {
    const error = await refusal(t, {
      'b.json': openapi({ 'x-wso2-cors': {} }, { 'x-wso2-disable-security': 'true' }),
      'a.yaml': 'openapi: [\n',
      'c.json': openapi({ info: { title: 'C', version: '1' }, 'x-wso2-basePath': 5 }),
    });
    assert.match(error.message, /^4 problems were found:\n {2}api_definitions\/a\.yaml:2: /);
    const places = error.message.match(/api_definitions\/\w\.\w+(?=:\d+: )/g);
    const expected = ['a.yaml', 'b.json', 'b.json', 'c.json'].map((n) => `api_definitions/${n}`);
    assert.deepEqual(places, expected);
  });

  it('any bytes whatever, or accepts them, but never breaks', async (t) => {
    const dir = definitionFolder(t, { 'sub/.keep': '' });
    const { writeFile } = await import('node:fs/promises');
    const start = fc.constantFrom(
      '',
      'openapi: 3.0.3\n',
      'swagger: "2.0"\n',
      '{"openapi":"3.1.0",',
    );
    const value = fc.oneof(fc.string(), fc.json());
    await fc.assert(
      fc.asyncProperty(
        start,
        value,
        fc.constantFrom('a.json', 'a.yaml'),
        async (head, text, name) => {
          for (const other of ['a.json', 'a.yaml']) {
            await writeFile(join(dir, other), JSON.stringify(openapi({ paths: {} })));
          }
          await writeFile(join(dir, name), head + text);
          await loadApis(dir).catch((error: unknown) => {
            assert.ok(error instanceof OperatorError, String(error));
            assert.notEqual(error.code, 'ERR_INTERNAL');
          });
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe('a link to a folder', () => {
  it('is read once, even when it leads back to itself', async (t) => {
    const dir = definitionFolder(t, { 'sub/a.json': openapi() });
    symlinkSync(dir, join(dir, 'sub', 'loop'));
    assert.equal((await loadApis(dir)).apis.length, 1);
  });
});
