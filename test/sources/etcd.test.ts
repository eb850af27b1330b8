import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import type { Log } from '../../src/log.ts';
import { createHttpClient } from '../../src/net/http-client.ts';
import { createEtcdPublisher } from '../../src/sources/etcd-publisher.ts';
import { createEtcdSource, type EtcdSourceOptions } from '../../src/sources/etcd.ts';
import { startEtcd, type Etcd } from '../support/etcd.ts';
import { freePort } from '../support/free-port.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { startTcpRelay, type TcpRelay } from '../support/tcp-relay.ts';
import { until } from '../support/until.ts';
import { CollectingSink, Following, testSource, type OpenedSource } from './conformance.ts';

const USER = { username: 'gateway', password: 'etcd-pass-51c7' };
const WRONG = { username: 'gateway', password: 'etcd-wrong-aa09' };
const HOUR_MS = 3_600_000;

const base64 = (text: string | Buffer): string => Buffer.from(text).toString('base64');

/** An adapter for an etcd, through `port` if it is a relay's. */
function open(
  etcd: Etcd,
  path: string,
  options: Partial<EtcdSourceOptions> & { port?: number } = {},
): OpenedSource {
  const http = createHttpClient(etcd.ca === undefined ? {} : { ca: [etcd.ca] });
  const { protocol } = new URL(etcd.url);
  const source = createEtcdSource({
    name: 'etcd',
    urls: `${protocol}//localhost:${options.port ?? etcd.port}${path}`,
    http,
    log: recordedLog(),
    ...options,
  });
  return { source, close: () => http.close() };
}

function outgoing(token: string, expiresAtMs = Date.now() + HOUR_MS) {
  return {
    eventId: randomUUID(),
    token,
    tokenType: 'opaque' as const,
    issuer: 'https://sts.example',
    expiresAtMs,
  };
}

/** Both APIs with passwords and TLS; revocations are written by our own publisher. */
async function harness(api: 'v2' | 'v3') {
  const etcd = await startEtcd({ v2: api === 'v2', tls: true, auth: USER });
  const relay = await startTcpRelay(etcd.port);
  const path = `/${api}/keys/jti/`;
  const http = createHttpClient({ ca: [etcd.ca ?? ''] });
  const publisher = createEtcdPublisher({
    name: 'etcd',
    urls: etcd.url + path,
    credentials: USER,
    http,
  });
  return {
    // A real v2 server takes 70 ms for each password that it checks: etcd-answers.test.ts has a long list of it.
    ...(api === 'v3' && { portion: 100 }),
    open: (log: Log) =>
      open(etcd, path, { port: relay.port, credentials: USER, log, proofIntervalMs: 25 }),
    openRefused: (log: Log) => open(etcd, path, { port: relay.port, credentials: WRONG, log }),
    revoke: (token: string) => publisher.publish(outgoing(token)),
    ...(api === 'v3' && {
      revokeMalformed: async () => {
        await etcd.call('/kv/put', {
          key: base64(Buffer.from('jti/\xc3\x28', 'latin1')),
          value: '',
        });
      },
    }),
    breakLink: () => relay.cut(),
    mendLink: () => relay.mend(),
    secrets: [
      USER.password,
      WRONG.password,
      etcd.root.password,
      base64(`${USER.username}:${USER.password}`),
    ],
    async close() {
      await publisher.close();
      await http.close();
      await relay.close();
      await etcd.close();
    },
  };
}

testSource('etcd v2 (TLS, users)', 'list', () => harness('v2'));
testSource('etcd v3 (TLS, users)', 'list', () => harness('v3'));

