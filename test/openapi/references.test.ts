import assert from 'node:assert/strict';
import { symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { loadApis } from '../../src/openapi/load.ts';
import { RESPONSES, definitionFolder, load, openapi, refusal } from './definition-files.ts';

const OPEN = { get: { ...RESPONSES, 'x-wso2-disable-security': true } };

/** A server that counts what is asked of it and answers with this document. */
async function documentServer(
  t: TestContext,
  text: string,
): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    response.end(text);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, asked };
}

describe('a $ref inside the definition', () => {
  it('brings a path item, a parameter and a response', async (t) => {
    const { apis, warnings } = await load(t, {
      'a.json': openapi({
        paths: {
          '/a/{id}': {
            parameters: [{ $ref: '#/components/parameters/id' }],
            get: { responses: { 200: { $ref: '#/components/responses/ok' } } },
          },
          '/b': { $ref: '#/x-shared/item' },
        },
        components: {
          parameters: {
            id: { name: 'id', in: 'path', required: true, schema: { type: 'string' } },
          },
          responses: { ok: { description: 'ok' } },
        },
        'x-shared': { item: OPEN },
      }),
    });
    assert.deepEqual(warnings, []);
    assert.deepEqual(
      apis[0]?.routes.map(({ template, secured }) => [template, secured]),
      [
        ['/a/{id}', true],
        ['/b', false],
      ],
    );
  });

  it('may go round in circles in schemas', async (t) => {
    const schema = { type: 'object', properties: { next: { $ref: '#/components/schemas/node' } } };
    const content = { 'application/json': { schema: { $ref: '#/components/schemas/node' } } };
    const { apis } = await load(t, {
      'a.json': openapi(
        { components: { schemas: { node: schema } } },
        { responses: { 200: { description: 'ok', content } } },
      ),
    });
    assert.equal(apis[0]?.routes.length, 1);
  });
});

describe('a $ref to another file of the folder', () => {
  it('is followed, from there onward too, and problems are placed where they are written', async (t) => {
    const parts = {
      'parts/items.yaml': 'first:\n  $ref: "more.yaml#/second"\n',
      'parts/more.yaml':
        'second:\n  $ref: "#/third"\nthird:\n  get:\n    x-wso2-disable-security: true\n    responses: { "200": { description: ok } }\n',
    };
    const paths = { '/a': { $ref: 'parts/items.yaml#/first' } };
    const { apis } = await load(t, { 'a.json': openapi({ paths }), ...parts });
    assert.deepEqual(
      apis.map(({ file, routes }) => [file, routes.map(({ secured }) => secured)]),
      [['a.json', [false]]],
    );
    const bad = parts['parts/more.yaml'].replace('security: true', 'security: maybe');
    const error = await refusal(t, {
      'a.json': openapi({ paths }),
      ...parts,
      'parts/more.yaml': bad,
    });
    assert.deepEqual([error.file, error.line], ['api_definitions/parts/more.yaml', 5]);
  });

  it('may not leave the folder, by its text, by a link or as an absolute path', async (t) => {
    for (const reference of ['../secret.json#/item', '.link.json#/item', '/etc/hostname']) {
      const paths = { '/a': { $ref: reference } };
      const dir = definitionFolder(t, { 'a.json': openapi({ paths }) });
      writeFileSync(join(dirname(dir), 'secret.json'), JSON.stringify({ item: OPEN }));
      symlinkSync('../secret.json', join(dir, '.link.json'));
      await assert.rejects(loadApis(dir, { allowRemoteRefs: true }), {
        code: 'ERR_DEFINITION',
        message: /^api_definitions\/a\.json:15: .*Only files inside api_definitions\//,
      });
    }
  });

  it('may not hide a separator in a name, or be no name at all', async (t) => {
    for (const reference of ['a%2fb.yaml', 'parts/%2Fb.yaml#/item', 'a%zz.yaml', 'a%00.yaml']) {
      const error = await refusal(t, {
        'a.json': openapi({ paths: { '/a': { $ref: reference } } }),
      });
      assert.match(error.message, /^api_definitions\/a\.json:15: /, reference);
      assert.ok(error.message.includes(reference), error.message);
      assert.match(error.message, /percent-encod/);
    }
  });

  it('must lead to a file that is there', async (t) => {
    const error = await refusal(t, {
      'a.json': openapi({ paths: { '/a': { $ref: 'nothing.yaml#/item' } } }),
    });
    assert.match(error.message, /a\.json:15: .*nothing\.yaml cannot be read \(ENOENT\)/);
  });
});

describe('a $ref to a remote document', () => {
  it('is refused and nothing is fetched, wherever it stands', async (t) => {
    const { url, asked } = await documentServer(t, JSON.stringify({ item: OPEN }));
    const remote = { $ref: `${url}/part.json#/item` };
    const schema = { content: { 'application/json': { schema: remote } }, description: 'ok' };
    for (const definition of [
      openapi({ paths: { '/a': remote } }),
      openapi({ components: { schemas: { x: remote } } }),
      openapi({}, { responses: { 200: schema } }),
    ]) {
      const error = await refusal(t, { 'a.json': definition });
      assert.match(error.message, /^api_definitions\/a\.json:\d+: .*--allow-remote-refs/);
    }
    assert.deepEqual(asked, []);
  });

  it('is fetched when that was asked for, once per document', async (t) => {
    const { url, asked } = await documentServer(t, JSON.stringify({ item: OPEN }));
    const remote = { $ref: `${url}/part.json#/item` };
    const paths = { '/a': remote, '/b': remote };
    const { apis } = await load(t, { 'a.json': openapi({ paths }) }, { allowRemoteRefs: true });
    assert.deepEqual(
      apis[0]?.routes.map(({ secured }) => secured),
      [false, false],
    );
    assert.deepEqual(asked, ['/part.json']);
  });

  it('that cannot be fetched is refused with its place', async (t) => {
    const paths = { '/a': { $ref: 'http://127.0.0.1:1/part.json' } };
    const error = await refusal(t, { 'a.json': openapi({ paths }) }, { allowRemoteRefs: true });
    assert.match(error.message, /^api_definitions\/a\.json:15: .*cannot be fetched/);
  });

  it('of any other scheme is refused even then', async (t) => {
    const paths = { '/a': { $ref: 'ftp://127.0.0.1/part.json' } };
    const error = await refusal(t, { 'a.json': openapi({ paths }) }, { allowRemoteRefs: true });
    assert.match(error.message, /Only files inside api_definitions\/, http and https/);
  });
});
