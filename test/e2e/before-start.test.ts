import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { createClient } from 'redis';
import { startEtcd } from '../support/etcd.ts';
import { claimsOf, testIssuer } from '../support/issuer.ts';
import {
  ADMIN,
  buildPetstore,
  exampleExtension,
  INVALID_CREDENTIALS,
  owned,
  READER,
  send,
  startGateway,
  startTokenService,
  STATUS_UNKNOWN,
  temporaryFolder,
  type Gateway,
  type Owner,
} from '../support/product.ts';
import { startRedis } from '../support/redis.ts';
import { startTcpRelay, type TcpRelay } from '../support/tcp-relay.ts';
import { until } from '../support/until.ts';

const file = { after };
const extension = 'token_revocation_extension.ts';
const { artifact, backend } = await buildPetstore(file, {
  extensions: { [extension]: await exampleExtension('redis-revocations', extension) },
});
const issuer = testIssuer();

/** The way to a store, shut at first. */
async function closedWay(owner: Owner, port: number): Promise<TcpRelay> {
  const way = await startTcpRelay(port);
  owned(owner, () => way.close());
  await way.cut();
  return way;
}

function persistent(...lines: readonly string[]): string {
  return `[tokenRevocationConfig.persistent]\n  enablePersistentStorageRetrieval = true\n  ${lines.join('\n  ')}\n`;
}

/** The gateway cannot reach its store: nobody is admitted. Then the way opens, and the first request after `/ready` is the revoked one. */
async function firstRequestIsRefused(
  gateway: Gateway,
  way: TcpRelay,
  { revoked, good }: { revoked: string; good: string },
): Promise<void> {
  assert.equal((await send(`${gateway.http}/ready`)).status, 503);
  for (const token of [good, revoked]) assert.equal((await gateway.call(token)).status, 503);
  const { calls } = backend;
  await way.mend();
  await gateway.untilReady();
  const first = await gateway.call(revoked);
  assert.equal(first.status, 401, gateway.program.output());
  assert.equal(first.body, INVALID_CREDENTIALS);
  assert.equal(Buffer.byteLength(first.body), 146);
  assert.equal(backend.calls, calls);
  assert.equal((await gateway.call(good)).status, 200);
  assert.equal((await gateway.callTls(revoked)).status, 401);
}

describe('a token that was revoked before the start is refused by the first request after readiness', () => {
  for (const [what, words, path, ...lines] of [
    ['event hub that answers an array', ['--revoked-list', 'array'], '', 'type = "default"'],
    ['event hub that answers an object', ['--revoked-list', 'object'], '', 'type = "default"'],
    ['event stream', [], '/revocation-events', 'type = "event-stream"'],
  ] as const)
    test(what, async (t) => {
      const home = await temporaryFolder(t);
      const service = await startTokenService(t, { home, words });
      const way = await closedWay(t, service.port);
      const [revoked, good] = [await service.token(), await service.token()];
      await service.revoke(revoked);
      const gateway = await startGateway(t, {
        artifact,
        home,
        config: `[[jwtTokenConfig]]
          issuer = "https://localhost:${service.port}/oauth2/token"
          jwksURL = "${service.url}/oauth2/jwks"
          ${persistent(
            ...lines,
            `endpointURL = "https://localhost:${way.port}/internal/data/v1${path}"`,
            `username = "${ADMIN.username}"`,
            `password = "${ADMIN.password}"`,
          )}`,
      });
      await firstRequestIsRefused(gateway, way, { revoked, good });
    });

  for (const version of ['v2', 'v3'] as const)
    test(`etcd ${version}, over TLS and with authentication`, async (t) => {
      const auth = { username: 'gateway', password: 'etcd-pass-60c3' };
      const etcd = await startEtcd({ v2: version === 'v2', tls: true, auth });
      owned(t, () => etcd.close());
      const way = await closedWay(t, etcd.port);
      const [revoked, good] = [issuer.token(), issuer.token()];
      const { jti } = claimsOf(revoked);
      if (version === 'v2') {
        const { status } = await etcd.callV2('PUT', `/v2/keys/jti/${jti}?ttl=3600`, 'value=true');
        assert.equal(status, 201);
      } else {
        const base64 = (text: string): string => Buffer.from(text).toString('base64');
        await etcd.call('/kv/put', { key: base64(`jti/${jti}`), value: base64('3600') });
      }
      const home = await temporaryFolder(t);
      const gateway = await startGateway(t, {
        artifact,
        home,
        issuers: [issuer],
        env: { ETCD_CA: String(etcd.caFile) },
        config: `[listenerConfig]
          trustStorePath = "\${env:ETCD_CA}"
          ${persistent(
            'type = "etcd"',
            `endpointURL = "https://localhost:${way.port}/${version}/keys/jti/"`,
            `username = "${auth.username}"`,
            `password = "${auth.password}"`,
          )}`,
      });
      await firstRequestIsRefused(gateway, way, { revoked, good });
    });

  test('Redis, by the extension of the example', async (t) => {
    const password = 'redis-pass-08e4';
    const redis = await startRedis({ password });
    owned(t, () => redis.close());
    const way = await closedWay(t, redis.port);
    const [revoked, good] = [issuer.token(), issuer.token()];
    const client = createClient({ url: redis.url, password });
    client.on('error', () => undefined);
    await client.connect();
    await client.xAdd('revocations', '*', { token: claimsOf(revoked).jti, ttl: '3600' });
    client.destroy();
    const gateway = await startGateway(t, {
      artifact,
      issuers: [issuer],
      config: persistent(
        'type = "redis"',
        `hostname = "redis://127.0.0.1:${way.port}"`,
        `password = "${password}"`,
        'stream = "revocations"',
      ),
    });
    await firstRequestIsRefused(gateway, way, { revoked, good });
  });
});

