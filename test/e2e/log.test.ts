import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createClient } from 'redis';
import { startEtcd } from '../support/etcd.ts';
import { claimsOf } from '../support/issuer.ts';
import {
  ADMIN,
  basic,
  buildPetstore,
  exampleExtension,
  OPAQUE_SHOP,
  OPERATOR,
  owned,
  PETS,
  READER,
  send,
  SHOP,
  startGateway,
  startTokenService,
  temporaryFolder,
  type Gateway,
} from '../support/product.ts';
import { publish, revocationMessage } from '../support/publish.ts';
import { startRabbitmq } from '../support/rabbitmq.ts';
import { startRedis } from '../support/redis.ts';

const file = { after };
const extension = 'token_revocation_extension.ts';
const { artifact } = await buildPetstore(file, {
  extensions: { [extension]: await exampleExtension('redis-revocations', extension) },
});
const BROKER_PASSWORD = 'broker/p@ss-31f7';
const broker = await startRabbitmq({ users: [{ name: 'listener', password: BROKER_PASSWORD }] });
owned(file, () => broker.stop());
const brokerUser = { port: broker.port, username: 'listener', password: BROKER_PASSWORD };
const brokerUrl = (password: string): string =>
  `amqp://listener:${encodeURIComponent(password)}@carbon/?brokerlist='tcp://127.0.0.1:${broker.port}'`;
const home = await temporaryFolder(file);
const service = await startTokenService(file, {
  home,
  words: ['--log-level', 'DEBUG'],
  env: { MGW_PUBLISH_JMS: brokerUrl(BROKER_PASSWORD) },
});

/** Tokens of the token service are taken, and opaque ones introspected there. */
const TOKENS = `[[jwtTokenConfig]]
    issuer = "https://localhost:${service.port}/oauth2/token"
    jwksURL = "${service.url}/oauth2/jwks"
  [keyManager]
    serverUrl = "${service.url}"
    issuer = "https://localhost:${service.port}/oauth2/token"
  [keymanager.security.basic]
    username = "${READER.username}"
    password = "${READER.password}"
  [tokenRevocationConfig.realtime]
    enableRealtimeMessageRetrieval = true
    jmsConnectionProviderUrl = "${brokerUrl(BROKER_PASSWORD)}"
`;

const LINE =
  /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (TRACE|DEBUG|INFO |WARN |ERROR) \[wso2\/gateway\/src\/gateway\/utils\] - \[([^\]]+)\] \[([^\]]+)\] (.*)$/;

/** Key and message of each DEBUG line with this id. */
function said(gateway: Gateway, wanted: unknown): string[] {
  return gateway.lines().flatMap((line) => {
    const [, level, key, id, message] = LINE.exec(line) ?? [];
    return level === 'DEBUG' && id === wanted ? [`[${key}] ${message}`] : [];
  });
}

