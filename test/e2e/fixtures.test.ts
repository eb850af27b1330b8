import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, test } from 'node:test';
import { FIXTURE_TOKEN, FIXTURES, fixtureBody, type Fixture } from '../sources/amqp-fixtures.ts';
import { testIssuer } from '../support/issuer.ts';
import {
  buildPetstore,
  INVALID_CREDENTIALS,
  owned,
  startGateway,
  type Gateway,
  type Owner,
} from '../support/product.ts';
import { publish, revocationMessage, type TopicMessage } from '../support/publish.ts';
import { startRabbitmq } from '../support/rabbitmq.ts';

const file = { after };
const { artifact } = await buildPetstore(file);
const broker = await startRabbitmq();
owned(file, () => broker.stop());
const issuer = testIssuer();
const FIXTURE_JWT = issuer.token({ jti: FIXTURE_TOKEN });

/** A gateway that hears the topic and whose revocation list is empty. */
async function subscribedGateway(t: Owner): Promise<Gateway> {
  const gateway = await startGateway(t, {
    artifact,
    issuers: [issuer],
    config: `[tokenRevocationConfig.realtime]
      enableRealtimeMessageRetrieval = true
      jmsConnectionProviderUrl = "amqp://guest:guest@carbon/?brokerlist='tcp://127.0.0.1:${broker.port}'"
    `,
  });
  await gateway.untilReady();
  return gateway;
}

/** The fixture on the exchange and with the properties that its publisher uses. */
function messageOf(fixture: Fixture, token = FIXTURE_TOKEN): TopicMessage {
  const body = fixtureBody(fixture, token);
  if (fixture.name.startsWith('RabbitMQ JMS')) {
    const headers = { JMSDeliveryMode: 'PERSISTENT', JMSMessageID: `ID:${randomUUID()}` };
    const properties = { ...fixture.properties, deliveryMode: 2, priority: 4, headers };
    return { body, properties, exchange: 'jms.durable.topic' };
  }
  if (fixture.properties.type !== undefined) return { body, properties: fixture.properties };
  const properties = {
    ...fixture.properties,
    headers: { JMS_QPID_DESTTYPE: 2 },
    deliveryMode: 2,
    priority: 4,
    messageId: `ID:${randomUUID()}`,
    // Milliseconds, against AMQP's own rule.
    timestamp: Date.now(),
    userId: 'guest',
    // Andes' word for a message that never expires; RabbitMQ reads it as "at once or not at all".
    ...(fixture.name.startsWith('Andes') ? { expiration: '0' } : {}),
  };
  return { body, properties };
}

const [bearing, others] = [true, false].map((carries) =>
  FIXTURES.filter(({ carriesToken }) => carriesToken === carries),
);
assert.ok(bearing?.length === 6 && others?.length === 10);

for (const fixture of bearing)
  test(`${fixture.name}: revokes exactly the token that it names`, async (t) => {
    const gateway = await subscribedGateway(t);
    const otherJti = randomUUID();
    const other = issuer.token({ jti: otherJti });
    const bystander = issuer.token();
    for (const token of [FIXTURE_JWT, other, bystander])
      assert.equal((await gateway.call(token)).status, 200);

    assert.deepEqual(await publish(broker, messageOf(fixture)), []);
    const refused = await gateway.untilStatus(FIXTURE_JWT, 401);
    assert.equal(refused.body, INVALID_CREDENTIALS);
    assert.equal((await gateway.call(other)).status, 200);

    assert.deepEqual(await publish(broker, messageOf(fixture, otherJti)), []);
    await gateway.untilStatus(other, 401);
    assert.equal((await gateway.call(bystander)).status, 200);
    assert.equal(await gateway.stop(), 0);
    assert.doesNotMatch(gateway.program.output(), /dropped/);
  });

test('every other fixture is counted as dropped and denies nothing', async (t) => {
  const gateway = await subscribedGateway(t);
  const bystander = issuer.token();
  const marker = randomUUID();
  const revoked = issuer.token({ jti: marker });
  for (const token of [FIXTURE_JWT, bystander, revoked])
    assert.equal((await gateway.call(token)).status, 200);

  const messages = others.map((fixture) => messageOf(fixture));
  // What comes behind them in the same queue tells that they were read.
  assert.deepEqual(await publish(broker, ...messages, revocationMessage(marker)), []);
  await gateway.untilStatus(revoked, 401);
  for (const token of [FIXTURE_JWT, bystander])
    assert.equal((await gateway.call(token)).status, 200);

  // The rest of the count is said at the end.
  assert.equal(await gateway.stop(), 0);
  const counts = [...gateway.program.output().matchAll(/Source realtime dropped: (.*)/g)]
    .flatMap(([, reasons = '']) => [...reasons.matchAll(/(\d+) x /g)])
    .map(([, count]) => Number(count));
  assert.equal(
    counts.reduce((sum, count) => sum + count, 0),
    others.length,
    gateway.program.output(),
  );
});
