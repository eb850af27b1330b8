import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { request, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { freePort } from '../support/free-port.ts';
import { startHttpServer } from '../support/http-server.ts';
import { testIssuer } from '../support/issuer.ts';
import {
  buildPetstore,
  type Gateway,
  launchGateway,
  owned,
  PETS,
  startGateway,
  temporaryFolder,
  type GatewayOptions,
  type Owner,
} from '../support/product.ts';
import { until } from '../support/until.ts';

const OPERATOR = /The operator's API listens on/;

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

/** Gateways whose operator's listeners have one address, as those of two that follow each other, and whose answers last until a test ends them. */
async function streaming(t: Owner): Promise<{ two: GatewayOptions; finish: () => void }> {
  const streams: ServerResponse[] = [];
  const upstream = await startHttpServer((_request, response) => {
    streams.push(response);
    response.write('hello');
  });
  owned(t, () => upstream.close());
  const built = await buildPetstore(t, { upstreamPort: upstream.port });
  const two = options(await temporaryFolder(t), {
    artifact: built.artifact,
    flags: [`--operatorConfig.port=${await freePort()}`, '--server.drainTimeout=1h'],
  });
  return { two, finish: () => streams.forEach((stream) => stream.end()) };
}

/** Has an answer under way. */
async function openStream(t: Owner, { http }: Gateway): Promise<void> {
  const headers = { authorization: `Bearer ${issuer.token()}` };
  const asked = request(http + PETS, { agent: false, headers });
  owned(t, async () => asked.destroy());
  asked.on('error', () => undefined);
  asked.end();
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  await once(answer, 'data');
}

function takingOver(more: GatewayOptions): GatewayOptions {
  return { ...more, flags: [...(more.flags ?? []), '--takeover'] };
}

/** The operator is answered by the gateway that took over, and revokes there; `drains` has still something under way. */
async function assertSteppedAside(drains: Gateway, serves: Gateway, finish: () => void) {
  const { status, json } = await serves.operator('GET', '/ready');
  assert.deepEqual([status, json['ready'], json['reasons']], [200, true, []]);
  const token = issuer.token({ sub: 'kim' });
  const { code, output } = await serves.microGw('revoke', '--subject', 'kim', '--wait');
  assert.equal(code, 0, output);
  assert.match(output, /Confirmed by 1 of 1 data-plane threads/);
  assert.equal((await serves.call(token)).status, 401);
  assert.doesNotMatch(drains.program.output(), /\] Ended$/m);
  finish();
  assert.equal(await drains.program.ended(), 0);
}

test('while the old gateway drains, the operator has the one that took over', async (t) => {
  const { two, finish } = await streaming(t);
  const first = await startGateway(t, two);
  await openStream(t, first);
  const starting = startGateway(t, takingOver(two));
  await first.program.said(/Another gateway takes over/);
  await until(async () => !(await journalOf(first)).healthy, 'the folder is left');
  assert.equal((await first.operator('GET', '/status')).status, 200, 'until it is told to end');
  first.program.signal('SIGTERM');
  await assertSteppedAside(first, await starting, finish);
});

test('so it has when the old one drained already before another one took over', async (t) => {
  const { two, finish } = await streaming(t);
  const first = await startGateway(t, two);
  await openStream(t, first);
  first.program.signal('SIGTERM');
  await first.program.said(/Ending \(SIGTERM\)/);
  await assertSteppedAside(first, await startGateway(t, takingOver(two)), finish);
});

test('a gateway that drains and has its journal, or has it again, keeps its operator until it ends', async (t) => {
  const { two, finish } = await streaming(t);
  const first = await startGateway(t, two);
  await openStream(t, first);
  const { program } = await launchGateway(t, takingOver(two));
  await first.program.said(/Another gateway takes over/);
  await program.said(/HTTPS listener is active/);
  program.signal('SIGKILL');
  await program.ended();
  await untilTakenBack(first);
  first.program.signal('SIGTERM');
  await first.program.said(/Ending \(SIGTERM\)/);
  await until(async () => {
    const { json } = await first.operator('GET', '/ready');
    return JSON.stringify(json['reasons']).includes('draining');
  }, 'it says that it drains');
  const { code, output } = await first.microGw('revoke', '--subject', 'kim', '--wait');
  assert.equal(code, 0, output);
  assert.doesNotMatch(program.output(), OPERATOR);
  finish();
  assert.equal(await first.program.ended(), 0);
});