describe('etcd without users', { timeout: 180_000 }, () => {
  let etcd: Etcd;
  let relay: TcpRelay;
  const running = new Set<Following>();

  before(async () => {
    etcd = await startEtcd({ v2: true });
    relay = await startTcpRelay(etcd.port);
  });
  after(async () => {
    await relay?.close();
    await etcd?.close();
  });

  const put = (key: string, value: string, lease?: string) =>
    etcd.call('/kv/put', {
      key: base64(key),
      value: base64(value),
      ...(lease !== undefined && { lease }),
    });
  const putV2 = async (key: string, form: string): Promise<void> => {
    const { status } = await etcd.callV2('PUT', `/v2/keys/${key}`, form);
    assert.ok(status === 200 || status === 201);
  };

  function follow(opened: OpenedSource, sink = new CollectingSink()): Following {
    const following = new Following(opened, sink);
    running.add(following);
    return following;
  }

  function behaves(title: string, body: (dir: string) => Promise<void>): void {
    it(title, { timeout: 60_000 }, async () => {
      try {
        await body(`d${randomUUID().slice(0, 8)}`);
      } finally {
        for (const following of running) await following.stop();
        running.clear();
      }
    });
  }

  const lifeOf = (following: Following, token: string) => {
    const event = following.sink.events.find((event) => event.token === token);
    assert.ok(event, `${token} was added`);
    return event;
  };
  const assertEndsIn = (expiryTime: unknown, ms: number): void => {
    assert.equal(typeof expiryTime, 'number');
    const left = Number(expiryTime) - Date.now();
    assert.ok(Math.abs(left - ms) < 15_000, `ends in ${left} ms, not in about ${ms} ms`);
  };

  behaves('v3: a URL without a version is decided by /version', async (dir) => {
    await put(`${dir}/a`, 'true');
    const following = follow(open(etcd, `/${dir}/`));
    await following.complete();
    assert.deepEqual([...following.sink.tokens], ['a']);
  });

  behaves('v3: /<dir>/ counts like <dir>/, other keys do not', async (dir) => {
    for (const key of [`${dir}/a`, `/${dir}/b`, `${dir}x`, `x${dir}/c`, dir, `${dir}0`])
      await put(key, 'true');
    const following = follow(open(etcd, `/v3/keys/${dir}`));
    await following.complete();
    assert.deepEqual([...following.sink.tokens].sort(), ['a', 'b']);
    await put(`/${dir}/live`, 'true');
    await following.until((sink) => sink.has('live'), 'a change below /<dir>/');
  });

  behaves('v3: a list of several pages is read whole, at one revision', async (dir) => {
    for (let from = 0; from < 1_250; from += 125)
      await etcd.call('/kv/txn', {
        success: Array.from({ length: 125 }, (_, index) => ({
          request_put: { key: base64(`${dir}/t${from + index}`), value: base64('1') },
        })),
      });
    const following = follow(open(etcd, `/v3/keys/${dir}/`));
    await following.complete();
    assert.equal(following.sink.firstList?.size, 1_250);
    assert.equal(following.sink.events.length, 1_250, 'no page twice');
  });

  behaves('v3: the lease says the lifetime, else the value gives a hint', async (dir) => {
    const { ID } = await etcd.call('/lease/grant', { TTL: '7200' });
    await put(`${dir}/leased`, 'true', String(ID));
    await put(`${dir}/leased-number`, '3600', String(ID));
    await put(`${dir}/number`, '3600');
    await put(`${dir}/true`, 'true');
    const end = Date.now() + 5 * HOUR_MS;
    await put(`${dir}/ours`, JSON.stringify({ expiryTime: end, issuer: 'me' }), String(ID));
    await put(`${dir}/strange`, '{"expiryTime":"soon","issuer":7}');
    const following = follow(open(etcd, `/v3/keys/${dir}/`));
    await following.complete();
    for (const token of ['leased', 'leased-number']) {
      const event = lifeOf(following, token);
      assertEndsIn(event.expiryTime, 2 * HOUR_MS);
      assert.equal(event.ttl, undefined);
    }
    assert.equal(lifeOf(following, 'number').ttl, '3600');
    assert.deepEqual(lifeOf(following, 'true'), { token: 'true' });
    assert.deepEqual(lifeOf(following, 'strange'), { token: 'strange' });
    assert.deepEqual(lifeOf(following, 'ours'), { token: 'ours', issuer: 'me', expiryTime: end });
    const { ID: later } = await etcd.call('/lease/grant', { TTL: '10800' });
    await put(`${dir}/live`, 'true', String(later));
    await following.until((sink) => sink.has('live'), 'the change');
    assertEndsIn(lifeOf(following, 'live').expiryTime, 3 * HOUR_MS);
  });

  behaves('v3: compacted between two watches, the whole list is read again', async (dir) => {
    await put(`${dir}/a`, 'true');
    const log = recordedLog();
    const following = follow(open(etcd, `/v3/keys/${dir}/`, { log, watchQuietMs: 1_500 }));
    await following.complete();
    for (let index = 0; index < 5; index++) await put(`elsewhere/${index}`, 'x');
    await etcd.compact();
    await until(
      () => log.lines.some((line) => line.includes('the history of changes was compacted')),
      'the compaction was noticed',
    );
    await put(`${dir}/b`, 'true');
    await following.until((sink) => sink.has('a', 'b'), 'what came after the compaction');
    assert.ok(!following.ended);
  });

  behaves(
    'v3: revoked and compacted while cut off is delivered by the next follow',
    async (dir) => {
      const { source, close } = open(etcd, `/v3/keys/${dir}/`, { port: relay.port });
      const first = follow({ source, close: () => Promise.resolve() });
      await first.complete();
      await relay.cut();
      await first.rejection();
      await put(`${dir}/missed`, 'true');
      await put(`elsewhere/x`, 'x');
      await etcd.compact();
      await relay.mend();
      const second = follow({ source, close });
      await second.complete();
      assert.ok(second.sink.has('missed'));
    },
  );

  behaves('v2: a cleared history makes it read the whole list again', async (dir) => {
    await putV2(`${dir}/a`, 'value=true');
    const log = recordedLog();
    const following = follow(open(etcd, `/v2/keys/${dir}/`, { log, watchQuietMs: 2_000 }));
    await following.complete();
    await Promise.all(
      Array.from({ length: 10 }, async () => {
        for (let index = 0; index < 110; index++) await putV2('elsewhere', 'value=x');
      }),
    );
    await until(
      () => log.lines.some((line) => line.includes('the history of changes was cleared')),
      'the cleared history was noticed',
    );
    await putV2(`${dir}/b`, 'value=true');
    await following.until((sink) => sink.has('a', 'b'), 'what came after the loss');
    assert.ok(!following.ended);
  });

  behaves('v2: a missing directory is an empty list, and is followed', async (dir) => {
    const following = follow(open(etcd, `/v2/keys/${dir}/`));
    await following.complete();
    assert.equal(following.sink.events.length, 0);
    await putV2(`${dir}/first`, 'value=true&ttl=3600');
    await following.until((sink) => sink.has('first'), 'the first entry');
  });

  behaves('v2: ttl says the lifetime, else the value gives a hint', async (dir) => {
    await putV2(`${dir}/ttl`, 'value=true&ttl=7200');
    await putV2(`${dir}/both`, 'value=60&ttl=7200');
    await putV2(`${dir}/number`, 'value=3600000');
    await putV2(`${dir}/true`, 'value=true');
    const following = follow(open(etcd, `/v2/keys/${dir}/`));
    await following.complete();
    for (const token of ['ttl', 'both']) {
      assertEndsIn(lifeOf(following, token).expiryTime, 2 * HOUR_MS);
      assert.equal(lifeOf(following, token).ttl, undefined);
    }
    assert.equal(lifeOf(following, 'number').ttl, '3600000');
    assert.deepEqual(lifeOf(following, 'true'), { token: 'true' });
    await putV2(`${dir}/live`, 'value=true&ttl=10800');
    await following.until((sink) => sink.has('live'), 'the change');
    assertEndsIn(lifeOf(following, 'live').expiryTime, 3 * HOUR_MS);
  });

  behaves('v2: sub-directories, plain and percent-encoded names all count', async (dir) => {
    await putV2(`${dir}/sub/inner`, 'value=true');
    await putV2(`${dir}/a%252Fb`, 'value=true');
    const following = follow(open(etcd, `/v2/keys/${dir}/`));
    await following.complete();
    assert.deepEqual([...following.sink.tokens].sort(), ['a%2Fb', 'a/b', 'inner', 'sub/inner']);
    await putV2(`${dir}/deep/er/live`, 'value=true');
    await following.until((sink) => sink.has('live', 'deep/er/live'), 'a change deep down');
  });

  for (const api of ['v2', 'v3'] as const) {
    const revoke = (dir: string, token: string) =>
      api === 'v2'
        ? putV2(`${dir}/${token}`, 'value=true')
        : put(`${dir}/${token}`, 'true').then(() => undefined);

    behaves(`${api}: deleting and expiring tell nothing, later changes arrive`, async (dir) => {
      await revoke(dir, 'gone');
      const following = follow(open(etcd, `/${api}/keys/${dir}/`));
      await following.complete();
      const { length } = following.sink.events;
      if (api === 'v2') await etcd.callV2('DELETE', `/v2/keys/${dir}/gone`);
      else await etcd.call('/kv/deleterange', { key: base64(`${dir}/gone`) });
      await revoke(dir, 'later');
      await following.until((sink) => sink.has('later'), 'the next change');
      assert.equal(following.sink.events.length, length + 1);
      assert.deepEqual(following.sink.drops, []);
    });

    behaves(`${api}: a quiet store proves that nothing was missed`, async (dir) => {
      const options = { watchQuietMs: 600, proofIntervalMs: 50, reconcileIntervalMs: 50 };
      const following = follow(open(etcd, `/${api}/keys/${dir}/`, options));
      await following.complete();
      const { proofs } = following.sink;
      await following.until((sink) => sink.proofs > proofs + 2, 'proofs without any event');
      await revoke(dir, 'after-quiet');
      await following.until((sink) => sink.has('after-quiet'), 'a change after quiet rounds');
    });

    behaves(`${api}: reads everything again at the interval`, async (dir) => {
      await revoke(dir, 'a');
      const following = follow(open(etcd, `/${api}/keys/${dir}/`, { reconcileIntervalMs: 100 }));
      await following.until((sink) => sink.completes.length >= 3, 'three whole reads');
      const { sink } = following;
      assert.ok(sink.events.filter(({ token }) => token === 'a').length >= 3);
    });

    behaves(`${api}: a link that is silently dead is noticed`, async (dir) => {
      const opened = open(etcd, `/${api}/keys/${dir}/`, { port: relay.port, watchQuietMs: 500 });
      const sink = new CollectingSink();
      try {
        const again = () => follow({ source: opened.source, close: () => Promise.resolve() }, sink);
        let following = again();
        await following.complete();
        relay.freeze();
        await revoke(dir, 'unheard');
        await until(
          () => {
            // A new follow may meet a connection that is dead as well: each attempt finds one at most.
            if (following.ended) following = again();
            return sink.has('unheard');
          },
          'what was revoked behind the dead link',
          40_000,
        );
      } finally {
        await opened.close();
      }
    });

    behaves(`${api}: the next endpoint is tried after a failure`, async (dir) => {
      await revoke(dir, 'a');
      const dead = await freePort();
      const { source, close } = open(etcd, '', {
        urls: `http://127.0.0.1:${dead}, ${etcd.url}/${api}/keys/${dir}/`,
      });
      const first = follow({ source, close: () => Promise.resolve() });
      assert.match((await first.rejection()).message, new RegExp(`127\\.0\\.0\\.1:${dead}`));
      const second = follow({ source, close });
      await second.complete();
      assert.ok(second.sink.has('a'));
    });

    behaves(`${api}: credentials do no harm where etcd has no users`, async (dir) => {
      await revoke(dir, 'a');
      const following = follow(open(etcd, `/${api}/keys/${dir}/`, { credentials: USER }));
      await following.complete();
      assert.ok(following.sink.has('a'));
    });

    behaves(`${api}: what the publisher writes expires by itself, a minute late`, async (dir) => {
      const http = createHttpClient({});
      const publisher = createEtcdPublisher({
        name: 'etcd',
        urls: `${etcd.url}/${api}/keys/${dir}/`,
        http,
      });
      try {
        const end = Date.now() + HOUR_MS;
        await publisher.publish(outgoing('t', end));
        await publisher.publish(outgoing('t', end));
        await publisher.publish(outgoing('over', Date.now() - HOUR_MS));
        const following = follow(open(etcd, `/${api}/keys/${dir}/`));
        await following.complete();
        const { issuer, expiryTime } = lifeOf(following, 't');
        assert.equal(issuer, 'https://sts.example');
        assert.ok(Number(expiryTime) >= end);
        assert.ok(following.sink.has('over'), 'an ended token is written too: clocks differ');
        const left = await secondsLeft(api, dir, 't');
        assert.ok(left > 3_600 && left <= 3_661, `${left} seconds left`);
      } finally {
        await publisher.close();
        await http.close();
      }
    });
  }

  async function secondsLeft(api: 'v2' | 'v3', dir: string, key: string): Promise<number> {
    if (api === 'v2') {
      const { body } = await etcd.callV2('GET', `/v2/keys/${dir}/${key}`);
      return (JSON.parse(body) as { node: { ttl: number } }).node.ttl;
    }
    const { kvs } = (await etcd.call('/kv/range', { key: base64(`${dir}/${key}`) })) as {
      kvs: { lease: string }[];
    };
    const { TTL } = await etcd.call('/lease/timetolive', { ID: kvs[0]?.lease });
    return Number(TTL);
  }
});

