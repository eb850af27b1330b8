import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Agent, fetch, type Response } from 'undici';
import { startEtcd } from '../support/etcd.ts';
import { type Program, startProgram } from '../support/program.ts';
import { until } from '../support/until.ts';
import type { Io } from '../../src/cli/io.ts';
import { run } from '../../src/cli/token-service.ts';
import { OperatorError } from '../../src/errors.ts';
import { basic, temporaryFolder } from './fixture.ts';

const MICRO_GW = fileURLToPath(new URL('../../src/cli/micro-gw.ts', import.meta.url));

const SILENT: Io = {
  out: () => undefined,
  err: () => undefined,
  colour: false,
  cwd: process.cwd(),
};

interface Started {
  readonly program: Program;
  readonly url: string;
  readonly request: (
    url: string,
    authorization?: string,
    form?: Record<string, string>,
  ) => Promise<Response>;
}

function command(t: TestContext, home: string, words: readonly string[], env = {}): Program {
  const program = startProgram(
    process.execPath,
    [MICRO_GW, 'token-service', '--port', '0', ...words],
    {
      env: { ...env, MGW_HOME: home },
    },
  );
  t.after(() => program.stop());
  return program;
}

async function start(
  t: TestContext,
  home: string,
  words: readonly string[] = [],
  env = {},
): Promise<Started> {
  const program = command(t, home, words, env);
  const url =
    (await program.said(/^Token service is ready at (https:\/\/localhost:\d+)$/m))[1] ?? '';
  const ca = readFileSync((await program.said(/local CA: (.*)$/m))[1] ?? '', 'utf8');
  const dispatcher = new Agent({ connect: { ca } });
  t.after(() => dispatcher.destroy());
  return {
    program,
    url,
    request: (path, authorization, form) =>
      fetch(path.startsWith('https:') ? path : url + path, {
        dispatcher,
        headers: authorization === undefined ? {} : { Authorization: authorization },
        ...(form && { method: 'POST', body: new URLSearchParams(form) }),
      }),
  };
}

test('the first start makes credentials, certificate and state; the second finds them; SIGTERM ends it with 0', async (t) => {
  const home = temporaryFolder(t);
  const first = await start(t, home, ['--apim-port', '0', '--ttl', '120']);
  const file =
    (await first.program.said(/^Clients and admin were made at random: (.*)$/m))[1] ?? '';
  const apim = (await first.program.said(/also at (https:\S+)$/m))[1] ?? '';
  const made = JSON.parse(readFileSync(file, 'utf8')) as {
    admin: { username: string; password: string };
    clients: { id: string; secret: string }[];
  };
  const client = basic(made.clients[0]?.id ?? '', made.clients[0]?.secret ?? '');
  const granted = await first.request('/oauth2/token', client, {
    grant_type: 'client_credentials',
  });
  const { access_token: token, expires_in: life } = (await granted.json()) as {
    access_token: string;
    expires_in: number;
  };
  assert.equal(life, 120);
  const { jti } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as {
    jti: string;
  };
  assert.equal((await first.request(`${apim}/revoke`, client, { token: jti })).status, 200);
  first.program.signal('SIGTERM');
  assert.equal(await first.program.ended(), 0);
  assert.match(first.program.output(), /Token service has stopped/);
  for (const secret of [made.admin.password, made.clients[0]?.secret ?? '', token, jti]) {
    assert.ok(!first.program.output().includes(secret));
  }

  const second = await start(t, home);
  await second.program.said(/^Clients and admin are those in /m);
  const list = await second.request(
    '/internal/data/v1/revokedjwt',
    basic(made.admin.username, made.admin.password),
  );
  assert.equal(((await list.json()) as { jwt_signature: string }[])[0]?.jwt_signature, jti);

  const third = command(t, home, []);
  assert.equal(await third.ended(), 1);
  assert.match(third.output(), /in use by another process/);
  second.program.signal('SIGINT');
  assert.equal(await second.program.ended(), 0);
});

