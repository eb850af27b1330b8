import assert from 'node:assert/strict';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { METRICS } from '../../src/admin/metric-catalogue.ts';
import { OPENAPI } from '../../src/admin/openapi-document.ts';
import { VERDICT_REASONS } from '../../src/admin/operations.ts';
import { startApi, TOKEN } from '../admin/stage.ts';
import { ROOT } from '../support/checkout.ts';
import { readPage } from './markdown.ts';
import { place } from './place.ts';
import { runSteps, steps } from './shell.ts';

const PAGE = 'docs/operator.md';

/** Rows of the tables of the page whose heading row begins with this cell. */
function table(first: string): string[][] {
  const [, text = ''] = readPage(PAGE).split(`\n| ${first} |`);
  const rows = text.split('\n').slice(2);
  const end = rows.findIndex((line) => !line.startsWith('|'));
  return rows.slice(0, end).map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  );
}

test('the page has every metric as it is, and no other', () => {
  assert.deepEqual(
    table('metric'),
    Object.entries(METRICS).map(([name, { type, labels, help }]) => [
      `\`${name}\``,
      type,
      labels.map((label) => `\`${label}\``).join(', '),
      help,
    ]),
  );
});

test('the page has every call of the OpenAPI document, every member of the body and every verdict', () => {
  assert.deepEqual(
    table('call')
      .map(([call = '']) => call)
      .sort(),
    Object.entries(OPENAPI.paths)
      .flatMap(([path, methods]) =>
        Object.keys(methods)
          .filter((name) => name !== 'parameters')
          .map((name) => `\`${name.toUpperCase()} ${path}\``),
      )
      .sort(),
  );
  const members = table('member').flatMap(([cell = '']) =>
    [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name ?? ''),
  );
  const [token, rule] = OPENAPI.components.schemas.RevocationRequest.oneOf;
  assert.deepEqual(
    members.sort(),
    [...new Set([token, rule].flatMap((one) => Object.keys(one.properties)))].sort(),
  );
  assert.deepEqual(
    table('reason').map(([reason]) => reason),
    VERDICT_REASONS.map((reason) => `\`${reason}\``),
  );
});

test('every command of the page does what the page says', async (t) => {
  const { cwd, scratch, env } = await place(t);
  const { port, operations, log } = await startApi(t);
  const home = join(scratch, 'home/.portcullis');
  await mkdir(join(home, 'security'), { recursive: true });
  await mkdir(join(home, 'conf'));
  await writeFile(join(home, 'security/operator.token'), `${TOKEN}\n`, { mode: 0o600 });
  await writeFile(join(home, 'conf/micro-gw.conf'), `[operatorConfig]\nport = ${port}\n`);
  // As it is now, not as it was last compiled.
  const program = join(scratch, 'bin/micro-gw');
  await writeFile(program, `#!/bin/sh\nexec node '${join(ROOT, 'src/cli/micro-gw.ts')}' "$@"\n`);
  await chmod(program, 0o755);
  const written = steps(PAGE).map((step) => ({
    ...step,
    commands: step.commands.replaceAll('127.0.0.1:9097', `127.0.0.1:${port}`),
  }));
  assert.equal(written.length, 7);
  const output = await runSteps(t, written, {
    cwd,
    scratch,
    env: { ...env, TOKEN: 'a.b.c' },
    isolated: false,
  });
  assert.match(output, /"kind":"subject"/);
  assert.match(output, /\{"ready":true,"reasons":\[\]\}/);
  assert.match(output, /^portcullis_ready 1$/m);
  const audited = log.lines.map((line) => /\[Audit\] \[-\] (\w+) .*: (\w+)$/.exec(line));
  assert.deepEqual(
    audited.flatMap((line) => (line === null ? [] : [`${line[1]} ${line[2]}`])),
    ['revoke done', 'revoke done', 'lift done', 'revoke done'],
  );
  assert.deepEqual(operations.explained, ['a.b.c']);
  assert.ok(!log.lines.join('\n').includes('a.b.c'));
});