describe('while it is not known which tokens were revoked', () => {
  /** The event stream of a token service stands; the store beside it cannot be reached. */
  async function halfKnowing(t: Owner, more = '') {
    const home = await temporaryFolder(t);
    const service = await startTokenService(t, { home });
    const etcd = await startEtcd();
    owned(t, () => etcd.close());
    const way = await closedWay(t, etcd.port);
    const gateway = await startGateway(t, {
      artifact,
      home,
      config: `[[jwtTokenConfig]]
        issuer = "https://localhost:${service.port}/oauth2/token"
        jwksURL = "${service.url}/oauth2/jwks"
        [tokenRevocationConfig]
        ${more}
        ${persistent('type = "etcd"', `endpointURL = "http://localhost:${way.port}/v3/keys/jti/"`)}
        [[tokenRevocationConfig.sources]]
          name = "stream"
          type = "event-stream"
          endpointURL = "${service.url}/internal/data/v1/revocation-events"
          username = "${READER.username}"
          password = "${READER.password}"
        `,
    });
    return { service, gateway, way };
  }

  test('good tokens get 503 with Retry-After, revoked ones 401, open operations and health work', async (t) => {
    const { service, gateway, way } = await halfKnowing(t);
    const [revoked, good] = [await service.token(), await service.token()];
    await service.revoke(revoked);
    await gateway.untilStatus(revoked, 401);
    const { calls } = backend;
    for (const answer of [await gateway.call(good), await gateway.callTls(good)]) {
      assert.equal(answer.status, 503);
      assert.equal(answer.body, STATUS_UNKNOWN);
      assert.match(String(answer.headers['retry-after']), /^[1-9]\d*$/);
      assert.equal(answer.headers['content-type'], 'application/json');
    }
    assert.equal(backend.calls, calls);
    assert.equal((await gateway.call(undefined, '/petstore/v1/store/inventory')).status, 200);
    assert.equal((await gateway.call(undefined)).status, 401);
    for (const url of [gateway.http, gateway.https]) {
      const { ca } = gateway;
      const health = await send(`${url}/health`, { ca });
      assert.deepEqual([health.status, health.body], [200, '{"status":"healthy"}']);
      const ready = await send(`${url}/ready`, { ca });
      assert.equal(ready.status, 503);
      assert.doesNotMatch(ready.body, /etcd|persistent|stream|127\.0\.0\.1/);
    }
    await gateway.program.said(/Source persistent is not followed: .*Next attempt in/);

    await way.mend();
    await gateway.untilStatus(good, 200);
    assert.equal((await gateway.call(revoked)).status, 401);
    assert.equal((await send(`${gateway.https}/ready`, { ca: gateway.ca })).status, 200);
  });

  test('whenUnknown = "allow" admits them, which is said; revoked ones still get 401', async (t) => {
    const { service, gateway } = await halfKnowing(t, 'whenUnknown = "allow"');
    assert.match(gateway.program.output(), /WARN .*whenUnknown/);
    const [revoked, good] = [await service.token(), await service.token()];
    assert.equal((await gateway.call(good)).status, 200);
    assert.equal((await send(`${gateway.http}/ready`)).status, 200);
    await service.revoke(revoked);
    await gateway.untilStatus(revoked, 401);
    assert.equal((await gateway.call(good)).status, 200);
  });

  test('without any source it serves, and warns once at the start', async (t) => {
    const gateway = await startGateway(t, { artifact, issuers: [issuer] });
    assert.equal((await send(`${gateway.http}/ready`)).status, 200);
    assert.equal((await gateway.call(issuer.token())).status, 200);
    const warnings = gateway.lines().filter((line) => / WARN .*no.* source/i.test(line));
    assert.equal(warnings.length, 1, gateway.program.output());
  });
});

test('a gateway with neither broker nor store starts, listens and says what is missing', async (t) => {
  const nobody = await closedWay(t, 9);
  const gateway = await startGateway(t, {
    artifact,
    issuers: [issuer],
    config: `[tokenRevocationConfig.realtime]
      enableRealtimeMessageRetrieval = true
      jmsConnectionProviderUrl = "amqp://guest:guest@carbon/carbon?brokerlist='tcp://127.0.0.1:${nobody.port}'"
      ${persistent('type = "default"', `endpointURL = "https://localhost:${nobody.port}/internal/data/v1"`)}`,
  });
  assert.equal((await gateway.call(issuer.token())).body, STATUS_UNKNOWN);
  const attempts = (source: string): number[] =>
    gateway
      .lines()
      .flatMap((line) => {
        const found = new RegExp(`Source ${source} is not followed.*Next attempt in ([\\d.]+) s`);
        return found.exec(line)?.[1] ?? [];
      })
      .map(Number);
  for (const source of ['realtime', 'persistent']) {
    await until(() => attempts(source).length >= 4, `${source} is retried`, 30_000);
    const pauses = attempts(source);
    // Jitter takes up to half of each step, and a step is twice the one before.
    assert.ok(Number(pauses[3]) > Number(pauses[0]), pauses.join());
  }
  assert.equal((await send(`${gateway.http}/health`)).status, 200);
});
