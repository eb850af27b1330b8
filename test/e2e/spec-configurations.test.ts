import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { claimsOf } from '../support/issuer.ts';
import { hasOwnNetwork, runInOwnNetwork } from '../support/own-network.ts';
import {
  buildPetstore,
  INVALID_CREDENTIALS,
  owned,
  send,
  startGateway,
  startTokenService,
  temporaryFolder,
} from '../support/product.ts';
import { publish, revocationMessage } from '../support/publish.ts';
import { startRabbitmq } from '../support/rabbitmq.ts';

/** The three configurations of WSO2's page "Rejecting Revoked Tokens", word for word. */
const BOTH = `[tokenRevocationConfig]
  [tokenRevocationConfig.realtime]
    enableRealtimeMessageRetrieval = true
    jmsConnectionTopic = "tokenRevocation"
    jmsConnectioninitialContextFactory = "wso2mbInitialContextFactory"
    jmsConnectionProviderUrl= "amqp://admin:admin@carbon/carbon?brokerlist='tcp://localhost:5672'"
    jmsConnectionUsername = ""
    jmsConnectionPassword = ""
  [tokenRevocationConfig.persistent]
    enablePersistentStorageRetrieval = true
    type = "default"
    endpointURL = "https://localhost:9443/internal/data/v1"
    username = "admin"
    password = "admin"
`;
const ONLY_REAL_TIME = `[tokenRevocationConfig]
  [tokenRevocationConfig.realtime]
    enableRealtimeMessageRetrieval = true
    jmsConnectionTopic = "tokenRevocation"
    jmsConnectioninitialContextFactory = "wso2mbInitialContextFactory"
    jmsConnectionProviderUrl= "amqp://admin:admin@carbon/carbon?brokerlist='tcp://localhost:5672'"
    jmsConnectionUsername = ""
    jmsConnectionPassword = ""
  [tokenRevocationConfig.persistent]
    enablePersistentStorageRetrieval = false
    type = "default"
    endpointURL = "https://localhost:9443/internal/data/v1"
    username = "admin"
    password = "admin"
`;
const ONLY_PERSISTENT = `[tokenRevocationConfig]
  [tokenRevocationConfig.realtime]
    enableRealtimeMessageRetrieval = false
    jmsConnectionTopic = "tokenRevocation"
    jmsConnectioninitialContextFactory = "wso2mbInitialContextFactory"
    jmsConnectionProviderUrl= "amqp://admin:admin@carbon/carbon?brokerlist='tcp://localhost:5672'"
    jmsConnectionUsername = ""
    jmsConnectionPassword = ""
  [tokenRevocationConfig.persistent]
    enablePersistentStorageRetrieval = true
    type = "default"
    endpointURL = "https://localhost:9443/internal/data/v1"
    username = "admin"
    password = "admin"
`;

const INFO = '[wso2/gateway/src/gateway/utils] -';
/** The lines that the same page shows, with the time and level that WSO2 3.2 puts before them. */
const START_LINES = [
  `${INFO} [TokenRevocationJMS] [-] subscriber service for token revocation is started`,
  '[ballerina/http] started HTTPS/WSS listener 0.0.0.0:9096',
  '[ballerina/http] started HTTP/WS listener 0.0.0.0:9090',
  `${INFO} [APIGatewayListener] [-] HTTP listener is active on port 9090`,
  '[ballerina/http] started HTTPS/WSS listener 0.0.0.0:9095',
  `${INFO} [APIGatewayListener] [-] HTTPS listener is active on port 9095`,
  `${INFO} [RevokedJwtRetrievalTask] [-] Revoked jwt retrieval successful. Stopping the timer task ...`,
  `${INFO} [RevokedJwtRetrievalTask] [-] Revoked jwt retrieval task stopped successfully`,
] as const;

/** Each once. Those of the listeners, and those of the store, in their order: whether a source or a listener is quicker is open. */
function assertStartLines(lines: readonly string[]): void {
  const places = START_LINES.map((expected) => {
    const found = lines.flatMap((line, index) =>
      line.replace(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO {2}/, '') === expected
        ? [index]
        : [],
    );
    assert.equal(found.length, 1, `${expected}\n---\n${lines.join('\n')}`);
    return Number(found[0]);
  });
  for (const group of [places.slice(1, 6), places.slice(6)])
    assert.deepEqual(
      group,
      group.toSorted((a, b) => a - b),
    );
}

