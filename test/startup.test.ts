import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { ARTIFACT_BANNER, loadArtifact } from '../src/artifact.ts';
import { runStartup } from '../src/startup.ts';
import { emptyFolder } from './project/project-folder.ts';
import { recordedLog } from './support/recorded-log.ts';

const SHORT_MS = 50;
const log = recordedLog();

test('an artifact whose top level never settles is refused at the deadline', async (t) => {
  const file = join(emptyFolder(t), 'a.mjs');
  writeFileSync(file, `${ARTIFACT_BANNER}\nawait new Promise(() => {});\n`);
  await assert.rejects(loadArtifact(file, SHORT_MS), {
    code: 'ERR_EXTENSION',
    file,
    message: /top level of an extension .* 0\.05 seconds/,
  });
});

test('meanwhile the process does not end by itself with code 13', async (t) => {
  const folder = emptyFolder(t);
  const artifact = join(folder, 'a.mjs');
  writeFileSync(artifact, `${ARTIFACT_BANNER}\nawait new Promise(() => {});\n`);
  const start = join(folder, 'start.mjs');
  const artifactModule = new URL('../src/artifact.ts', import.meta.url).href;
  writeFileSync(
    start,
    `import { loadArtifact } from ${JSON.stringify(artifactModule)};
    process.exitCode = await loadArtifact(${JSON.stringify(artifact)}, ${SHORT_MS}).then(
      () => 0,
      (error) => (console.log(error.code), 7),
    );`,
  );
  await assert.rejects(
    promisify(execFile)(process.execPath, [start], {
      env: { ...process.env, NODE_TEST_CONTEXT: undefined },
    }),
    { code: 7, stdout: 'ERR_EXTENSION\n', stderr: '' },
  );
});

test('a startup extension that never resolves stops the start at the deadline', async () => {
  const { signal } = new AbortController();
  const startup = () => new Promise<void>(() => undefined);
  await assert.rejects(runStartup(startup, log, signal, SHORT_MS), {
    code: 'ERR_EXTENSION',
    message: /startup_extension\.ts .* 0\.05 seconds/,
  });
});

test('a startup extension in time is waited for, and one that fails says why', async () => {
  const { signal } = new AbortController();
  await runStartup(undefined, log, signal);
  await runStartup(() => undefined, log, signal);
  let done = false;
  await runStartup(
    async () => {
      await new Promise((resolve) => setImmediate(resolve));
      done = true;
    },
    log,
    signal,
  );
  assert.ok(done);
  for (const fail of [
    () => {
      throw new Error('closed on Sundays');
    },
    () => Promise.reject(new Error('closed on Sundays')),
  ])
    await assert.rejects(runStartup(fail, log, signal), {
      code: 'ERR_EXTENSION',
      message: /startup_extension\.ts stopped the start: closed on Sundays/,
    });
});