describe('etcd that asks for client certificates', { timeout: 60_000 }, () => {
  it('is followed with one, and not without', async () => {
    const etcd = await startEtcd({ v2: true, clientCertificates: true });
    const running: Following[] = [];
    try {
      for (const api of ['v2', 'v3'] as const) {
        const urls = `${etcd.url}/${api}/keys/jti/`;
        const ca = [etcd.ca ?? ''];
        const bare = createHttpClient({ ca });
        const known = createHttpClient({ ca, ...etcd.client });
        await createEtcdPublisher({ name: 'etcd', urls, http: known }).publish(outgoing('dead'));
        const options = { name: 'etcd', urls, log: recordedLog() };
        const refused = new Following({
          source: createEtcdSource({ ...options, http: bare }),
          close: () => bare.close(),
        });
        running.push(refused);
        await refused.rejection();
        assert.equal(refused.sink.completes.length, 0);
        const following = new Following({
          source: createEtcdSource({ ...options, http: known }),
          close: () => known.close(),
        });
        running.push(following);
        await following.complete();
        assert.ok(following.sink.has('dead'));
      }
    } finally {
      for (const following of running) await following.stop();
      await etcd.close();
    }
  });
});

describe('etcd that is restarted', { timeout: 120_000 }, () => {
  for (const api of ['v2', 'v3'] as const)
    it(`${api}: after a crash the same adapter goes on with the whole list`, async () => {
      const etcd = await startEtcd({ v2: true, auth: USER });
      const { source, close } = open(etcd, `/${api}/keys/jti/`, { credentials: USER });
      const http = createHttpClient({});
      const publisher = createEtcdPublisher({
        name: 'etcd',
        urls: `${etcd.url}/${api}/keys/jti/`,
        credentials: USER,
        http,
      });
      const sink = new CollectingSink();
      const first = new Following({ source, close: () => Promise.resolve() }, sink);
      try {
        await first.complete();
        await etcd.stop('SIGKILL');
        await first.rejection();
        await assert.rejects(publisher.publish(outgoing('too-early')));
        await etcd.start();
        // The log-in of before is gone with the server's memory: the publisher logs in again.
        await publisher.publish(outgoing('after-restart'));
        const second = new Following({ source, close }, sink);
        try {
          await second.until(({ completes }) => completes.length > 1, 'the list again');
          assert.ok(sink.has('after-restart'));
          await publisher.publish(outgoing('live'));
          await second.until((seen) => seen.has('live'), 'a change');
        } finally {
          await second.stop();
        }
      } finally {
        await first.stop();
        await http.close();
        await etcd.close();
      }
    });
});
