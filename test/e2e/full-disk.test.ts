import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { claimsOf, testIssuer } from '../support/issuer.ts';
import { buildPetstore, owned, startGateway, temporaryFolder } from '../support/product.ts';
import { publish, revocationMessage } from '../support/publish.ts';
import { startRabbitmq } from '../support/rabbitmq.ts';
import { fillUp, hasOwnMounts, mountSmallDisk, testWithOwnMounts } from '../support/small-disk.ts';
import { until } from '../support/until.ts';

const HEALTHY = 'portcullis_journal_healthy';

if (!hasOwnMounts) testWithOwnMounts('a gateway on a disk that is full', import.meta.url, 150_000);
else {
  const { artifact } = await buildPetstore({ after });
  const issuer = testIssuer();

  test('what is revoked while the disk is full acts, is not acknowledged, and is kept once there is room', async (t) => {
    const home = await temporaryFolder(t);
    const disk = mountSmallDisk();
    owned(t, async () => disk.unmount());
    const filler = join(disk.folder, 'filler');
    const broker = await startRabbitmq();
    owned(t, () => broker.stop());
    const state = `[tokenRevocationConfig]
      stateFolder = "${join(disk.folder, 'state')}"`;
    const gateway = await startGateway(t, {
      artifact,
      home,
      issuers: [issuer],
      config: `${state}
        [tokenRevocationConfig.realtime]
          enableRealtimeMessageRetrieval = true
          jmsConnectionProviderUrl = "amqp://guest:guest@carbon/?brokerlist='tcp://127.0.0.1:${broker.port}'"`,
    });
    await gateway.untilReady();
    await gateway.program.said(/subscriber service for token revocation is started/);
    const revoke = (token: string) =>
      gateway.operator('POST', '/revocations', { token: claimsOf(token).jti });
    const unacknowledged = async (): Promise<number> =>
      Number(await broker.ctl('list_queues', '--no-table-headers', 'messages_unacknowledged'));
    const reasons = async (): Promise<string> =>
      JSON.stringify((await gateway.operator('GET', '/ready')).json['reasons']);

    const before = issuer.token();
    assert.equal((await revoke(before)).status, 201);
    assert.equal(await gateway.metric(HEALTHY), 1);

    fillUp(filler);
    const refused: string[] = [];
    await until(async () => {
      // What is left of the last block is used up first.
      const token = issuer.token();
      const { status, json } = await revoke(token);
      assert.equal((await gateway.call(token)).status, 401);
      if (status === 503) {
        refused.push(token);
        assert.equal(json['code'], 'not_durable', JSON.stringify(json));
      } else assert.equal(status, 201, JSON.stringify(json));
      return refused.length === 3;
    }, 'nothing is acknowledged any more');
    const heard = issuer.token();
    await publish(broker, revocationMessage(claimsOf(heard).jti));
    await gateway.untilStatus(heard, 401);
    const rule = await gateway.operator('POST', '/revocations', { subject: 'mallory' });
    assert.equal(rule.status, 503);
    const ruled = issuer.token({ sub: 'mallory', iat: Math.floor(Date.now() / 1_000) - 5 });
    assert.equal((await gateway.call(ruled)).status, 401);
    assert.equal((await gateway.call(issuer.token())).status, 200);
    assert.equal(await gateway.metric(HEALTHY), 0);
    assert.match(await reasons(), /"code":"journal","message":"[^"]*ENOSPC/);
    await gateway.program.said(/Messages are not acknowledged/);
    assert.equal(await unacknowledged(), 1);

    rmSync(filler);
    await until(async () => (await gateway.metric(HEALTHY)) === 1, 'the journal is well', 20_000);
    assert.doesNotMatch(await reasons(), /"journal"/);
    const [again = ''] = refused;
    assert.equal((await revoke(again)).status, 200, 'sent again as it was asked for: it was known');
    await until(async () => (await unacknowledged()) === 0, 'the event is acknowledged', 20_000);

    gateway.program.signal('SIGKILL');
    await gateway.program.ended();
    const restarted = await startGateway(t, { artifact, home, issuers: [issuer], config: state });
    for (const token of [before, ...refused, heard, ruled])
      assert.equal((await restarted.call(token)).status, 401);
    assert.equal((await restarted.call(issuer.token())).status, 200);
  });
}