if (hasOwnNetwork) await configurationsDoWhatTheySay();
else
  test('the three documented configurations, unchanged, with everything on its documented port', async () => {
    const { code, output } = await runInOwnNetwork(import.meta.url, 170_000);
    assert.equal(code, 0, output);
    assert.match(output, /pass 4\b/, output);
  });

async function configurationsDoWhatTheySay(): Promise<void> {
  const file = { after };
  const { artifact } = await buildPetstore(file);
  const broker = await startRabbitmq({
    port: 5672,
    vhosts: ['carbon'],
    users: [{ name: 'admin', password: 'admin' }],
  });
  owned(file, () => broker.stop());
  const home = await temporaryFolder(file);
  const jms = "amqp://admin:admin@carbon/carbon?brokerlist='tcp://localhost:5672'";
  // While it publishes nothing, only the event hub knows what was revoked.
  const silent = await startTokenService(file, { home, words: ['--port', '9443'] });
  const early = await silent.token();
  await silent.revoke(early);
  await silent.program.stop();
  const words = ['--port', '9443', '--publish-jms', jms];
  const hub = await startTokenService(file, { home, words });

  const both = await startGateway(file, { artifact, home, config: BOTH, ports: 'configured' });
  /** Beside the first one, with what it learns in a folder of its own. */
  const beside = (config: string, name: string) =>
    startGateway(file, {
      artifact,
      home,
      config,
      flags: [`--tokenRevocationConfig.stateFolder=${join(home, name)}`],
    });
  const realTime = await beside(ONLY_REAL_TIME, 'state-of-real-time');
  const persistent = await beside(ONLY_PERSISTENT, 'state-of-persistent');
  const all = [both, realTime, persistent];
  for (const gateway of all) await gateway.untilReady();
  await both.program.said(/subscriber service for token revocation is started/);
  const [onTopic, late, bystander] = [await hub.token(), await hub.token(), await hub.token()];
  for (const gateway of all)
    for (const token of [onTopic, late, bystander])
      assert.equal((await gateway.callTls(token)).status, 200, gateway.program.output());

  /** Only the topic tells. */
  const toAdmin = { port: 5672, vhost: 'carbon', username: 'admin', password: 'admin' };
  await publish(toAdmin, revocationMessage(claimsOf(onTopic).jti));
  for (const gateway of [both, realTime]) await gateway.untilStatus(onTopic, 401);
  /** Both tell. */
  await hub.revoke(late);

  test('real-time and persistent: what the store knew and what the topic tells is refused', async () => {
    await both.program.said(/Revoked jwt retrieval task stopped successfully/);
    assertStartLines(both.lines());
    await both.untilStatus(late, 401);
    for (const token of [early, onTopic, late]) {
      const answer = await both.callTls(token);
      assert.deepEqual([answer.status, answer.body], [401, INVALID_CREDENTIALS]);
    }
    assert.equal((await both.callTls(bystander)).status, 200);
  });

  test('only real-time: the topic counts, the store is never asked', async () => {
    await realTime.untilStatus(late, 401);
    assert.equal((await realTime.callTls(onTopic)).status, 401);
    for (const token of [early, bystander])
      assert.equal((await realTime.callTls(token)).status, 200);
    assert.doesNotMatch(realTime.program.output(), /RevokedJwtRetrievalTask/);
  });

  test('only persistent: the store counts, at its next reading too, and the topic is not heard', async () => {
    assert.equal((await persistent.callTls(early)).status, 401);
    // Read again every 20 seconds, by default.
    await persistent.untilStatus(late, 401);
    for (const token of [onTopic, bystander])
      assert.equal((await persistent.callTls(token)).status, 200);
    assert.doesNotMatch(persistent.program.output(), /TokenRevocationJMS/);
  });

  test('an event hub with a certificate of an unknown authority is not believed', async (t) => {
    const stranger = await startGateway(t, { artifact, config: ONLY_PERSISTENT });
    await stranger.program.said(/Source persistent is not followed: .*certificate/i);
    assert.equal((await send(`${stranger.http}/ready`)).status, 503);
    assert.notEqual((await stranger.call(bystander)).status, 200);
  });
}