test('--publish-etcd writes every revocation to etcd', async (t) => {
  const etcd = await startEtcd({ auth: { username: 'gateway', password: 'etcd-password' } });
  t.after(() => etcd.close());
  const home = temporaryFolder(t);
  const clients = join(home, 'clients.json');
  writeFileSync(clients, '{"clients":[{"id":"op","secret":"s","revokeAny":true}]}', {
    mode: 0o600,
  });
  const { request, program } = await start(
    t,
    home,
    ['--clients', clients, '--publish-etcd', `${etcd.url}/v3/keys/jti/`],
    { MGW_ETCD_USERNAME: 'gateway', MGW_ETCD_PASSWORD: 'etcd-password' },
  );
  assert.equal((await request('/oauth2/revoke', basic('op', 's'), { token: 'a-jti' })).status, 200);
  await until(async () => {
    const key = Buffer.from('jti/a-jti').toString('base64');
    return (await etcd.call('/kv/range', { key }))['count'] === '1';
  }, 'the key is there');
  assert.equal(await program.stop(), 0);
});

test('an IPv4 address that is written as IPv6 is listened on', async (t) => {
  const home = temporaryFolder(t);
  const { program } = await start(t, home, ['--host', '::ffff:127.0.0.1']);
  assert.equal(await program.stop(), 0);
});

test('a start that is refused says why, and holds nothing open', async (t) => {
  const home = temporaryFolder(t);
  const weak = join(home, 'weak.json');
  writeFileSync(weak, '{"admin":{"username":"admin","password":"admin"}}', { mode: 0o600 });
  const taken = createServer().listen(0, '127.0.0.1');
  t.after(() => taken.close());
  await once(taken, 'listening');
  const busy = String((taken.address() as AddressInfo).port);
  const refused: [string[], RegExp][] = [
    [['--clients', weak, '--host', '0.0.0.0'], /admin has a well-known password/],
    [['--clients', join(home, 'absent.json')], /absent\.json: cannot be read/],
    [['--port', busy], /EADDRINUSE.*Choose another port with --port/],
    [['--port', '70000'], /--port must be a whole number up to 65535/],
    [['--ttl', '0'], /tokenLifeSeconds must be a whole number above zero/],
    [['--ttl', '60', '--longest-token-life', '30'], /longer than the longest token life/],
    [['--algorithm', 'HS256'], /--algorithm must be one of RS256/],
    [['--issuer', 'http://issuer.test'], /must be an https URL/],
    [['--prot', '1'], /--prot/],
  ];
  const before = process.env['MGW_HOME'];
  t.after(() => {
    if (before === undefined) delete process.env['MGW_HOME'];
    else process.env['MGW_HOME'] = before;
  });
  const listeners = process.listenerCount('SIGTERM');
  for (const [words, why] of refused) {
    process.env['MGW_HOME'] = temporaryFolder(t);
    await assert.rejects(
      run(['--port', '0', '--log-level', 'ERROR', ...words], { ...SILENT, out: assert.fail }),
      (error) => error instanceof OperatorError && why.test(error.message),
      words.join(' '),
    );
  }
  assert.equal(process.listenerCount('SIGTERM'), listeners);
});

test('--help lists the options; --hash-secret makes what a clients file takes', async () => {
  let said = '';
  assert.equal(await run(['--help'], { ...SILENT, out: (text) => (said += text) }), 0);
  assert.match(said, /--publish-jms <url>/);
  const hashed = spawnSync(process.execPath, [MICRO_GW, 'token-service', '--hash-secret'], {
    input: 'a secret\n',
    encoding: 'utf8',
  });
  assert.equal(hashed.status, 0);
  assert.match(hashed.stdout, /^scrypt:32768:8:3:[\w-]{22}:[\w-]{43}\n$/);
});
