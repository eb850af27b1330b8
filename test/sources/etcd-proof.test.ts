import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { createHttpClient } from '../../src/net/http-client.ts';
import { createEtcdSource, type EtcdSourceOptions } from '../../src/sources/etcd.ts';
import { startEtcd, type Etcd } from '../support/etcd.ts';
import { startHttpServer } from '../support/http-server.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { startTcpRelay, type TcpRelay } from '../support/tcp-relay.ts';
import { until } from '../support/until.ts';
import { CollectingSink, Following, type OpenedSource } from './conformance.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const QUICK = { proofIntervalMs: 50, reconcileIntervalMs: 300_000 };

function open(urls: string, options: Partial<EtcdSourceOptions> = {}): OpenedSource {
  const http = createHttpClient({});
  const source = createEtcdSource({
    name: 'etcd',
    urls,
    http,
    log: recordedLog(),
    ...QUICK,
    ...options,
  });
  return { source, close: () => http.close() };
}

async function following(
  opened: OpenedSource,
  body: (following: Following) => Promise<void>,
  sink = new CollectingSink(),
): Promise<void> {
  const running = new Following(opened, sink);
  try {
    await body(running);
  } finally {
    await running.stop();
  }
}

describe('what proves that nothing was missed of etcd', { timeout: 120_000 }, () => {
  let etcd: Etcd;
  let relay: TcpRelay;

  before(async () => {
    etcd = await startEtcd({ v2: true });
    relay = await startTcpRelay(etcd.port);
  });
  after(async () => {
    await relay?.close();
    await etcd?.close();
  });

  const put = (key: string): Promise<unknown> =>
    etcd.call('/kv/put', { key: base64(key), value: base64('true') });

  it('v3: in a store where others write without a break', async () => {
    await following(open(`${etcd.url}/v3/keys/busy/`), async (running) => {
      await running.complete();
      const { length } = running.sink.provedAt;
      for (let round = 0; running.sink.provedAt.length < length + 5; round++)
        await put(`elsewhere/${round}`);
      await put('busy/a');
      await running.until((sink) => sink.has('a'), 'a change');
      assert.equal(running.sink.completes.length, 1, 'proofs are no whole reads');
    });
  });

  it('v2: a whole read, and not a poll', async () => {
    const revoke = (name: string) => etcd.callV2('PUT', `/v2/keys/quorum/${name}`, 'value=true');
    await following(open(`${etcd.url}/v2/keys/quorum/`, { watchQuietMs: 300 }), async (running) => {
      await running.complete();
      for (const name of ['a', 'b', 'c']) {
        await revoke(name);
        await running.until((sink) => sink.has(name), 'a change');
      }
      assert.equal(running.sink.provedAt.length, 1);
    });
    await following(open(`${etcd.url}/v2/keys/quorum/`, { reconcileIntervalMs: 50 }), (running) =>
      running.until(({ provedAt }) => provedAt.length > 2, 'three reads'),
    );
  });

  for (const api of ['v2', 'v3'] as const)
    it(`${api}: nothing, behind a link that is half-open`, async () => {
      const opened = open(`http://localhost:${relay.port}/${api}/keys/frozen/`, {
        watchQuietMs: 500,
        ...(api === 'v2' && { reconcileIntervalMs: 50 }),
      });
      await following(opened, async (running) => {
        await running.until(({ provedAt }) => provedAt.length > 2, 'proofs');
        relay.freeze();
        const frozenAt = performance.now();
        await running.rejection();
        assert.ok(running.sink.provedAt.every((ms) => ms <= frozenAt));
      });
    });

  for (const api of ['v2', 'v3'] as const)
    it(`${api}: a store with more than it may have is not read`, async () => {
      for (const name of ['a', 'b', 'c']) {
        await put(`many/${name}`);
        await etcd.callV2('PUT', `/v2/keys/many/${name}`, 'value=true');
      }
      const url = `${etcd.url}/${api}/keys/many/`;
      await following(open(url, { maxEntries: 2 }), async (running) => {
        assert.match((await running.rejection()).message, /more entries than maxEntries allows/);
        assert.equal(running.sink.completes.length + running.sink.provedAt.length, 0);
      });
      await following(open(url, { maxEntries: 3 }), (running) => running.complete());
    });
});

