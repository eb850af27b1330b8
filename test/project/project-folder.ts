import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { initProject } from '../../src/project/init.ts';

/** An empty folder, removed after the test. */
export function emptyFolder(t: TestContext): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'portcullis-project-')));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Writes files below a folder. */
export function write(folder: string, files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
}

/** Every file below a folder, sorted. */
export function filesBelow(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}

export const PETS = `openapi: 3.0.3
info: { title: Pets, version: "1.0.0" }
x-wso2-basePath: /pets/v1
x-wso2-production-endpoints: { urls: [https://up.example/v2] }
paths:
  /pet/{petId}:
    parameters: [{ name: petId, in: path, required: true, schema: { type: string } }]
    get: { responses: { "200": { description: ok } } }
`;

/** A project `petstore` with one definition and these files. */
export async function project(
  parent: string,
  files: Readonly<Record<string, string>> = {},
): Promise<string> {
  const download = { headers: {}, insecure: false };
  await initProject({ parent, name: 'petstore', force: true, download });
  const dir = join(parent, 'petstore');
  write(dir, { 'api_definitions/pets.yaml': PETS, ...files });
  return dir;
}