test("the DEBUG trace of a revocation and of the call that it refuses has WSO2 3.2's lines in their order", async (t) => {
  // Each thread has a cache of verified tokens: what is found there must have been put there.
  const flags = ['--b7a.log.level=DEBUG', '--server.threads=1'];
  const gateway = await startGateway(t, { artifact, home, config: TOKENS, flags });
  await gateway.untilReady();
  const [jwt, opaque] = [await service.token(), await service.token(OPAQUE_SHOP)];
  const admitted = await gateway.call(jwt);
  assert.equal(admitted.status, 200);
  assert.equal((await gateway.call(opaque)).status, 200);
  await publish(brokerUser, revocationMessage(claimsOf(jwt).jti), revocationMessage(opaque));
  const refused = await gateway.untilStatus(jwt, 401);
  const refusedOpaque = await gateway.untilStatus(opaque, 401);
  // What was written last has arrived then.
  assert.equal(await gateway.stop(), 0);

  const topic = said(gateway, '-').filter((line) => line.startsWith('[TokenRevocationJMS]'));
  const heard = [
    '[TokenRevocationJMS] Token revoked jms Message Received',
    '[TokenRevocationJMS] Successfully added to revoked token map',
  ];
  const created = '[TokenRevocationJMS] Successfully created jms connection';
  assert.deepEqual(topic, [created, ...heard, ...heard]);
  const trace = said(gateway, refused.headers['x-request-id']);
  assert.deepEqual(
    trace.filter((line) => line.startsWith('[JWTAuthProvider]')),
    [
      'jwt found from the jwt cache',
      'jti claim found in the jwt',
      'Checking for the JTI in the gateway invalid revoked token map.',
      'Checking for the Signature in the gateway invalid revoked token map.',
      'JTI or Signature found in the invalid token map.',
      'JWT Authentication Handler value for, is token revoked : true',
      'JWT Token is revoked',
    ].map((message) => `[JWTAuthProvider] ${message}`),
  );
  assert.deepEqual(
    said(gateway, refusedOpaque.headers['x-request-id']).filter((line) =>
      line.startsWith('[AuthnFilter]'),
    ),
    [
      '[AuthnFilter] Token is found in the invalid token map.',
      '[AuthnFilter] Oauth Token has been revoked.',
    ],
  );
  assert.match(gateway.program.output(), /JTI or Signature not found in the invalid token map\./);
  for (const line of gateway.lines())
    if (!line.startsWith('[ballerina/http] started ')) assert.match(line, LINE);
});

test('in JSON every line is an object, the start lines included', async (t) => {
  const config = `${TOKENS}[b7a.log]\n  format = "json"\n`;
  const gateway = await startGateway(t, { artifact, home, config });
  await gateway.untilReady();
  await gateway.program.said(/subscriber service for token revocation is started/);
  const answer = await gateway.call('no-token-of-anybody');
  assert.equal(answer.status, 401);
  assert.equal(await gateway.stop(), 0);
  const lines = gateway.lines().map((line) => JSON.parse(line) as Record<string, string>);
  for (const { level, time, module, key, id, message } of lines) {
    assert.match(String(level), /^(INFO|WARN|ERROR)$/);
    assert.equal(new Date(String(time)).toISOString(), time);
    assert.equal(module, 'wso2/gateway/src/gateway/utils');
    assert.ok(key && id && message);
  }
  const messages = lines.map(({ key, message }) => `${key}: ${message}`);
  assert.ok(
    messages.includes('TokenRevocationJMS: subscriber service for token revocation is started'),
  );
  assert.ok(
    messages.some((text) => text.startsWith('APIGatewayListener: HTTPS listener is active')),
  );
  assert.ok(messages.some((text) => /started HTTP\/WS listener 127\.0\.0\.1:\d+$/.test(text)));
  const ofRequest = lines.filter(({ id }) => id === answer.headers['x-request-id']);
  assert.equal(ofRequest.length, 1);
});

