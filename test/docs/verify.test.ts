import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../support/checkout.ts';

test('`npm run verify` runs every test file, each once', () => {
  const verify = readFileSync(join(ROOT, 'tools/verify.ts'), 'utf8');
  const run = [...verify.matchAll(/\btests\(\s*'([^']+)'/g)].flatMap(([, pattern]) =>
    globSync(pattern ?? '', { cwd: ROOT }),
  );
  assert.deepEqual(run.sort(), globSync('test/**/*.test.ts', { cwd: ROOT }).sort());
});
