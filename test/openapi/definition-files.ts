import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { loadApis } from '../../src/openapi/load.ts';
import type { LoadOptions, LoadedApis } from '../../src/openapi/load.ts';
import { OperatorError } from '../../src/errors.ts';
import type { Route } from '../../src/openapi/route.ts';

type Json = Record<string, unknown>;

/** A folder `api_definitions/` with these files, removed after the test. Values that are no text are written as JSON. */
export function definitionFolder(t: TestContext, files: Readonly<Record<string, unknown>>): string {
  const parent = mkdtempSync(join(tmpdir(), 'portcullis-definitions-'));
  t.after(() => rmSync(parent, { recursive: true, force: true }));
  const dir = join(parent, 'api_definitions');
  mkdirSync(dir);
  for (const [name, content] of Object.entries(files)) {
    const path = join(dir, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content, null, 2));
  }
  return dir;
}

/** Loads these files. */
export function load(
  t: TestContext,
  files: Readonly<Record<string, unknown>>,
  options?: LoadOptions,
): Promise<LoadedApis> {
  return loadApis(definitionFolder(t, files), options);
}

/** What loading these files is refused with. */
export async function refusal(
  t: TestContext,
  files: Readonly<Record<string, unknown>>,
  options?: LoadOptions,
): Promise<OperatorError> {
  try {
    await load(t, files, options);
  } catch (error) {
    if (error instanceof OperatorError) return error;
    throw error;
  }
  throw new Error('the definitions were accepted');
}

export const RESPONSES = { responses: { 200: { description: 'ok' } } };

/** An OpenAPI 3.0 definition with one GET /a and one server, changed by `top` and, in the operation, by `operation`. */
export function openapi(top: Json = {}, operation: Json = {}): Json {
  return {
    openapi: '3.0.3',
    info: { title: 'Pets', version: '1.0.0' },
    'x-wso2-basePath': '/pets',
    servers: [{ url: 'https://up.example/v2' }],
    paths: { '/a': { get: { ...RESPONSES, ...operation } } },
    ...top,
  };
}

/** The only route of that one definition. */
export async function route(t: TestContext, definition: Json): Promise<Route> {
  const { apis } = await load(t, { 'pets.json': definition });
  const found = apis[0]?.routes[0];
  if (found === undefined || apis.length > 1) throw new Error('not exactly one API with a route');
  return found;
}
