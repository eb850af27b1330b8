import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, test } from 'node:test';
import { claimsOf, testIssuer } from '../support/issuer.ts';
import { buildPetstore, owned, startGateway } from '../support/product.ts';
import { until } from '../support/until.ts';

const { artifact } = await buildPetstore({ after });
const issuer = testIssuer();

/** Descriptors that the process may have, and clients that come. */
const LIMIT = 160;
const CLIENTS = 300;

for (const engine of ['own', 'node'])
  test(`with more clients than descriptors the gateway lives, writes its journal, and serves: ${engine}`, async (t) => {
    const gateway = await startGateway(t, {
      artifact,
      issuers: [issuer],
      under: ['prlimit', `--nofile=${LIMIT}:${LIMIT}`],
      config: `[server]
          httpEngine = "${engine}"
          threads = 1
        [listenerConfig]
          headersTimeout = "1h"
        [tokenRevocationConfig]
          whenUnknown = "allow"`,
    });
    await gateway.untilReady();
    await gateway.program.said(
      /listenerConfig\.maxConnections is 10000, but this process may have 160 descriptors: 60 clients may connect/,
    );
    const token = issuer.token();
    assert.equal((await gateway.call(token)).status, 200);
    const port = Number(new URL(gateway.http).port);
    const clients: Socket[] = [];
    owned(t, async () => {
      for (const client of clients) client.destroy();
    });
    const opened = (): number => readdirSync(`/proc/${gateway.program.pid}/fd`).length;
    let closed = 0;
    for (let count = 0; count < CLIENTS; count++) {
      const client = connect({ port, host: '127.0.0.1' });
      clients.push(client);
      client.on('error', () => undefined).on('close', () => closed++);
      await once(client, 'connect');
      client.write('GET / HTTP/1.1\r\nHo');
      assert.ok(opened() < LIMIT, 'accepting stops before the last descriptor');
    }
    await until(() => closed >= CLIENTS - 60, 'who was silent for longest is closed');
    assert.equal((await gateway.call(token)).status, 200, 'a client that asks is served');
    const dead = issuer.token();
    const revoked = await gateway.operator('POST', '/revocations', { token: claimsOf(dead).jti });
    assert.equal(revoked.status, 201, JSON.stringify(revoked.json));
    assert.equal((await gateway.call(dead)).status, 401);
    assert.equal(await gateway.metric('portcullis_journal_healthy'), 1);
    const evicted = await gateway.metric('portcullis_connections_evicted_total');
    assert.ok(evicted !== undefined && evicted >= CLIENTS - 60, `${evicted}`);
    for (const client of clients) client.destroy();
    await until(() => opened() < LIMIT - 60, 'what they had is free again');
    assert.equal((await gateway.call(token)).status, 200);
    assert.ok(!gateway.program.output().includes('EMFILE'), gateway.program.output());
  });
