import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadArtifact } from '../../src/artifact.ts';
import type { FilterRequest } from '../../src/extension.ts';
import { parseJmsUrl } from '../../src/sources/jms-url.ts';
import type { RevocationEvent } from '../../src/revocation/revocation.ts';
import { load } from '../config/fixture.ts';
import { ROOT } from '../support/checkout.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { codeBlocks, readPage } from './markdown.ts';
import { place } from './place.ts';
import { runSteps, steps } from './shell.ts';

const PAGE = 'docs/project.md';

/** The page's files: blocks whose first line is a comment with a path. */
function shownFiles(): Map<string, string> {
  return new Map(
    codeBlocks(readPage(PAGE)).flatMap(({ language, text }) => {
      const path = /^(?:#|\/\/) (\S+\.(?:yaml|ts))\n/.exec(text)?.[1];
      return path === undefined || !['yaml', 'ts'].includes(language) ? [] : [[path, text]];
    }),
  );
}

test('the project that docs/project.md shows is made, built, and does what the page says', async (t) => {
  const { cwd, scratch, env } = await place(t);
  const [init, build, ...more] = steps(PAGE);
  assert.ok(init !== undefined && build !== undefined && more.length === 0);
  await runSteps(t, [init], { cwd, scratch, env, isolated: false });
  const files = shownFiles();
  assert.equal(files.size, 4);
  for (const [path, text] of files) await writeFile(join(cwd, 'books', path), text);
  await runSteps(t, [build], { cwd, scratch, env, isolated: false });

  const artifact = await loadArtifact(join(cwd, 'books/target/books.mjs'));
  const production = ['https://books-1.example/v1', 'https://books-2.example/v1'];
  const sandbox = ['https://books-test.example/v1'];
  assert.equal(artifact.apis[0]?.basePath, '/books/1.2.0');
  assert.deepEqual(
    artifact.apis[0].routes.map(({ method, template, ...rest }) => [`${method} ${template}`, rest]),
    [
      ['GET /books', { secured: true, scopes: [], production, sandbox }],
      ['POST /books', { secured: true, scopes: ['books:write'], production, sandbox }],
      [
        'GET /opening-hours',
        { secured: false, scopes: [], production: ['https://shop.example'], sandbox },
      ],
    ],
  );

  const log = recordedLog();
  const { signal } = new AbortController();
  assert.throws(() => artifact.startup?.({ log, signal }), /BOOKS_REGION is not set/);
  process.env['BOOKS_REGION'] = 'north';
  t.after(() => delete process.env['BOOKS_REGION']);
  await artifact.startup?.({ log, signal });
  assert.deepEqual(log.lines, ['INFO [Books] [-] serving north']);

  const request = (target: string): FilterRequest => {
    return { method: 'GET', target, headers: new Map(), requestId: '1', subject: 'kim' };
  };
  const passed = request('/books/1.2.0/books');
  assert.equal(await artifact.filter?.filterRequest?.(passed), undefined);
  assert.deepEqual([...passed.headers], [['x-caller', 'kim']]);
  const answer = await artifact.filter?.filterRequest?.(request('/books/1.2.0/books?dry-run'));
  assert.equal(answer?.status, 403);
  const response = { status: 200, headers: new Map([['x-powered-by', 'x']]), requestId: '1' };
  await artifact.filter?.filterResponse?.(response);
  assert.deepEqual([...response.headers], []);

  const revoked = join(scratch, 'revoked.txt');
  await writeFile(revoked, 'one\ntwo\n');
  const events: (RevocationEvent | 'complete')[] = [];
  const sink = {
    add: (event: RevocationEvent) => void events.push(event),
    rule: () => assert.fail('it reads no rules'),
    complete: () => void events.push('complete'),
  };
  await artifact.revocation?.(sink, { config: { endpointURL: revoked }, signal, log });
  assert.deepEqual(events, [{ token: 'one' }, { token: 'two' }, 'complete']);
});

/** Names in the first cell of the table rows between two lines of the page. */
function namesBetween(start: string, end: string): string[] {
  const page = readPage(PAGE);
  const part = page.slice(page.indexOf(start), page.indexOf(end));
  return [...part.matchAll(/^\| (`x-[^|]*)\|/gm)].flatMap(([, cell]) =>
    [...(cell ?? '').matchAll(/`([^`]+)`/g)].map(([, name]) => name ?? ''),
  );
}

test('the page lists every OpenAPI extension that is read, and every one that is refused', () => {
  const source = readFileSync(join(ROOT, 'src/openapi/vendor-extensions.ts'), 'utf8');
  const known = [...source.matchAll(/^ {2}'(x-[\w-]+)': \{([^}]*)\}/gm)];
  assert.ok(known.length > 10);
  const names = (refused: boolean) =>
    known
      .filter(([, , text]) => text?.includes('notBuilt:') === refused)
      .map(([, name]) => name ?? '');
  const heading = '## Extensions of OpenAPI';
  const turn = '\nRefused, because';
  assert.deepEqual(namesBetween(heading, turn).sort(), names(false).sort());
  assert.deepEqual(namesBetween(turn, '## Extensions of the gateway').sort(), names(true).sort());
});

test('every piece of micro-gw.conf that docs/project.md and docs/sources.md show is accepted', () => {
  const shown = [PAGE, 'docs/sources.md'].flatMap((page) =>
    codeBlocks(readPage(page)).filter(({ language }) => language === 'toml'),
  );
  assert.equal(shown.length, 4);
  for (const { text } of shown) {
    const { config } = load(text, { env: { BROKER_PASSWORD: 'b', STORE_PASSWORD: 's' } });
    assert.ok(config.revocation.sources.length > 0, text);
    for (const source of config.revocation.sources)
      if (source.type === 'amqp') assert.deepEqual(parseJmsUrl(source.url).warnings, []);
  }
});
