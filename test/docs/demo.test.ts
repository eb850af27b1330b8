import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { ROOT } from '../support/checkout.ts';
import { INVALID_CREDENTIALS, temporaryFolder } from '../support/product.ts';
import { startProgram, type Program } from '../support/program.ts';
import { until } from '../support/until.ts';

const DEADLINE_MS = 120_000;

/** `npm run demo`, in a session of its own, which is gone after the test. */
function demo(t: TestContext, words: readonly string[] = [], env = {}): Program {
  return inSession(t, 'npm', ['run', 'demo', '--', ...words], env);
}

function inSession(t: TestContext, command: string, args: readonly string[], env = {}): Program {
  const program = startProgram(command, args, { cwd: ROOT, env, session: true });
  t.after(() => {
    if (session(program.pid).length > 0) process.kill(-program.pid, 'SIGKILL');
  });
  return program;
}

/** Processes of a session, as Linux lists them: number, name in parentheses, state, parent, group, session. */
function session(id: number): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const [, state, , , sid] =
          /\) (\S) (\d+) (\d+) (\d+) /.exec(readFileSync(`/proc/${name}/stat`, 'latin1')) ?? [];
        return sid === String(id) && state !== 'Z';
      } catch {
        return false; // it has ended meanwhile
      }
    });
}

function folderOf(program: Program): string {
  const [folder] = /\S*portcullis-demo-\w+/.exec(program.output()) ?? [];
  assert.ok(folder !== undefined, program.output());
  return folder;
}

test('npm run demo -- --once tells the story from 200 to 401, leaves nothing behind and exits 0', async (t) => {
  const program = demo(t, ['--once'], { MGW_CONF_DIR: '/nowhere' });
  assert.equal(await program.ended(DEADLINE_MS), 0, program.output());
  const story = program.output();
  assert.match(
    story,
    /> GET \/petstore\S+\n +< HTTP 200\n +< \[\{"id":1,[^]*> POST \/oauth2\/revoke\b.*\n +< HTTP 200\n[^]*> GET \/petstore\S+\n +< HTTP 401\n/,
  );
  assert.ok(story.includes(`    < ${INVALID_CREDENTIALS}\n    Refused, 146 bytes.`), story);
  assert.match(story, / sent \d+\.\d ms after the revocation/);
  assert.deepEqual(session(program.pid), []);
  assert.ok(!existsSync(folderOf(program)));
});

test('a port that is taken is stepped around, and said', async (t) => {
  // Whoever has it is somebody else: the test needs only that it is taken.
  const taken = createServer().listen(9095, '127.0.0.1');
  await new Promise<void>((resolve) => {
    taken.once('listening', resolve).once('error', () => resolve());
  });
  t.after(() => new Promise((resolve) => taken.close(resolve)));
  const program = demo(t, ['--once']);
  assert.equal(await program.ended(DEADLINE_MS), 0, program.output());
  assert.match(program.output(), /^Port 9095 \(gateway HTTPS\) is taken: using \d+\.$/m);
});

test('the step that failed is named, and the exit code is 1', async (t) => {
  const program = demo(t, ['--once'], { b7a_log_level: 'NONSENSE' });
  assert.equal(await program.ended(DEADLINE_MS), 1);
  assert.match(program.output(), /^Step 5 failed: Gateway up[^]*b7a[._]log[._]level/m);
  assert.deepEqual(session(program.pid), []);
});

test('without --once it stays up with commands that work, and Ctrl-C ends everything', async (t) => {
  const program = demo(t);
  const [, commands = ''] = await program.said(
    /works:\n\n([^]+?)\n\nCtrl-C ends everything\.\n/,
    DEADLINE_MS,
  );
  const [token, call, revoke, another] = commands.match(/^ {4}\S.*$/gm) ?? [];
  assert.match(commands, /oauth2\/revoke\n\nRun the first one again: 401\./);
  assert.ok(another !== undefined);
  const script = [
    token,
    call,
    revoke,
    `until ${call} | grep -F 'HTTP/2 401'; do :; done`,
    another,
    call,
  ];
  const { stdout } = await promisify(execFile)('bash', ['-euc', script.join('\necho\n')], {
    timeout: DEADLINE_MS,
  });
  assert.match(stdout, /^\s*HTTP\/2 200 [^]*"name":"Rex"[^]*HTTP\/1\.1 200 OK/);
  assert.ok(stdout.trim().endsWith(INVALID_CREDENTIALS), stdout);

  process.kill(-program.pid, 'SIGINT');
  await program.ended(DEADLINE_MS);
  await until(() => session(program.pid).length === 0, 'all of the demo has ended', 30_000);
  assert.match(program.output(), /\nEnding\.\n/);
  assert.ok(!existsSync(folderOf(program)));
});

test('an option that is mistyped is refused with the usage', async (t) => {
  const program = demo(t, ['--onc']);
  assert.equal(await program.ended(DEADLINE_MS), 1);
  assert.match(program.output(), /--onc[^]*^Usage: npm run demo \[-- --once\]$/m);
  assert.doesNotMatch(program.output(), /Building/);
});

/** Waits until nothing of a demo is left, neither programs nor files. */
async function untilGone(program: Program, folder: string): Promise<void> {
  await until(() => session(program.pid).length === 0, 'all of the demo has ended', 30_000);
  const left = readdirSync(folder).filter((name) => name.startsWith('portcullis-demo-'));
  assert.deepEqual(left, [], program.output());
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  test(`${signal} in the middle of the story, and again and again, ends everything`, async (t) => {
    const folder = await temporaryFolder(t, 'demo');
    const program = demo(t, [], { TMPDIR: folder });
    await program.said(/portcullis-demo-/, DEADLINE_MS);
    await until(() => {
      if (session(program.pid).length > 0) process.kill(-program.pid, signal);
      return session(program.pid).length === 0;
    }, 'all of the demo has ended');
    await untilGone(program, folder);
  });

test('the end of npm alone ends everything', async (t) => {
  const folder = await temporaryFolder(t, 'demo');
  const program = demo(t, [], { TMPDIR: folder });
  await program.said(/Ctrl-C ends everything/, DEADLINE_MS);
  process.kill(program.pid, 'SIGTERM');
  await untilGone(program, folder);
});

test('a reader that leaves ends everything', async (t) => {
  const folder = await temporaryFolder(t, 'demo');
  const script = 'npm run demo | head -n 12 | tail -n 1';
  const program = inSession(t, 'bash', ['-c', script], { TMPDIR: folder });
  await program.ended(DEADLINE_MS);
  await untilGone(program, folder);
});