test('no password and no token is in the output of a whole run at the finest level', async (t) => {
  const [etcdUser, redisPassword, wrong, fromFile] = [
    { username: 'etcd-reader', password: 'etcd-p4ss-c2d9' },
    'redis-p4ss-7b1e',
    'wrong-p4ss-e0a5',
    'hub-p4ss-5d3a',
  ];
  const etcd = await startEtcd({ auth: etcdUser });
  owned(t, () => etcd.close());
  const redis = await startRedis({ password: redisPassword });
  owned(t, () => redis.close());
  const gateway = await startGateway(t, {
    artifact,
    home,
    env: { HUB_PASSWORD: fromFile },
    flags: ['--b7a.log.level=TRACE'],
    config: `${TOKENS}
      [tokenRevocationConfig.persistent]
        enablePersistentStorageRetrieval = true
        type = "redis"
        hostname = "redis://127.0.0.1:${redis.port}"
        password = "${redisPassword}"
      [[tokenRevocationConfig.sources]]
        name = "etcd"
        type = "etcd"
        endpointURL = "${etcd.url}/v3/keys/jti/"
        username = "${etcdUser.username}"
        password = "${etcdUser.password}"
      [[tokenRevocationConfig.sources]]
        name = "stream"
        type = "event-stream"
        endpointURL = "${service.url}/internal/data/v1/revocation-events"
        username = "${READER.username}"
        password = "${READER.password}"
      [[tokenRevocationConfig.sources]]
        name = "refused-hub"
        type = "default"
        endpointURL = "${service.url}/internal/data/v1"
        username = "${ADMIN.username}"
        password = "\${env:HUB_PASSWORD}"
      [[tokenRevocationConfig.sources]]
        name = "refused-etcd"
        type = "etcd"
        endpointURL = "${etcd.url}/v3/keys/jti/"
        username = "etcd-reader"
        password = "${wrong}"
      [[tokenRevocationConfig.sources]]
        name = "refused-broker"
        type = "amqp"
        jmsConnectionProviderUrl = "${brokerUrl(wrong)}"
      `,
  });
  for (const name of ['refused-hub', 'refused-etcd', 'refused-broker'])
    await gateway.program.said(new RegExp(`Source ${name} is not followed`));

  const [jwt, own, opaque] = [
    await service.token(),
    await service.token(),
    await service.token(OPAQUE_SHOP),
  ];
  const client = createClient({ url: redis.url, password: redisPassword });
  client.on('error', () => undefined);
  await client.connect();
  await client.xAdd('revocations', '*', { token: claimsOf(jwt).jti });
  client.destroy();
  await service.revoke(own);
  await service.revoke(opaque, OPERATOR);
  await publish(brokerUser, revocationMessage(jwt), { body: `{"revokedToken":"${jwt}` });
  // Not every store answers, so that good tokens get 503; the revoked ones get 401 all the same.
  for (const token of [jwt, own, opaque]) await gateway.untilStatus(token, 401);
  const headers = { authorization: `Bearer ${jwt}` };
  for (const [path, more] of [
    [`${PETS}&access_token=${jwt}`, {}],
    [`/petstore/v1/pet/${jwt}`, {}],
    [`/${opaque}/../${jwt}`, headers],
    [PETS, { authorization: [`Bearer ${jwt}`, `Bearer ${own}`] }],
    [PETS, { authorization: basic('kim', wrong) }],
    [PETS, { authorization: `Bearer ${jwt}x` }],
    [`/nowhere/${opaque}`, { cookie: `token=${jwt}`, referer: `https://x/?t=${jwt}` }],
  ] as const)
    assert.notEqual(
      (await send(gateway.http + path, { headers: { ...more } as Record<string, string> })).status,
      200,
    );
  const answered = await send(`${gateway.tokens}/introspect`, {
    method: 'POST',
    ca: gateway.ca,
    headers: { authorization: basic(SHOP.id, SHOP.secret) },
    body: `token=${jwt}`,
  });
  assert.equal(answered.status, 404);
  assert.equal(await gateway.stop(), 0);

  const passwords: readonly (readonly [string, string])[] = [
    ['listener', BROKER_PASSWORD],
    [READER.username, READER.password],
    [ADMIN.username, fromFile],
    [etcdUser.username, etcdUser.password],
    [etcdUser.username, wrong],
    ['', redisPassword],
    ['kim', wrong],
    ...[SHOP, OPAQUE_SHOP, OPERATOR].map(({ id, secret }) => [id, secret] as const),
  ];
  const secrets = new Set<string>();
  for (const [name, password] of passwords) {
    secrets.add(password).add(encodeURIComponent(password));
    secrets.add(basic(name, password).slice('Basic '.length).replaceAll('=', ''));
  }
  for (const token of [jwt, own]) {
    for (const part of token.split('.').slice(1)) secrets.add(part);
    secrets.add(claimsOf(token).jti);
  }
  secrets.add(opaque);
  for (const [name, output] of [
    ['gateway', gateway.program.output()],
    ['token service', service.program.output()],
  ])
    for (const secret of secrets)
      assert.ok(!output?.includes(secret), `the ${name} wrote ${secret}:\n${output}`);
});
