import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
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

/** The step that brings the servers, with an `apt-get` that installs nothing; and what that one was asked for. */
function bringServers(t: TestContext, removed: boolean) {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-apt-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const asked = join(folder, 'asked');
  writeFileSync(asked, '');
  const aptGet = '#!/bin/sh\necho "$@" >> "$ASKED"\nexit 100\n';
  writeFileSync(join(folder, 'apt-get'), aptGet, { mode: 0o755 });
  // An empty folder over RabbitMQ's own, which only this process sees.
  const cover = removed ? 'mount -t tmpfs tmpfs /usr/lib/rabbitmq && ' : '';
  const { status, stdout, stderr } = spawnSync(
    'unshare',
    ['--mount', 'sh', '-c', `${cover}exec "$0" tools/verify.ts servers`, process.execPath],
    {
      cwd: ROOT,
      env: { ...process.env, PATH: `${folder}:${process.env['PATH']}`, ASKED: asked },
      encoding: 'utf8',
    },
  );
  return { status, stdout, stderr, asked: readFileSync(asked, 'utf8') };
}

test('with RabbitMQ removed and not installable, `npm run verify` fails and says so', (t) => {
  const { status, stdout, stderr, asked } = bringServers(t, true);
  assert.equal(status, 1, stdout + stderr);
  assert.match(asked, /^-qq update\n-qq install -y --no-install-recommends rabbitmq-server\n$/);
  assert.match(
    stderr,
    /^verify: servers failed: these Debian packages are missing and could not be installed: rabbitmq-server\. .*apt-get install rabbitmq-server$/m,
  );
  assert.doesNotMatch(stdout, /passed/);

  const there = bringServers(t, false);
  assert.equal(there.status, 0, there.stdout + there.stderr);
  assert.equal(there.asked, '', 'nothing is installed where nothing is missing');
});
