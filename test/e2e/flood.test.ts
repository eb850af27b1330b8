import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, test } from 'node:test';
import { connect } from 'amqplib';
import { Pool } from 'undici';
import { testIssuer } from '../support/issuer.ts';
import { buildPetstore, owned, PETS, startGateway, type Owner } from '../support/product.ts';
import { revocationMessage } from '../support/publish.ts';
import { startRabbitmq } from '../support/rabbitmq.ts';
import { until } from '../support/until.ts';

const EVENTS = 200_000;
/** One event of so many is looked at in the end. */
const SAMPLE = 4_000;
const CONNECTIONS = 20;
/** Bytes. Far above what the list takes for these, far below what it would be to hold all messages. */
const MEMORY_BOUND = 700 * 1_048_576;

const file = { after };
const { artifact } = await buildPetstore(file);
const issuer = testIssuer();
const idOf = (event: number): string => `flood-${event}`;

/** Publishes events as fast as the broker takes them. */
async function flood(port: number): Promise<void> {
  const connection = await connect({ hostname: '127.0.0.1', port });
  try {
    const channel = await connection.createConfirmChannel();
    for (let event = 0; event < EVENTS; event++) {
      const { body, properties } = revocationMessage(idOf(event));
      const goOn = channel.publish('amq.topic', 'tokenRevocation', Buffer.from(body), properties);
      if (!goOn) await once(channel, 'drain');
    }
    await channel.waitForConfirms();
  } finally {
    await connection.close();
  }
}

/** Calls on many connections without a pause until it is stopped. Counts answers by status. */
function callOn(owner: Owner, url: string, token: string) {
  const pool = new Pool(url, { connections: CONNECTIONS });
  const counts = new Map<number, number>();
  const over = new AbortController();
  const call = async (): Promise<void> => {
    while (!over.signal.aborted) {
      const { statusCode, body } = await pool.request({
        method: 'GET',
        path: PETS,
        headers: { authorization: `Bearer ${token}` },
      });
      await body.dump();
      counts.set(statusCode, (counts.get(statusCode) ?? 0) + 1);
    }
  };
  const calling = Promise.all(Array.from({ length: CONNECTIONS }, call));
  calling.catch(() => undefined);
  const stop = async (): Promise<Map<number, number>> => {
    over.abort();
    await calling;
    return counts;
  };
  owned(owner, async () => {
    await stop().catch(() => undefined);
    await pool.destroy();
  });
  return { counts, stop };
}

test(`requests go on while ${EVENTS} revocations come as fast as the broker takes them, and all are enforced`, async (t) => {
  const broker = await startRabbitmq();
  owned(t, () => broker.stop());
  const gateway = await startGateway(t, {
    artifact,
    issuers: [issuer],
    config: `[tokenRevocationConfig]
        longestTokenLife = "1d"
      [tokenRevocationConfig.realtime]
        enableRealtimeMessageRetrieval = true
        jmsConnectionProviderUrl = "amqp://guest:guest@carbon/?brokerlist='tcp://127.0.0.1:${broker.port}'"`,
  });
  await gateway.untilReady();
  await gateway.program.said(/subscriber service for token revocation is started/);
  const load = callOn(t, gateway.http, issuer.token());
  await until(() => (load.counts.get(200) ?? 0) > CONNECTIONS, 'calls are answered');

  await flood(broker.port);
  const answeredBy = load.counts.get(200) ?? 0;
  const taken = 'portcullis_source_events_total{source="realtime"}';
  let mostMemory = 0;
  await until(
    async () => {
      const memory = (await gateway.metric('portcullis_resident_memory_bytes')) ?? Infinity;
      mostMemory = Math.max(mostMemory, memory);
      return (await gateway.metric(taken)) === EVENTS;
    },
    'all events are taken',
    60_000,
  );
  const answers = await load.stop();
  assert.deepEqual([...answers.keys()], [200], 'no call failed or was refused');
  assert.ok(answeredBy > 10 * CONNECTIONS, `${answeredBy} calls were answered meanwhile`);
  assert.ok(mostMemory < MEMORY_BOUND, `${mostMemory} bytes`);

  assert.equal(await gateway.metric('portcullis_revocation_entries{kind="token"}'), EVENTS);
  for (let event = 0; event < EVENTS; event += SAMPLE)
    assert.equal((await gateway.call(issuer.token({ jti: idOf(event) }))).status, 401, `${event}`);
  assert.equal((await gateway.call(issuer.token({ jti: idOf(EVENTS) }))).status, 200);
  // All of it was acknowledged, and only after it was on the disk: a restart knows it without the broker.
  await until(async () => /^0\s+0\s*$/m.test(await queues(broker)), 'all are acknowledged', 30_000);
  const { home } = gateway;
  assert.equal(await gateway.stop(), 0);
  const again = await startGateway(t, { artifact, issuers: [issuer], home });
  const last = issuer.token({ jti: idOf(EVENTS - 1) });
  assert.equal((await again.call(last)).status, 401);
});

function queues(broker: { ctl(...args: string[]): Promise<string> }): Promise<string> {
  return broker.ctl('list_queues', 'messages_ready', 'messages_unacknowledged');
}