describe('etcd that is put back from an old copy', { timeout: 120_000 }, () => {
  for (const api of ['v2', 'v3'] as const)
    it(`${api}: is read whole, and what was heard before stays`, async () => {
      const etcd = await startEtcd({ v2: true });
      const { source, close } = open(`${etcd.url}/${api}/keys/jti/`);
      const sink = new CollectingSink();
      const revoke = async (name: string): Promise<void> => {
        if (api === 'v2') await etcd.callV2('PUT', `/v2/keys/jti/${name}`, 'value=true');
        else await etcd.call('/kv/put', { key: base64(`jti/${name}`), value: base64('true') });
      };
      const keep = { source, close: () => Promise.resolve() };
      try {
        await revoke('old');
        await etcd.stop();
        await etcd.saveCopy();
        await etcd.start();
        await following(
          keep,
          async (running) => {
            await running.complete();
            for (const name of ['x', 'y', 'z']) await revoke(name);
            await running.until((seen) => seen.has('old', 'x', 'y', 'z'), 'all of them');
            await etcd.stop('SIGKILL');
            await running.rejection();
          },
          sink,
        );
        await etcd.restoreCopy();
        await etcd.start();
        await revoke('after');
        const { length } = sink.completes;
        await following(
          keep,
          async (running) => {
            await running.until(({ completes }) => completes.length > length, 'a whole read');
            assert.ok(sink.has('after'));
            await revoke('live');
            await running.until((seen) => seen.has('live'), 'a change');
          },
          sink,
        );
      } finally {
        await close();
        await etcd.close();
      }
    });
});

describe('etcd v3 that answers otherwise than its watch tells', { timeout: 60_000 }, () => {
  const header = (revision: number, cluster = '1') => ({
    header: { cluster_id: cluster, revision: String(revision) },
  });
  type Range = { readonly range_end?: string; readonly min_mod_revision?: string };

  /** A store at revision 10 whose watch stays silent; `range` answers what comes after the first list. */
  async function silentWatch(
    range: (asked: Range, prefix: string) => object,
    body: (running: Following) => Promise<void>,
  ): Promise<void> {
    let lists = 0;
    const server = await startHttpServer((request, response: ServerResponse) => {
      let text = '';
      request.on('data', (chunk: Buffer) => (text += chunk.toString()));
      request.on('end', () => {
        response.setHeader('content-type', 'application/json');
        if (request.url === '/version') response.end('{"etcdserver":"3.5.9"}');
        else if (request.url === '/v3/watch')
          response.write(`${JSON.stringify({ result: { ...header(10), created: true } })}\n`);
        else {
          const asked = JSON.parse(text) as Range & { key: string };
          const prefix = Buffer.from(asked.key, 'base64').toString();
          response.end(JSON.stringify(lists++ < 2 ? header(10) : range(asked, prefix)));
        }
      });
    });
    try {
      await following(open(`${server.url}/v3/keys/jti/`), body);
    } finally {
      await server.close();
    }
  }

  it('what it wrote and did not tell is taken all the same, and then it is proved', () => {
    const asked: string[] = [];
    return silentWatch(
      (range, prefix) => {
        if (range.min_mod_revision !== undefined && prefix === 'jti/')
          asked.push(range.min_mod_revision);
        const kvs =
          prefix === 'jti/' && range.min_mod_revision === '11'
            ? [{ key: base64('jti/untold'), mod_revision: '12', value: base64('true') }]
            : undefined;
        return { ...header(13), kvs };
      },
      async (running) => {
        await running.complete();
        const listed = running.sink.provedAt.length;
        await running.until((sink) => sink.has('untold'), 'what the watch did not tell');
        await running.until(({ provedAt }) => provedAt.length > listed + 2, 'proofs');
        assert.equal(asked[0], '11', 'behind what was applied');
        assert.ok(!asked.slice(1).includes('11'), 'what was caught up with is not asked again');
      },
    );
  });

  it('another cluster, and a revision that went back, break the link', async () => {
    for (const [answer, reason] of [
      [header(11, '2'), /another cluster/],
      [header(9), /went back/],
    ] as const)
      await silentWatch(
        () => answer,
        async (running) => {
          assert.match((await running.rejection()).message, reason);
          assert.equal(running.sink.provedAt.length, 1, 'only the list was proved');
        },
      );
  });

  it('too much to be caught up with is read whole', () => {
    let whole = 0;
    return silentWatch(
      (range) => {
        if (range.min_mod_revision !== undefined) return { ...header(6000), more: true };
        if (range.range_end !== undefined) whole++;
        return header(6000);
      },
      async (running) => {
        await running.until(({ completes }) => completes.length === 2, 'a whole read');
        assert.equal(whole, 2);
        await until(() => running.sink.provedAt.length > 3, 'proofs after it');
      },
    );
  });
});
