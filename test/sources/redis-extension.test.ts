import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createClient } from 'redis';
import type { RevocationExtension } from '../../src/extension.ts';
import type { Log } from '../../src/log.ts';
import { createExtensionSource } from '../../src/sources/extension.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { startRedis } from '../support/redis.ts';
import { startTcpRelay } from '../support/tcp-relay.ts';
import { CollectingSink, Following, testSource, type OpenedSource } from './conformance.ts';

/** The example project's extension, as `micro-gw build` takes it: its default export. */
const example = new URL(
  '../../examples/redis-revocations/extensions/token_revocation_extension.ts',
  import.meta.url,
);
const { default: extension } = (await import(example.href)) as { default: RevocationExtension };

const PASSWORD = 'redis-pass-4a1f';
const WRONG = 'redis-wrong-90de';

function open(port: number, password: string, log: Log = recordedLog()): OpenedSource {
  const source = createExtensionSource({
    name: 'redis',
    extension,
    config: { type: 'redis', endpointURL: `redis://127.0.0.1:${port}`, password, stream: 'dead' },
    log,
  });
  return { source, close: () => Promise.resolve() };
}

async function connect(port: number) {
  const client = createClient({ url: `redis://127.0.0.1:${port}`, password: PASSWORD });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

testSource('extension (the Redis example)', 'list', async () => {
  const redis = await startRedis({ password: PASSWORD });
  const relay = await startTcpRelay(redis.port);
  const client = await connect(redis.port);
  return {
    open: (log) => open(relay.port, PASSWORD, log),
    openRefused: (log) => open(relay.port, WRONG, log),
    revoke: async (token) => {
      await client.xAdd('dead', '*', { token, expiryTime: String(Date.now() + 3_600_000) });
    },
    revokeMalformed: async () => {
      await client.xAdd('dead', '*', { jti: 'written by somebody else' });
    },
    breakLink: () => relay.cut(),
    mendLink: () => relay.mend(),
    secrets: [PASSWORD, WRONG],
    async close() {
      client.destroy();
      await relay.close();
      await redis.close();
    },
  };
});

describe('the Redis example', { timeout: 60_000 }, () => {
  it('goes on after a crash of Redis with the whole stream', async () => {
    const redis = await startRedis({ password: PASSWORD });
    let client = await connect(redis.port);
    const { source } = open(redis.port, PASSWORD);
    const opened = { source, close: () => Promise.resolve() };
    const following: Following[] = [];
    try {
      await client.xAdd('dead', '*', { token: 'before', ttl: '3600', issuer: 'https://sts' });
      const first = new Following(opened, new CollectingSink());
      following.push(first);
      await first.complete();
      assert.deepEqual(first.sink.events, [
        { token: 'before', ttl: '3600', issuer: 'https://sts' },
      ]);
      client.destroy();
      await redis.stop('SIGKILL');
      await first.rejection();
      await redis.start();
      client = await connect(redis.port);
      await client.xAdd('dead', '*', { token: 'meanwhile' });
      const second = new Following(opened, new CollectingSink());
      following.push(second);
      await second.complete();
      assert.deepEqual([...second.sink.tokens], ['before', 'meanwhile']);
    } finally {
      for (const one of following) await one.stop();
      if (client.isOpen) client.destroy();
      await redis.close();
    }
  });

  it('reads a stream of several pages whole before complete()', async () => {
    const redis = await startRedis({ password: PASSWORD });
    const client = await connect(redis.port);
    const following = new Following({
      source: open(redis.port, PASSWORD).source,
      close: () => Promise.resolve(),
    });
    try {
      await following.complete();
      await following.stop();
      await Promise.all(
        Array.from({ length: 2_500 }, (_, index) =>
          client.xAdd('dead', '*', { token: `t${index}` }),
        ),
      );
      const again = new Following(open(redis.port, PASSWORD));
      await again.complete();
      assert.equal(again.sink.firstList?.size, 2_500);
      await again.stop();
    } finally {
      await following.stop();
      client.destroy();
      await redis.close();
    }
  });

  it('warns where Redis may evict the stream', async () => {
    const redis = await startRedis({ password: PASSWORD });
    const client = await connect(redis.port);
    const log = recordedLog();
    await client.configSet('maxmemory-policy', 'allkeys-lru');
    const following = new Following(open(redis.port, PASSWORD, log));
    try {
      await following.complete();
      assert.ok(log.lines.some((line) => line.includes('Redis may evict the stream')));
    } finally {
      await following.stop();
      client.destroy();
      await redis.close();
    }
  });
});
