import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { closingWords, notRun } from '../../tools/not-run.ts';
import { ROOT } from '../support/checkout.ts';

test('`npm run verify` runs every test file, each once', () => {
  const verify = readFileSync(join(ROOT, 'tools/verify.ts'), 'utf8');
  const run = [...verify.matchAll(/\btests\(\s*'([^']+)'/g)].flatMap(([, pattern]) =>
    globSync(pattern ?? '', { cwd: ROOT }),
  );
  assert.deepEqual(run.sort(), globSync('test/**/*.test.ts', { cwd: ROOT }).sort());
});

/** Runs a test that needs vectors, where there are none. */
function withoutVectors(CI: string) {
  return spawnSync(process.execPath, ['--test', '--test-reporter=tap', 'test/auth/jwk.test.ts'], {
    cwd: ROOT,
    env: { ...process.env, NODE_TEST_CONTEXT: undefined, PORTCULLIS_CONFORMANCE: '/nowhere', CI },
    encoding: 'utf8',
  });
}

test('where the test vectors are missing, the last words say how many tests were not run, and CI fails', () => {
  const { status, stdout } = withoutVectors('');
  assert.equal(status, 0, stdout);
  const left = notRun(stdout);
  const words = closingWords(left, 1);
  assert.match(words, /^NOT RUN: a modulus with the ROCA fingerprint .*# SKIP no vectors\n/);
  assert.match(words, /^verify: 1 test was NOT RUN, because there are no test vectors at \S+\./m);
  assert.match(words, /\nverify: everything else passed in 1\.0 min$/);
  assert.equal(closingWords([], 1), 'verify: everything passed in 1.0 min');
  assert.equal(withoutVectors('true').status, 1);
});
