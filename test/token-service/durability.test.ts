import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Agent, fetch } from 'undici';
import { until } from '../support/until.ts';
import {
  ADMIN,
  certificates,
  fakePublisher,
  OPERATOR,
  startService,
  temporaryFolder,
} from './fixture.ts';

const SCRIPT = fileURLToPath(new URL('child-service.ts', import.meta.url));

interface Child {
  readonly process: ChildProcess;
  readonly stateFile: string;
  readonly revoke: (jti: string) => Promise<number>;
  readonly get: (path: string) => Promise<number>;
}

async function startChild(t: TestContext, launcher: readonly string[]): Promise<Child> {
  const { authority, server } = await certificates();
  const folder = temporaryFolder(t);
  const stateFile = join(folder, 'state.sqlite');
  const tlsFile = join(folder, 'tls.json');
  writeFileSync(tlsFile, JSON.stringify(server));
  const [command, ...words] = [...launcher, process.execPath, SCRIPT, stateFile, tlsFile];
  const child = spawn(command, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const lines = createInterface({ input: child.stdout });
  const [url] = (await once(lines, 'line')) as [string];
  const dispatcher = new Agent({ connect: { ca: authority.cert } });
  t.after(() => dispatcher.destroy());
  return {
    process: child,
    stateFile,
    async revoke(token) {
      const answer = await fetch(`${url}/oauth2/revoke`, {
        method: 'POST',
        dispatcher,
        headers: { Authorization: OPERATOR },
        body: new URLSearchParams({ token }),
      });
      await answer.text();
      if (answer.status === 503) assert.ok(answer.headers.get('retry-after'));
      return answer.status;
    },
    async get(path) {
      const answer = await fetch(url + path, { dispatcher });
      await answer.text();
      return answer.status;
    },
  };
}

/** What the state holds after the child is gone: listed, and published in this order. */
async function survivors(
  t: TestContext,
  stateFile: string,
): Promise<{ listed: Set<string>; published: string[] }> {
  const publisher = fakePublisher('broker');
  const running = await startService(t, { stateFile, publishers: [publisher] });
  const answer = await running.request('/internal/data/v1/revokedjwt', {
    headers: { Authorization: ADMIN },
  });
  const list = (await answer.json()) as { jwt_signature: string }[];
  await until(() => publisher.accepted.length >= list.length, 'every copy is sent');
  return {
    listed: new Set(list.map(({ jwt_signature }) => jwt_signature)),
    published: publisher.accepted.map(({ token }) => token),
  };
}

test('a process killed between commit and send loses no revocation that was answered 200', async (t) => {
  const child = await startChild(t, []);
  const answered: string[] = [];
  let next = 0;
  const revokeOnAndOn = async (): Promise<void> => {
    for (;;) {
      const jti = `jti-${(next += 1)}`;
      if ((await child.revoke(jti)) === 200) answered.push(jti);
    }
  };
  const workers = Array.from({ length: 8 }, () => revokeOnAndOn().catch(() => undefined));
  await until(() => answered.length > 100, 'many are answered');
  child.process.kill('SIGKILL');
  await Promise.all(workers);

  const { listed, published } = await survivors(t, child.stateFile);
  assert.ok(answered.length > 100);
  for (const jti of answered) {
    assert.ok(listed.has(jti), `${jti} is listed`);
    assert.ok(published.includes(jti), `${jti} is published`);
  }
  assert.deepEqual(
    new Set(published),
    listed,
    'a revocation and its copy are there both or neither',
  );
});

test('a revocation that cannot reach the disk is answered 503 and not half done', async (t) => {
  // A write beyond the limit fails as on a full disk: the disk itself needs no filling.
  const child = await startChild(t, ['/bin/sh', '-c', 'ulimit -f 600; exec "$@"', 'sh']);
  const answers = new Map<string, number>();
  let failed = 0;
  for (let i = 0; failed < 5; i += 1) {
    assert.ok(i < 2000, 'the limit is reached');
    const status = await child.revoke(`jti-${i}`);
    answers.set(`jti-${i}`, status);
    if (status !== 200) failed += 1;
  }
  assert.deepEqual(new Set(answers.values()), new Set([200, 503]));
  assert.equal(await child.get('/health'), 200, 'the process goes on');
  assert.equal(await child.get('/oauth2/jwks'), 200);
  child.process.kill('SIGKILL');
  await once(child.process, 'exit');

  const { listed, published } = await survivors(t, child.stateFile);
  const kept = [...answers].filter(([, status]) => status === 200).map(([jti]) => jti);
  assert.deepEqual(listed, new Set(kept));
  assert.deepEqual(published, kept);
});
