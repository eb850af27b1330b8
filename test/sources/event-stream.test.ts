import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import type { Log } from '../../src/log.ts';
import { systemClock } from '../../src/revocation/clock.ts';
import { Follower } from '../../src/revocation/follow.ts';
import { createHttpClient } from '../../src/net/http-client.ts';
import { StreamReader } from '../../src/sources/event-stream-reader.ts';
import { createEventStreamSource } from '../../src/sources/event-stream.ts';
import { startHttpServer } from '../support/http-server.ts';
import { listAndReader, POLICY } from '../revocation/stage.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { startTcpRelay } from '../support/tcp-relay.ts';
import { until } from '../support/until.ts';
import { CollectingSink, Following, testSource, type OpenedSource } from './conformance.ts';
import { startEventStreamServer, type EventStreamServer } from './event-stream-server.ts';

const USER = { username: 'gateway', password: 'stream-pass-77e0' };
const WRONG = { username: 'gateway', password: 'stream-wrong-02bb' };
const AUTHORIZATION = `Basic ${Buffer.from(`${USER.username}:${USER.password}`).toString('base64')}`;
const ISSUER = 'https://localhost:9443/oauth2/token';

function open(url: string, credentials = USER, log: Log = recordedLog()): OpenedSource {
  const http = createHttpClient({});
  const source = createEventStreamSource({
    name: 'stream',
    url,
    credentials,
    http,
    log,
    idleTimeoutMs: 1_000,
  });
  return { source, close: () => http.close() };
}

testSource('event-stream', 'list', async () => {
  const server = await startEventStreamServer({ authorization: AUTHORIZATION, heartbeatMs: 100 });
  const relay = await startTcpRelay(server.port);
  const url = `http://127.0.0.1:${relay.port}/events`;
  return {
    portion: 100,
    open: (log) => open(url, USER, log),
    openRefused: (log) => open(url, WRONG, log),
    revoke: (token) => {
      server.revoke({ token, issuer: ISSUER, expiryTime: Date.now() + 3_600_000 });
      return Promise.resolve();
    },
    revokeMalformed: () => {
      server.revoke({ token: 12, issuer: ISSUER });
      return Promise.resolve();
    },
    breakLink: () => relay.cut(),
    mendLink: () => relay.mend(),
    secrets: [USER.password, WRONG.password, AUTHORIZATION],
    async close() {
      await relay.close();
      await server.close();
    },
  };
});

