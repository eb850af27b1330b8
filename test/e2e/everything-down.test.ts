import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import {
  buildPetstore,
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
  type TokenService,
} from '../support/product.ts';
import { startTcpRelay } from '../support/tcp-relay.ts';
import { until } from '../support/until.ts';

const file = { after };
const { artifact } = await buildPetstore(file);

/** Configuration of a gateway whose revocations come from the token service's event stream, by way of `streamPort`. */
function config(service: TokenService, streamPort: number, ...lines: readonly string[]): string {
  return `[[jwtTokenConfig]]
      issuer = "https://localhost:${service.port}/oauth2/token"
      jwksURL = "${service.url}/oauth2/jwks"
    [keyManager]
      serverUrl = "${service.url}"
      issuer = "https://localhost:${service.port}/oauth2/token"
    [keymanager.security.basic]
      username = "${READER.username}"
      password = "${READER.password}"
    [tokenRevocationConfig]
      maxStaleness = "2s"
      ${lines.join('\n      ')}
    [tokenRevocationConfig.persistent]
      enablePersistentStorageRetrieval = true
      type = "event-stream"
      endpointURL = "https://localhost:${streamPort}/internal/data/v1/revocation-events"
      username = "${READER.username}"
      password = "${READER.password}"`;
}

/** Learns of one revoked token and keeps it, then ends. */
async function learn(t: Owner, home: string, service: TokenService, streamPort = service.port) {
  const [revoked, good] = [await service.token(), await service.token()];
  const first = await startGateway(t, { artifact, home, config: config(service, streamPort) });
  await first.untilReady();
  assert.equal((await first.call(good)).status, 200);
  await service.revoke(revoked);
  await first.untilStatus(revoked, 401);
  assert.equal(await first.stop(), 0);
  return { revoked, good };
}

/** A gateway that lets calls through where it may have missed something, and whose store cannot be read until `way` is mended. */
async function besideUnreadStore(t: Owner, home: string, service: TokenService) {
  const way = await startTcpRelay(service.port);
  owned(t, () => way.close());
  await way.cut();
  const gateway = await startGateway(t, {
    artifact,
    home,
    config: config(service, way.port, 'whenStale = "allow"'),
  });
  return { gateway, way };
}

async function untilStale(gateway: Gateway): Promise<void> {
  await until(
    async () => (await gateway.operator('GET', '/ready')).json['reasons']?.toString() !== '',
    'knowledge is stale',
  );
  await gateway.program.said(/Knowledge of revocations is stale/);
}

describe('a restart with everything else down', () => {
  test('a token that was revoked before is refused, a good one is 503, as nobody knows', async (t) => {
    const home = await temporaryFolder(t);
    const service = await startTokenService(t, { home });
    const { revoked, good } = await learn(t, home, service);
    await service.program.stop();
    const gateway = await startGateway(t, {
      artifact,
      home,
      config: config(service, service.port),
    });
    const refused = await gateway.call(revoked);
    assert.equal(refused.status, 401, gateway.program.output());
    assert.equal(refused.body, INVALID_CREDENTIALS);
    await untilStale(gateway);
    const unknown = await gateway.call(good);
    assert.equal(unknown.status, 503);
    assert.equal(unknown.body, STATUS_UNKNOWN);
    assert.ok(Number(unknown.headers['retry-after']) > 0);
    assert.equal((await gateway.call(revoked)).status, 401, '401 comes before 503');
    assert.equal((await send(`${gateway.http}/ready`)).status, 503);
    assert.equal((await send(`${gateway.http}/health`)).status, 200);
    const ready = await gateway.operator('GET', '/ready');
    assert.equal(ready.status, 503);
    assert.match(JSON.stringify(ready.json), /persistent/, 'the reason is for the operator');
  });

  test('whenStale = "allow" lets the good one through, counted and marked', async (t) => {
    const home = await temporaryFolder(t);
    const service = await startTokenService(t, { home });
    const { revoked, good } = await learn(t, home, service);
    const accessLog = join(home, 'access.log');
    await service.program.stop();
    const gateway = await startGateway(t, {
      artifact,
      home,
      config: config(service, service.port, 'whenStale = "allow"'),
      flags: [`--b7a.http.accesslog.path=${accessLog}`, '--b7a.http.accesslog.format=json'],
    });
    await untilStale(gateway);
    assert.equal((await gateway.call(good)).status, 200);
    assert.equal((await gateway.call(revoked)).status, 401);
    const calls = () => readFileSync(accessLog, 'utf8').match(/^.*"route".*$/gm) ?? [];
    await until(() => calls().length === 2, 'both calls are in the access log');
    const marked = calls().filter((line) => line.includes('"degraded":"allowed"'));
    assert.deepEqual(
      marked.map((line) => line.includes('"status":200')),
      [true],
    );
    const counted = 'portcullis_degraded_requests_total{policy="allowed"}';
    assert.equal(await gateway.metric(counted), 1);
    await gateway.program.said(/allowed while revocations may have been missed/);
  });

  test('whenStale = "introspect" asks the key manager', async (t) => {
    const home = await temporaryFolder(t);
    const service = await startTokenService(t, { home });
    const way = await startTcpRelay(service.port);
    owned(t, () => way.close());
    const { good } = await learn(t, home, service, way.port);
    // Its answers can be had, its events cannot.
    await way.cut();
    const gateway = await startGateway(t, {
      artifact,
      home,
      config: config(service, way.port, 'whenStale = "introspect"'),
    });
    await untilStale(gateway);
    assert.equal((await gateway.call(good)).status, 200);
    await service.revoke(good);
    assert.equal((await gateway.call(good)).status, 401, 'only the key manager could know');
    const counted = 'portcullis_degraded_requests_total{policy="introspected"}';
    assert.equal(await gateway.metric(counted), 1);
  });

  test('what was kept of another store does not count as known, whatever whenStale says', async (t) => {
    const home = await temporaryFolder(t);
    const service = await startTokenService(t, { home });
    const { revoked, good } = await learn(t, home, service);
    const { gateway, way } = await besideUnreadStore(t, home, service);
    await gateway.program.said(/The sources were configured otherwise in the last run/);
    assert.equal((await gateway.call(good)).status, 503);
    assert.equal((await gateway.call(revoked)).status, 401, 'it denies all the same');
    await way.mend();
    await gateway.untilStatus(good, 200);
  });

  test('without anything kept it is closed, whatever whenStale says', async (t) => {
    const home = await temporaryFolder(t);
    const service = await startTokenService(t, { home });
    const good = await service.token();
    const { gateway, way } = await besideUnreadStore(t, home, service);
    assert.equal((await gateway.call(good)).status, 503);
    await way.mend();
    await gateway.untilStatus(good, 200);
  });
});
