import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { API_REFUSALS, FAULTS, OPERATOR_ERRORS } from '../../src/errors.ts';
import { ROOT } from '../support/checkout.ts';
import { readPage } from './markdown.ts';

/** Rows of the table below a heading, its header left out. */
function table(heading: string): string[][] {
  const [, text] = readPage('docs/errors.md').split(`\n## ${heading}`);
  assert.ok(text !== undefined, `docs/errors.md has no heading "${heading}"`);
  const lines = text.split('\n## ')[0]?.split('\n') ?? [];
  return lines
    .filter((line) => line.startsWith('|'))
    .slice(2)
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    );
}

test('docs/errors.md has every fault as it is, each with when it comes, and no other', () => {
  const documented = table('Faults: what a client gets');
  const named = documented.map(([name]) => name);
  assert.equal(new Set(named).size, named.length, 'no fault twice');
  assert.deepEqual(
    Object.fromEntries(documented.map(([name, ...cells]) => [name, cells.slice(0, 4)])),
    Object.fromEntries(
      Object.entries(FAULTS).map(([name, { status, code, message, description }]) => [
        `\`${name}\``,
        [String(status), String(code), message, description],
      ]),
    ),
  );
  for (const [name, , , , , when] of documented) assert.ok(when, `${name} lacks when it comes`);
});

test("docs/errors.md has every operator's error with its remedy, and no other", () => {
  assert.deepEqual(
    Object.fromEntries(table("Operator's errors")),
    Object.fromEntries(
      Object.entries(OPERATOR_ERRORS).map(([code, remedy]) => [`\`${code}\``, remedy]),
    ),
  );
});

test("docs/errors.md has every refusal of the operator's API with its status and when it comes, and no other", () => {
  const documented = table("Refusals of the operator's API");
  assert.deepEqual(
    Object.fromEntries(documented.map(([code, status]) => [code, status])),
    Object.fromEntries(
      Object.entries(API_REFUSALS).map(([code, status]) => [`\`${code}\``, String(status)]),
    ),
  );
  for (const [code, , when] of documented) assert.ok(when, `${code} lacks when it comes`);
});

test('every entry of the catalogues is used somewhere', () => {
  const source = globSync('src/**/*.ts', { cwd: ROOT })
    .filter((path) => !path.endsWith('errors.ts'))
    .map((path) => readFileSync(join(ROOT, path), 'utf8'))
    .join('\n');
  for (const name of [FAULTS, OPERATOR_ERRORS, API_REFUSALS].flatMap((one) => Object.keys(one)))
    assert.ok(source.includes(`'${name}'`), `${name} is in the catalogue and never used`);
});