describe('event stream', { timeout: 60_000 }, () => {
  let server: EventStreamServer;
  let opened: OpenedSource;
  let sink: CollectingSink;
  const running = new Set<Following>();

  beforeEach(async () => {
    server = await startEventStreamServer({ authorization: AUTHORIZATION, heartbeatMs: 100 });
    opened = open(server.url);
    sink = new CollectingSink();
  });
  afterEach(async () => {
    for (const following of running) await following.stop();
    running.clear();
    await opened.close();
    await server.close();
  });

  function follow(): Following {
    const following = new Following(
      { source: opened.source, close: () => Promise.resolve() },
      sink,
    );
    running.add(following);
    return following;
  }

  it('carries digests, issuers and ends as they are', async () => {
    const digest = createHash('sha256').update('opaque').digest('base64url');
    server.revoke({ digest, issuer: ISSUER, expiryTime: 1_900_000_000_000 });
    server.revoke({ token: 'jti-1', expiryTime: 1_900_000_000_001 });
    await follow().complete();
    assert.deepEqual(sink.events, [
      { digest, issuer: ISSUER, expiryTime: 1_900_000_000_000 },
      { token: 'jti-1', expiryTime: 1_900_000_000_001 },
    ]);
  });

  it('takes a snapshot in which nothing can be read for a failed one', async () => {
    server.revoke({ jti: 'a' });
    server.revoke({ token: 17 });
    const first = follow();
    assert.match((await first.rejection()).message, /none of the 2 revocations/);
    assert.deepEqual(sink.completes, []);
    server.revoke({ token: 'b' });
    await follow().complete();
    assert.deepEqual(server.asked, [undefined, undefined]);
  });

  it('after a break asks only for what is newer, when the gateway follows it', async () => {
    const { list } = listAndReader(systemClock, 60_000);
    const follower = new Follower(opened.source, list, {
      policy: POLICY,
      log: recordedLog(),
      firstPauseMs: 10,
    });
    follower.start();
    try {
      server.revoke({ token: 'a' });
      await until(
        () => follower.status.standingSince !== undefined && list.size > 0,
        'the first connection',
      );
      server.disconnect();
      await until(() => server.asked.length === 2, 'the second connection');
      server.revoke({ token: 'b' });
      await until(
        () => follower.status.standingSince !== undefined && follower.status.added === 2,
        'what is newer',
      );
      assert.deepEqual(server.asked, [undefined, 'g-1-1']);
    } finally {
      await follower.close();
    }
  });

  it('after a break asks only for what is newer', async () => {
    server.revoke({ token: 'a' });
    const first = follow();
    await first.complete();
    server.revoke({ token: 'b' });
    await first.until((seen) => seen.has('b'), 'a change');
    server.disconnect();
    await first.rejection();
    server.revoke({ token: 'c' });
    await follow().until(({ completes }) => completes.length === 2, 'complete() again');
    assert.deepEqual(server.asked, [undefined, 'g-1-2']);
    assert.deepEqual(
      sink.events.map(({ token }) => token),
      ['a', 'b', 'c'],
    );
  });

  it('takes a whole snapshot where the server kept too little, and from another store', async () => {
    server.revoke({ token: 'a' });
    const first = follow();
    await first.complete();
    server.disconnect();
    await first.rejection();
    server.revoke({ token: 'b' });
    server.revoke({ token: 'c' });
    server.forgetUpTo(2);
    const second = follow();
    await second.until(({ completes }) => completes.length === 2, 'a snapshot');
    assert.equal(server.asked[1], 'g-1-1');
    assert.ok(sink.has('a', 'b', 'c'));
    server.disconnect();
    await second.rejection();
    server.replaceStore();
    server.revoke({ token: 'd' });
    await follow().until(({ completes }) => completes.length === 3, 'a snapshot');
    assert.equal(server.asked[2], 'g-1-3');
    assert.ok(sink.has('d'));
  });

  it('a heartbeat that names a newer event is a gap, which the next connection closes', async () => {
    const first = follow();
    await first.complete();
    server.revoke({ token: 'a' });
    await first.until((seen) => seen.has('a'), 'a change');
    server.loseNext();
    server.revoke({ token: 'lost' });
    assert.match((await first.rejection()).message, /missed/);
    assert.ok(!sink.has('lost'));
    await follow().until((seen) => seen.has('lost'), 'what was missed');
    assert.deepEqual(server.asked, [undefined, 'g-1-1']);
  });

  it('a heartbeat of another store is noticed, and the next connection takes a snapshot', async () => {
    server.revoke({ token: 'a' });
    const first = follow();
    await first.complete();
    server.replaceStore();
    assert.match((await first.rejection()).message, /another store/);
    await follow().until(({ completes }) => completes.length === 2, 'a snapshot');
    assert.deepEqual(server.asked, [undefined, undefined]);
  });

  it('heartbeats prove that nothing was missed', async () => {
    const following = follow();
    await following.complete();
    await following.until(({ proofs }) => proofs > 2, 'proofs without any event');
  });

  it('silence is a broken link', async () => {
    const silent = await startHttpServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('event: snapshot-begin\ndata: {"generation":"g"}\n\n');
    });
    const other = open(silent.url);
    const following = new Following(other);
    try {
      assert.match((await following.rejection()).message, /nothing came/);
      assert.equal(following.sink.completes.length, 0);
    } finally {
      await following.stop();
      await silent.close();
    }
  });

  it('three missing heartbeats are a broken link, where the server says how often it beats', async () => {
    const asked: (string | undefined)[] = [];
    const dead = await startHttpServer((request, response) => {
      asked.push(request.url);
      response.writeHead(200, {
        'content-type': 'text/event-stream',
        'heartbeat-interval': '250',
        'stream-time': '1000',
      });
      response.write('event: snapshot-begin\ndata: {"generation":"g"}\n\n');
      response.write('event: snapshot-end\nid: g-0\ndata: {"count":0}\n\n');
      response.write('event: heartbeat\ndata: {"newest":"g-0","at":1001}\n\n');
      // Bytes are no life.
      const noise = setInterval(() => response.write(': still here\n'), 100);
      response.on('close', () => clearInterval(noise));
    });
    const http = createHttpClient({});
    const source = createEventStreamSource({
      name: 'stream',
      url: `${dead.url}/events?a=b`,
      credentials: USER,
      http,
      log: recordedLog(),
      proofIntervalMs: 250.7,
    });
    const following = new Following({ source, close: () => http.close() });
    try {
      assert.match((await following.rejection()).message, /nothing came for 1000 ms/);
      assert.equal(following.sink.completes.length, 1);
      assert.equal(following.sink.proofs, 2);
      assert.deepEqual(asked, ['/events?a=b&heartbeat=250']);
    } finally {
      await following.stop();
      await dead.close();
    }
  });

  it('asks for a whole snapshot when a new read is wanted', async () => {
    server.revoke({ token: 'a' });
    const following = follow();
    await following.complete();
    opened.source.reread?.();
    await following.until(({ completes }) => completes.length === 2, 'a second snapshot');
    assert.deepEqual(server.asked, [undefined, undefined]);
    server.revoke({ token: 'b' });
    await following.until((seen) => seen.has('b'), 'a change after it');
  });

  it('an event beyond the bound breaks the link instead of filling the memory', async () => {
    const following = follow();
    await following.complete();
    server.write(`data: ${'x'.repeat(200_000)}`);
    assert.match((await following.rejection()).message, /too large/);
  });

  it('answers that are no event stream are errors', async () => {
    const answers: [number, string][] = [
      [302, 'text/event-stream'],
      [401, 'text/event-stream'],
      [500, 'text/event-stream'],
      [200, 'text/html'],
      [204, 'text/event-stream'],
    ];
    for (const [status, type] of answers) {
      const wrong = await startHttpServer((_request, response) => {
        response.writeHead(status, { 'content-type': type, location: server.url }).end();
      });
      const following = new Following(open(wrong.url));
      try {
        assert.ok((await following.rejection()).message.length > 10);
        assert.equal(following.sink.completes.length, 0);
      } finally {
        await following.stop();
        await wrong.close();
      }
    }
  });

  it('is refused where it would be read in the clear, or by anybody', () => {
    const http = createHttpClient({});
    const create = (url: string, extra: object = { credentials: USER }) =>
      createEventStreamSource({ name: 'stream', url, http, log: recordedLog(), ...extra });
    for (const url of ['http://sts.example/events', 'http://10.0.0.1/', 'http://127.0.0.1.evil/'])
      assert.throws(() => create(url), { code: 'ERR_SOURCE_ADDRESS' });
    for (const url of ['http://localhost:1/', 'http://127.0.0.1:1/', 'http://[::1]:1/'])
      assert.equal(create(url).kind, 'list');
    assert.equal(create('https://sts.example/events').kind, 'list');
    assert.throws(() => create('https://sts.example/events', {}), { code: 'ERR_SOURCE_ADDRESS' });
    assert.equal(create('https://u:p@sts.example/events', {}).kind, 'list');
    assert.equal(create('https://sts.example/events', { hasClientCertificate: true }).kind, 'list');
  });
});

