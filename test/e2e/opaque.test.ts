import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import {
  basic,
  buildPetstore,
  INVALID_CREDENTIALS,
  OPAQUE_SHOP,
  OPERATOR,
  owned,
  READER,
  send,
  SHOP,
  startGateway,
  startTokenService,
  temporaryFolder,
  type Gateway,
  type Owner,
  type TokenClient,
  type TokenService,
} from '../support/product.ts';
import { publish, revocationMessage } from '../support/publish.ts';
import { startRabbitmq } from '../support/rabbitmq.ts';

const file = { after };
const { artifact, backend } = await buildPetstore(file);

/** A gateway that introspects at the token service, keeps the answers for an hour, and hears revocations as `sources` says. */
async function introspecting(
  t: Owner,
  home: string,
  service: TokenService,
  sources: string,
): Promise<Gateway> {
  const gateway = await startGateway(t, {
    artifact,
    home,
    config: `[[jwtTokenConfig]]
        issuer = "https://localhost:${service.port}/oauth2/token"
        jwksURL = "${service.url}/oauth2/jwks"
      [keyManager]
        serverUrl = "${service.url}"
        issuer = "https://localhost:${service.port}/oauth2/token"
        introspectionCacheAge = "1h"
      [keymanager.security.basic]
        username = "${READER.username}"
        password = "${READER.password}"
      [server]
        threads = 1 # each has a cache of its own
      ${sources}`,
  });
  await gateway.untilReady();
  return gateway;
}

const eventStream = (service: TokenService): string => `[tokenRevocationConfig.persistent]
    enablePersistentStorageRetrieval = true
    type = "event-stream"
    endpointURL = "${service.url}/internal/data/v1/revocation-events"
    username = "${READER.username}"
    password = "${READER.password}"`;

test('an opaque token whose introspection is cached is refused once the broker tells of its revocation', async (t) => {
  const broker = await startRabbitmq();
  owned(t, () => broker.stop());
  const home = await temporaryFolder(t);
  const url = `amqp://guest:guest@carbon/?brokerlist='tcp://127.0.0.1:${broker.port}'`;
  const service = await startTokenService(t, { home, env: { MGW_PUBLISH_JMS: url } });
  const gateway = await introspecting(
    t,
    home,
    service,
    `[tokenRevocationConfig.realtime]
      enableRealtimeMessageRetrieval = true
      jmsConnectionProviderUrl = "${url}"`,
  );
  const [byService, byText, byJti, bystander] = await Promise.all(
    Array.from({ length: 4 }, () => service.token(OPAQUE_SHOP)),
  );
  assert.ok(byService && byText && byJti && bystander);
  for (const token of [byService, byText, byJti, bystander])
    assert.equal((await gateway.call(token)).status, 200);

  await service.revoke(byService, OPAQUE_SHOP);
  const refused = await gateway.untilStatus(byService, 401);
  assert.equal(refused.body, INVALID_CREDENTIALS);
  const introspection = await service.post('/oauth2/introspect', OPAQUE_SHOP, { token: byJti });
  const { jti } = JSON.parse(introspection.body) as { jti: string };

  // With nobody left to ask, only the cache can admit, and only the broker can refuse.
  await service.program.stop();
  for (const token of [byText, byJti, bystander])
    assert.equal((await gateway.call(token)).status, 200);
  await publish(broker, revocationMessage(byText), revocationMessage(jti));
  await gateway.untilStatus(byText, 401);
  await gateway.untilStatus(byJti, 401);
  assert.equal((await gateway.call(bystander)).status, 200);
  assert.equal((await gateway.callTls(byText)).status, 401);
  for (const token of [byService, byText, byJti, bystander])
    assert.doesNotMatch(gateway.program.output(), new RegExp(token));
});

test("the same by the token service's own event stream, without any broker", async (t) => {
  const home = await temporaryFolder(t);
  const service = await startTokenService(t, { home });
  const gateway = await introspecting(t, home, service, eventStream(service));
  const [revoked, bystander] = [await service.token(OPAQUE_SHOP), await service.token(OPAQUE_SHOP)];
  for (const token of [revoked, bystander]) assert.equal((await gateway.call(token)).status, 200);
  await service.revoke(revoked, OPERATOR);
  await gateway.untilStatus(revoked, 401);
  assert.equal((await gateway.call(bystander)).status, 200);
  const { calls } = backend;
  assert.equal((await gateway.call(revoked)).status, 401);
  assert.equal(backend.calls, calls);
});

test('explain says of an opaque token what a request with it gets, from the list first and then from the key manager', async (t) => {
  const home = await temporaryFolder(t);
  const service = await startTokenService(t, { home });
  const gateway = await introspecting(t, home, service, eventStream(service));
  const explain = async (token: string) => {
    const { status, json } = await gateway.operator('POST', '/revocations/explain', { token });
    assert.equal(status, 200, JSON.stringify(json));
    assert.ok(!JSON.stringify(json).includes(token));
    return [json['reason'], json['status'], json['detail']];
  };
  const [revoked, bystander] = [await service.token(OPAQUE_SHOP), await service.token(OPAQUE_SHOP)];
  const active = ['valid', undefined, 'the key manager says that the token is active'];
  assert.deepEqual(await explain(bystander), active);
  assert.equal((await gateway.microGw('explain', bystander)).code, 0);
  assert.equal((await gateway.call(bystander)).status, 200);
  assert.deepEqual((await explain('nobody-knows-this-one')).slice(0, 2), ['not_active', 401]);

  await service.revoke(revoked, OPAQUE_SHOP);
  await gateway.untilStatus(revoked, 401);
  const denied = ['token_revoked', 401, 'the token is revoked, as persistent said'];
  assert.deepEqual(await explain(revoked), denied);

  // With nobody left to ask, the list still knows what it knows.
  await service.program.stop();
  assert.deepEqual(await explain(revoked), denied);
  assert.deepEqual((await explain(bystander)).slice(0, 2), ['key_manager_unavailable', 503]);
});

test('the token endpoints are proxied, and a /revoke that passes by is no evidence', async (t) => {
  const home = await temporaryFolder(t);
  const service = await startTokenService(t, { home });
  const gateway = await introspecting(t, home, service, eventStream(service));
  const form = ({ id, secret }: TokenClient, body: string) => ({
    method: 'POST',
    ca: gateway.ca,
    headers: {
      authorization: basic(id, secret),
      'content-type': 'application/x-www-form-urlencoded',
    },
    body,
  });
  for (const url of [gateway.tokens, gateway.https]) {
    const issued = await send(`${url}/token`, form(OPAQUE_SHOP, 'grant_type=client_credentials'));
    assert.equal(issued.status, 200, issued.body);
    const token = (JSON.parse(issued.body) as { access_token: string }).access_token;
    assert.equal((await gateway.call(token)).status, 200);

    // Somebody else's token: RFC 7009 answers 200, and nothing happens.
    const ignored = await send(`${url}/revoke`, form(SHOP, `token=${token}`));
    assert.equal(ignored.status, 200);
    assert.equal((await gateway.call(token)).status, 200);

    const obeyed = await send(`${url}/revoke`, form(OPAQUE_SHOP, `token=${token}`));
    assert.equal(obeyed.status, 200);
    await gateway.untilStatus(token, 401);
  }
  assert.equal((await send(`${gateway.http}/token`, form(OPAQUE_SHOP, ''))).status, 404);
});
