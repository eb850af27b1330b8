import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startEtcd } from '../support/etcd.ts';
import { claimsOf, testIssuer } from '../support/issuer.ts';
import {
  ADMIN,
  buildPetstore,
  owned,
  startGateway,
  startTokenService,
  temporaryFolder,
} from '../support/product.ts';
import { publish, revocationMessage } from '../support/publish.ts';
import { startRabbitmq } from '../support/rabbitmq.ts';
import { startTcpRelay } from '../support/tcp-relay.ts';

const file = { after };
const { artifact } = await buildPetstore(file);

test('RabbitMQ is killed and comes back: what the store and the outbox learned meanwhile is known without a restart', async (t) => {
  const broker = await startRabbitmq();
  owned(t, () => broker.stop());
  const url = `amqp://guest:guest@carbon/?brokerlist='tcp://127.0.0.1:${broker.port}'`;
  const home = await temporaryFolder(t);
  // One is the store of the gateway and publishes nothing; the other only publishes.
  const store = await startTokenService(t, { home, words: ['--state', 'store'] });
  const publisher = await startTokenService(t, {
    home,
    words: ['--state', 'publisher'],
    env: { MGW_PUBLISH_JMS: url },
  });
  const gateway = await startGateway(t, {
    artifact,
    home,
    config: `${[store, publisher]
      .map(
        (service) => `[[jwtTokenConfig]]
          issuer = "https://localhost:${service.port}/oauth2/token"
          jwksURL = "${service.url}/oauth2/jwks"
        `,
      )
      .join('')}
      [tokenRevocationConfig.realtime]
        enableRealtimeMessageRetrieval = true
        jmsConnectionProviderUrl = "${url}"
      [tokenRevocationConfig.persistent]
        enablePersistentStorageRetrieval = true
        type = "default"
        endpointURL = "${store.url}/internal/data/v1"
        username = "${ADMIN.username}"
        password = "${ADMIN.password}"
        # Only the way back to the broker can be the reason to read it again.
        reconcileInterval = "1d"
      [tokenRevocationConfig]
        maxStaleness = "1d"
    `,
  });
  await gateway.untilReady();
  await gateway.program.said(/subscriber service for token revocation is started/);
  const [inStore, inOutbox, live, bystander] = [
    await store.token(),
    await publisher.token(),
    await publisher.token(),
    await publisher.token(),
  ];
  for (const token of [inStore, inOutbox, live, bystander])
    assert.equal((await gateway.call(token)).status, 200);
  await publisher.revoke(live);
  await gateway.untilStatus(live, 401);

  await broker.kill();
  await gateway.program.said(/Source realtime is not followed/);
  await store.revoke(inStore);
  await publisher.revoke(inOutbox);
  // Nobody can have told the gateway; what it knew it still knows.
  for (const token of [inStore, inOutbox, bystander])
    assert.equal((await gateway.call(token)).status, 200);
  assert.equal((await gateway.call(live)).status, 401);

  await broker.start();
  await gateway.untilStatus(inStore, 401, 120_000);
  await gateway.untilStatus(inOutbox, 401, 120_000);
  assert.equal((await gateway.call(bystander)).status, 200);
  assert.equal((await gateway.call(live)).status, 401);
  await publish(broker, revocationMessage(claimsOf(bystander).jti));
  await gateway.untilStatus(bystander, 401);
});

test('etcd is cut off and compacted: what was written meanwhile is known once the way is open again', async (t) => {
  const etcd = await startEtcd();
  owned(t, () => etcd.close());
  const way = await startTcpRelay(etcd.port);
  owned(t, () => way.close());
  const home = await temporaryFolder(t);
  const publisher = await startTokenService(t, {
    home,
    words: ['--publish-etcd', `http://localhost:${way.port}/v3/keys/jti/`],
  });
  const issuer = testIssuer();
  const gateway = await startGateway(t, {
    artifact,
    home,
    issuers: [issuer],
    config: `[[jwtTokenConfig]]
        issuer = "https://localhost:${publisher.port}/oauth2/token"
        jwksURL = "${publisher.url}/oauth2/jwks"
      [tokenRevocationConfig.persistent]
        enablePersistentStorageRetrieval = true
        type = "etcd"
        endpointURL = "http://localhost:${way.port}/v3/keys/jti/"
        username = ""
        password = ""
        reconcileInterval = "1d"
    `,
  });
  await gateway.untilReady();
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const write = (token: string): Promise<unknown> =>
    etcd.call('/kv/put', { key: base64(`jti/${claimsOf(token).jti}`), value: base64('3600') });
  const [live, inStore, bystander] = [issuer.token(), issuer.token(), issuer.token()];
  const inOutbox = await publisher.token();
  for (const token of [live, inStore, inOutbox, bystander])
    assert.equal((await gateway.call(token)).status, 200);
  await write(live);
  await gateway.untilStatus(live, 401);

  await way.cut();
  await gateway.program.said(/Source persistent is not followed/);
  await write(inStore);
  await publisher.revoke(inOutbox);
  // The history that a watch from the last known revision would need is gone, and the key with it that the gateway heard of.
  await etcd.call('/kv/deleterange', { key: base64(`jti/${claimsOf(live).jti}`) });
  await etcd.compact();
  for (const token of [inStore, inOutbox]) assert.equal((await gateway.call(token)).status, 200);

  await way.mend();
  await gateway.untilStatus(inStore, 401);
  await gateway.untilStatus(inOutbox, 401);
  assert.equal((await gateway.call(bystander)).status, 200);
  // Deleted is not revived.
  assert.equal((await gateway.call(live)).status, 401);
  await write(bystander);
  await gateway.untilStatus(bystander, 401);
});