describe('reader of an event stream', () => {
  const begin = { event: 'snapshot-begin', data: '{"generation":"g"}' };
  const revoked = (seq: number) => ({
    event: 'revoked',
    id: `g-${seq}`,
    data: `{"token":"t${seq}"}`,
  });
  const end = (count: number, seq: number) => ({
    event: 'snapshot-end',
    id: `g-${seq}`,
    data: `{"count":${count}}`,
  });
  const from = { id: 'g-5', generation: 'g', seq: 5 };

  function take(
    events: readonly { event: string; data: string; id?: string }[],
    start?: typeof from,
    maxEntries?: number,
  ) {
    const sink = new CollectingSink();
    const reader = new StreamReader(sink, start, { askedAt: performance.now(), maxEntries });
    let error: unknown;
    try {
      for (const event of events) reader.take(event);
    } catch (caught) {
      error = caught;
    }
    return { sink, reader, failed: error !== undefined };
  }

  it('a snapshot with an item too few or too many is not complete', () => {
    for (const count of [1, 3]) {
      const { sink, reader, failed } = take([begin, revoked(1), revoked(2), end(count, 2)]);
      assert.ok(failed);
      assert.equal(sink.completes.length, 0);
      assert.equal(reader.position, undefined);
    }
  });

  it('refuses events out of place', () => {
    const replayEnd = { event: 'replay-end', data: '{}' };
    const wrong = [
      [end(0, 0)],
      [revoked(1)],
      [replayEnd],
      [begin, begin],
      [begin, replayEnd],
      [begin, { event: 'snapshot-end', id: 'other-1', data: '{"count":0}' }],
      [begin, { event: 'snapshot-end', data: '{"count":0}' }],
      [begin, end(0, 0), begin],
      [begin, end(0, 0), { ...revoked(1), id: 'other-1' }],
      [{ event: 'snapshot-begin', data: '{}' }],
      [{ event: 'snapshot-begin', data: 'no JSON' }],
    ];
    for (const events of wrong) assert.ok(take(events).failed, JSON.stringify(events));
  });

  it('a snapshot in answer to a replay request is taken, and a break within it means another one', () => {
    const { reader, failed } = take([begin, revoked(9)], from);
    assert.ok(!failed);
    assert.equal(reader.position, undefined);
  });

  it('a replay moves on item by item', () => {
    const { reader, sink } = take([revoked(6), revoked(7)], from);
    assert.equal(reader.position?.id, 'g-7');
    assert.equal(sink.completes.length, 0);
  });

  it('a heartbeat proves the moment at which it was sent, however late it comes', () => {
    const beat = (at?: number) => ({
      event: 'heartbeat',
      data: JSON.stringify({ newest: 'g-0', at }),
    });
    const askedAt = performance.now() - 60_000;
    const sink = new CollectingSink();
    const reader = new StreamReader(sink, undefined, { askedAt, serverMs: 5_000 });
    for (const event of [begin, end(0, 0), beat(5_000), beat(7_500), beat(4_000)])
      reader.take(event);
    assert.deepEqual(sink.provedAt, [askedAt, askedAt, askedAt + 2_500, askedAt]);
    reader.take(beat(1e15));
    assert.ok((sink.provedAt.at(-1) ?? 0) <= performance.now());

    // A token service that does not say when it sends.
    const older = new CollectingSink();
    const without = new StreamReader(older, undefined, { askedAt });
    const before = performance.now();
    for (const event of [begin, end(0, 0), beat()]) without.take(event);
    assert.ok((older.provedAt.at(-1) ?? 0) >= before);
  });

  it('a snapshot with more than it may have is not read', () => {
    const { sink, failed } = take([begin, revoked(1), revoked(2), end(2, 2)], undefined, 1);
    assert.ok(failed);
    assert.deepEqual(sink.completes, []);
    assert.ok(!take([begin, revoked(1), end(1, 1), revoked(2)], undefined, 1).failed);
  });

  it('never fails for another reason than Error, whatever comes', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            event: fc.constantFrom(
              'snapshot-begin',
              'snapshot-end',
              'revoked',
              'replay-end',
              'heartbeat',
              'else',
            ),
            data: fc.oneof(
              fc.json(),
              fc.string(),
              fc.constantFrom(begin.data, '{"count":0}', '{"newest":"g-0"}'),
            ),
            id: fc.oneof(fc.string(), fc.constantFrom('g-0', 'g-1', 'g-99999999999999999')),
          }),
        ),
        (events) => {
          const sink = new CollectingSink();
          const reader = new StreamReader(sink, undefined);
          try {
            for (const event of events) reader.take(event);
          } catch (error) {
            assert.ok(error instanceof Error);
            assert.notEqual(error.constructor, TypeError);
          }
        },
      ),
    );
  });
});
