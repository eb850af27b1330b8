import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startEventHub } from '../support/event-hub.ts';
import { testIssuer } from '../support/issuer.ts';
import {
  buildPetstore,
  owned,
  startGateway,
  temporaryFolder,
  type Gateway,
} from '../support/product.ts';
import { publish } from '../support/publish.ts';
import { startRabbitmq } from '../support/rabbitmq.ts';
import { until } from '../support/until.ts';

const file = { after };
const { artifact } = await buildPetstore(file);
const issuer = testIssuer();
const now = (): number => Math.floor(Date.now() / 1_000);

/** Tokens of one user: two from before, and one of a login after the cut-off. */
function tokensOf(sub: string) {
  const old = [issuer.token({ sub, iat: now() - 600 }), issuer.token({ sub, iat: now() - 5 })];
  return { old, login: () => issuer.token({ sub, iat: now() + 1 }) };
}

async function assertOnlyOldRefused(
  gateway: Gateway,
  { old, login }: ReturnType<typeof tokensOf>,
): Promise<void> {
  for (const token of old) await gateway.untilStatus(token, 401);
  assert.equal((await gateway.call(login())).status, 200, 'a login a second later');
  assert.equal(
    (await gateway.call(issuer.token({ sub: 'bystander', iat: now() - 60 }))).status,
    200,
  );
}

test("a user's old tokens are refused, by WSO2 4.3's event and list, the operator's API and the command line", async (t) => {
  const home = await temporaryFolder(t);
  const broker = await startRabbitmq();
  owned(t, () => broker.stop());
  const url = `amqp://guest:guest@carbon/?brokerlist='tcp://127.0.0.1:${broker.port}'`;
  const listed = tokensOf('listed');
  const ahead = tokensOf('ahead');
  let readings = 0;
  const hub = await startEventHub(t, (_, response) => {
    readings++;
    response.setHeader('content-type', 'application/json');
    response.end(
      JSON.stringify({
        revokedJWTList: [],
        revokedJWTConsumerKeyList: [],
        revokedJWTSubjectEntityList: [
          {
            entity_id: 'listed',
            entity_type: 'USER_ID',
            revocation_time: Date.now() - 1_000,
            organization: 'carbon.super',
          },
          {
            entity_id: 'ahead',
            entity_type: 'USER_ID',
            revocation_time: Date.parse('9999-12-31'),
            organization: 'carbon.super',
          },
        ],
      }),
    );
  });
  const gateway = await startGateway(t, {
    artifact,
    home,
    issuers: [issuer],
    config: `[tokenRevocationConfig.realtime]
        enableRealtimeMessageRetrieval = true
        jmsConnectionProviderUrl = "${url}"
      ${hub.config('reconcileInterval = "1s"')}`,
  });
  await gateway.untilReady();
  await gateway.program.said(/subscriber service for token revocation is started/);
  await assertOnlyOldRefused(gateway, listed);

  const told = tokensOf('told');
  for (const token of told.old) assert.equal((await gateway.call(token)).status, 200);
  const event = { entityId: 'told', entityType: 'USER_ID', revocationTime: String(Date.now()) };
  const revokedToken = Buffer.from(JSON.stringify(event)).toString('base64');
  const payloadData = { revokedToken, ttl: '0', type: 'subject_entity_revocation' };
  await publish(broker, {
    body: JSON.stringify({ event: { payloadData } }),
    properties: { contentType: 'text/plain' },
  });
  await assertOnlyOldRefused(gateway, told);

  const named = tokensOf('named');
  for (const token of named.old) assert.equal((await gateway.call(token)).status, 200);
  const made = await gateway.operator('POST', '/revocations', {
    subject: 'named',
    reason: 'stolen laptop',
    wait: 'threads',
  });
  assert.equal(made.status, 201, JSON.stringify(made.json));
  // Nothing to wait for: it was answered, so it holds.
  for (const token of named.old) assert.equal((await gateway.call(token)).status, 401);
  await assertOnlyOldRefused(gateway, named);

  const typed = tokensOf('typed');
  const revoked = await gateway.microGw('revoke', '--subject', 'typed', '--reason', 'left');
  assert.equal(revoked.code, 0, revoked.output);
  for (const token of typed.old) assert.equal((await gateway.call(token)).status, 401);
  await assertOnlyOldRefused(gateway, typed);

  // Taken back by the operator, by nobody else: after a restart too.
  const id = String(made.json['id']);
  const lifted = await gateway.microGw('revocations', 'lift', id, '--reason', 'it was found');
  assert.equal(lifted.code, 0, lifted.output);
  // Whoever was told that a lift could not be written or published sends it again.
  const repeated = await gateway.microGw('revocations', 'lift', id, '--reason', 'once more');
  assert.deepEqual([repeated.code, repeated.output], [0, lifted.output]);
  for (const token of named.old) assert.equal((await gateway.call(token)).status, 200);
  for (const token of typed.old) assert.equal((await gateway.call(token)).status, 401);
  // What a store says of the year 9999 at each reading is lifted once.
  for (const token of ahead.old) assert.equal((await gateway.call(token)).status, 401);
  const page = await gateway.operator('GET', '/revocations?kind=subject');
  const records = page.json['revocations'] as readonly { id: string; claims: { sub: string } }[];
  const farId = records.find(({ claims }) => claims.sub === 'ahead')?.id ?? assert.fail();
  const lifting = await gateway.microGw('revocations', 'lift', farId, '--reason', 'a typing error');
  assert.equal(lifting.code, 0, lifting.output);
  const heard = readings;
  await until(() => readings >= heard + 3, 'the store was read again', 20_000);
  for (const token of ahead.old) assert.equal((await gateway.call(token)).status, 200);

  const list = await gateway.microGw('revocations', '--json');
  assert.match(list.output, /"typed"/);
  assert.match(list.output, /it was found/, 'who lifted it and why is on record');

  assert.equal(await gateway.stop(), 0);
  const again = await startGateway(t, { artifact, home, issuers: [issuer] });
  for (const token of [...named.old, ...ahead.old])
    assert.equal((await again.call(token)).status, 200);
  for (const token of typed.old) assert.equal((await again.call(token)).status, 401);
});
