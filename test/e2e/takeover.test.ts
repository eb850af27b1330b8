import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { startHttpServer } from '../support/http-server.ts';
import { testIssuer } from '../support/issuer.ts';
import {
  buildPetstore,
  type Gateway,
  launchGateway,
  owned,
  startGateway,
  temporaryFolder,
  type GatewayOptions,
  type Owner,
} from '../support/product.ts';
import { until } from '../support/until.ts';

/** Stops its gateway's start, or holds it up, for as long as a test says so. */
const STARTUP = `import type { StartupExtension } from 'portcullis';
import { existsSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

const startup: StartupExtension = async () => {
  const refuse = process.env['REFUSE_ONCE_THERE'];
  if (refuse === undefined) return;
  while (!existsSync(refuse)) await pause(20);
  throw new Error('not today');
};

export default startup;
`;

const file: Owner = { after };
const { artifact } = await buildPetstore(file, {
  extensions: { 'startup_extension.ts': STARTUP },
});
const issuer = testIssuer();

function options(home: string, more: Partial<GatewayOptions> = {}): GatewayOptions {
  const { flags = [] } = more;
  return { artifact, issuers: [issuer], home, ...more, flags: ['--server.threads=1', ...flags] };
}

/** What a gateway says of its journal. */
async function journalOf(gateway: Gateway): Promise<{ healthy: boolean; trouble?: string }> {
  const { json } = await gateway.operator('GET', '/status');
  return json['journal'] as { healthy: boolean; trouble?: string };
}

async function untilTakenBack(gateway: Gateway): Promise<void> {
  await gateway.program.said(/WARN .*\[Journal\] .* the state folder is taken back/);
  await until(async () => (await journalOf(gateway)).healthy, 'the journal is written', 30_000);
}

test('a takeover that is refused late: the old gateway has its journal again, and what it learnt meanwhile is in it', async (t) => {
  const home = await temporaryFolder(t);
  const tokens = ['before', 'meanwhile', 'later'].map((jti) => ({
    jti,
    token: issuer.token({ jti }),
  }));
  const [before, meanwhile, later] = tokens;
  assert.ok(before && meanwhile && later);
  {
    const first = await startGateway(t, options(home));
    const revoke = async ({ token }: { token: string }): Promise<number> =>
      (await first.operator('POST', '/revocations', { token })).status;
    assert.equal(await revoke(before), 201);
    const refuse = join(home, 'refuse');
    const { program } = await launchGateway(
      t,
      options(home, { flags: ['--takeover'], env: { REFUSE_ONCE_THERE: refuse } }),
    );
    await first.program.said(/Another gateway takes over/);
    await until(async () => !(await journalOf(first)).healthy, 'the folder is left');
    assert.match((await journalOf(first)).trouble ?? '', /left to another gateway/);
    assert.equal(await revoke(meanwhile), 503);
    await first.program.said(/WARN .*\[Audit\].* revoke token t-\S{16} added by .*: not_durable/);
    assert.equal((await first.call(meanwhile.token)).status, 401, 'it acts all the same');
    for (const [method, path, body] of [
      ['GET', '/revocations'],
      ['GET', '/revocations/r-AAAAAAAAAAAAAAAA'],
      ['POST', '/revocations/explain', { token: before.token }],
    ] as const) {
      const { status, json } = await first.operator(method, path, body);
      assert.deepEqual([status, json['code']], [503, 'taken_over'], path);
    }
    await writeFile(refuse, '');
    assert.equal(await program.ended(), 1);
    assert.match(program.output(), /not today.*\[ERR_EXTENSION\]/);
    await untilTakenBack(first);
    assert.equal(await revoke(later), 201);
    first.program.signal('SIGKILL');
    await first.program.ended();
  }
  const next = await startGateway(t, options(home));
  for (const { jti, token } of tokens) assert.equal((await next.call(token)).status, 401, jti);
  assert.equal((await next.call(issuer.token())).status, 200);
});

test('the gateway that took over is killed: the old one goes on with the journal of both', async (t) => {
  const home = await temporaryFolder(t);
  const [token, theirs] = [issuer.token({ jti: 'ours' }), issuer.token({ jti: 'theirs' })];
  const first = await startGateway(t, options(home));
  const second = await startGateway(t, options(home, { flags: ['--takeover'] }));
  await first.program.said(/Another gateway takes over/);
  assert.equal((await second.operator('POST', '/revocations', { token: theirs })).status, 201);
  assert.equal((await first.call(theirs)).status, 200, 'nobody has told it');
  // Another one is refused: the folder is the second one's, however often the first one looks.
  const { program } = await launchGateway(t, options(home));
  assert.equal(await program.ended(), 1);
  assert.match(
    program.output(),
    /another gateway is using this state folder.*\[ERR_STATE_FOLDER\]/,
  );
  assert.equal((await journalOf(first)).healthy, false);

  second.program.signal('SIGKILL');
  await second.program.ended();
  await untilTakenBack(first);
  assert.equal((await first.call(theirs)).status, 401, 'it has read what the other one wrote');
  assert.equal((await first.operator('POST', '/revocations', { token })).status, 201);

  // And it hands over once more.
  const third = await startGateway(t, options(home, { flags: ['--takeover'] }));
  assert.equal(await first.stop(), 0);
  for (const each of [token, theirs]) assert.equal((await third.call(each)).status, 401);
});

test('a port that another program has is found before the folder is asked for', async (t) => {
  const home = await temporaryFolder(t);
  const other = await startHttpServer((_request, response) => response.end());
  owned(t, () => other.close());
  const first = await startGateway(t, options(home));
  const flags = ['--takeover', `--listenerConfig.httpPort=${new URL(other.url).port}`];
  const { program } = await launchGateway(t, options(home, { flags }));
  assert.equal(await program.ended(), 1);
  assert.match(program.output(), /\(EADDRINUSE\): another program has this port.*\[ERR_LISTEN\]/);
  assert.doesNotMatch(first.program.output(), /Another gateway takes over/);
  assert.equal((await journalOf(first)).healthy, true);
});
