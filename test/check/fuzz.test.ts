import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { mutate, type Replacement } from '../../check/mutation.ts';
import { ROOT } from '../support/checkout.ts';
import { temporaryFolder } from '../support/product.ts';
import { startProgram, type Program } from '../support/program.ts';

/** A checkout that can fuzz, with no inputs from before, and perhaps a bug. */
async function fuzzable(t: TestContext, bug?: Replacement): Promise<string> {
  const folder = await temporaryFolder(t, 'fuzz');
  for (const part of ['check', 'src/http1', 'test/http1', 'package.json'])
    cpSync(join(ROOT, part), join(folder, part), {
      recursive: true,
      filter: (source) => !source.endsWith('.json') || source.endsWith('package.json'),
    });
  mkdirSync(join(folder, 'test/http1/corpus'), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  if (bug !== undefined) {
    const file = join(folder, bug.file);
    writeFileSync(file, mutate(readFileSync(file, 'utf8'), bug));
  }
  return folder;
}

function fuzz(t: TestContext, folder: string, minutes: string): Program {
  const run = startProgram(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', 'check/fuzz.ts', '--minutes', minutes, '--seed', '1'],
    { cwd: folder },
  );
  t.after(() => run.stop());
  return run;
}

/** The one input that was saved. */
function saved(folder: string): Record<string, unknown> {
  const corpus = join(folder, 'test/http1/corpus');
  const [file, ...others] = readdirSync(corpus);
  assert.ok(file !== undefined && file.startsWith('finding-'), file);
  assert.deepEqual(others, []);
  const [input, ...more] = JSON.parse(readFileSync(join(corpus, file), 'utf8')) as unknown[];
  assert.equal(more.length, 0);
  return input as Record<string, unknown>;
}

test('where nothing is wrong it says how far it came', async (t) => {
  const folder = await fuzzable(t);
  const run = fuzz(t, folder, '0.03');
  assert.equal(await run.ended(60_000), 0, run.output());
  assert.match(run.output(), /^seed 1, 0\.03 minutes, \d{3} inputs to begin with\n/);
  const [, inputs, ran, lines] = /(\d+) inputs .*, (\d+) of (\d+) lines/.exec(run.output()) ?? [];
  assert.ok(Number(inputs) >= 400, run.output());
  assert.ok(Number(ran) > Number(lines) / 2 && Number(ran) < Number(lines), run.output());
  assert.deepEqual(readdirSync(join(folder, 'test/http1/corpus')), []);
});

test('a codec that accepts a length beside chunks is found, and the input is saved', async (t) => {
  const folder = await fuzzable(t, {
    file: 'src/http1/fields.ts',
    from: 'if (contentLength !== undefined) {',
    to: "if (contentLength === 'never') {",
  });
  const run = fuzz(t, folder, '1');
  assert.equal(await run.ended(90_000), 1, run.output());
  const { why, text } = saved(folder);
  assert.match(String(text), /content-length:/i);
  assert.match(String(text), /transfer-encoding:/i);
  assert.ok(String(text).length < 300, 'it was made shorter');
  assert.ok(run.output().includes(String(why)), run.output());
});
