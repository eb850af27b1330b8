import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync } from 'node:fs';
import https from 'node:https';
import type { IncomingMessage } from 'node:http';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { digestOf } from '../../src/revocation/token-key.ts';
import { until } from '../support/until.ts';
import {
  ADMIN,
  ALICE,
  basic,
  BOB,
  certificates,
  OPERATOR,
  READER,
  type Running,
  startService,
} from './fixture.ts';

const PATH = '/internal/data/v1/revocation-events';

interface Following {
  readonly events: EventSourceMessage[];
  readonly response: IncomingMessage;
  named(name: string): EventSourceMessage[];
  ended: boolean;
}

interface FollowOptions {
  readonly lastEventId?: string;
  readonly authorization?: string | undefined;
  readonly tls?: https.RequestOptions;
  readonly paused?: boolean;
  readonly query?: string;
}

async function open(
  t: TestContext,
  { address }: Running,
  options: FollowOptions,
): Promise<IncomingMessage> {
  const { authority } = await certificates();
  const authorization = 'authorization' in options ? options.authorization : READER;
  const request = https.get(address.url + PATH + (options.query ?? ''), {
    ca: authority.cert,
    agent: false,
    ...options.tls,
    headers: {
      Accept: 'text/event-stream',
      ...(authorization === undefined ? {} : { Authorization: authorization }),
      ...(options.lastEventId === undefined ? {} : { 'Last-Event-ID': options.lastEventId }),
    },
  });
  t.after(() => request.destroy());
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  request.on('error', () => undefined);
  return response;
}

async function follow(
  t: TestContext,
  running: Running,
  options: FollowOptions = {},
): Promise<Following> {
  const response = await open(t, running, options);
  assert.equal(response.statusCode, 200);
  assert.equal(response.headers['content-type'], 'text/event-stream');
  assert.equal(response.headers['cache-control'], 'no-store');
  const events: EventSourceMessage[] = [];
  const following: Following = {
    events,
    response,
    named: (name) => events.filter(({ event }) => event === name),
    ended: false,
  };
  const parser = createParser({ onEvent: (event) => events.push(event) });
  response.setEncoding('utf8');
  if (options.paused !== true) response.on('data', (chunk: string) => parser.feed(chunk));
  response.on('close', () => {
    following.ended = true;
  });
  response.on('error', () => undefined);
  return following;
}

/** In the order given: ids follow the order of the commits. */
async function revokeInOrder({ post }: Running, names: readonly string[]): Promise<void> {
  for (const token of names) await post('/oauth2/revoke', OPERATOR, { token });
}

/** Fifty at a time, in no particular order. */
async function revokeMany(running: Running, names: readonly string[]): Promise<void> {
  for (let i = 0; i < names.length; i += 50) {
    await Promise.all(names.slice(i, i + 50).map((token) => revokeInOrder(running, [token])));
  }
}

const tokensIn = (events: readonly EventSourceMessage[]): string[] =>
  events
    .filter(({ event }) => event === 'revoked')
    .map(({ data }) => (JSON.parse(data) as { token: string }).token);

test('a reader gets a snapshot, then every revocation as it is committed', async (t) => {
  const running = await startService(t);
  const empty = await follow(t, running);
  await until(() => empty.events.length === 2, 'an empty snapshot');
  const { generation } = JSON.parse(empty.events[0]?.data ?? '') as { generation: string };
  assert.match(generation, /^[0-9a-f]{32}$/);
  assert.deepEqual(
    empty.events.map(({ event, data, id }) => [event, data, id]),
    [
      ['snapshot-begin', JSON.stringify({ generation }), undefined],
      ['snapshot-end', '{"count":0}', `${generation}-0`],
    ],
  );

  const jwt = await running.token(ALICE);
  const claims = JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString()) as {
    jti: string;
    exp: number;
  };
  const opaque = await running.token(BOB);
  await running.post('/oauth2/revoke', ALICE, { token: jwt });
  await running.post('/oauth2/revoke', BOB, { token: opaque });
  const { issuer } = running.address;
  const expected = [
    [{ token: claims.jti, issuer, expiryTime: claims.exp * 1000 }, `${generation}-1`],
    [{ digest: digestOf(opaque), issuer }, `${generation}-2`],
  ];
  const parsed = (events: EventSourceMessage[]) =>
    events.map(({ data, id }) => {
      const { expiryTime, ...rest } = JSON.parse(data) as Record<string, unknown>;
      return ['token' in rest ? { ...rest, expiryTime } : rest, id];
    });
  await until(() => empty.named('revoked').length === 2, 'two live events');
  assert.deepEqual(parsed(empty.named('revoked')), expected);

  const late = await follow(t, running, { authorization: ADMIN });
  await until(() => late.named('snapshot-end').length === 1, 'a snapshot');
  assert.deepEqual(parsed(late.named('revoked')), expected);
  assert.deepEqual(
    late.events.map(({ event }) => event),
    ['snapshot-begin', 'revoked', 'revoked', 'snapshot-end'],
  );
  assert.equal(late.events.at(-1)?.data, '{"count":2}');
  assert.equal(late.events.at(-1)?.id, `${generation}-2`);
});

test('a reader that comes back with its position gets only what is newer', async (t) => {
  const running = await startService(t);
  await revokeInOrder(running, ['a', 'b']);
  const before = await follow(t, running);
  await until(() => before.named('snapshot-end').length === 1, 'a snapshot');
  const position = before.named('revoked')[0]?.id ?? '';
  before.response.destroy();
  await revokeInOrder(running, ['c']);
  const back = await follow(t, running, { lastEventId: position });
  await until(() => back.named('replay-end').length === 1, 'the replay');
  assert.deepEqual(
    back.events.map(({ event }) => event),
    ['revoked', 'revoked', 'replay-end'],
  );
  assert.deepEqual(tokensIn(back.events), ['b', 'c']);
  await revokeInOrder(running, ['d']);
  await until(() => back.named('revoked').length === 3, 'the live event');
  assert.equal(back.events.at(-1)?.id, `${position.split('-')[0]}-4`);
});

test('a position that proves nothing here is answered with a whole snapshot', async (t) => {
  let now = Date.now();
  const running = await startService(t, { now: () => now, longestTokenLifeSeconds: 7200 });
  await revokeInOrder(running, ['old-1', 'old-2']);
  now += 3_600_000;
  await revokeInOrder(running, ['new-1', 'new-2']);
  const generation = (await follow(t, running).then(async (reader) => {
    await until(() => reader.named('snapshot-end').length === 1, 'a snapshot');
    return reader.events.at(-1)?.id;
  }))!.split('-')[0];
  now += 4_300_000; // The first two are dead and forgotten now.
  await running.service.upkeep();
  const unusable = [
    `${'0'.repeat(32)}-4`,
    `${generation}-5`,
    `${generation}-1`,
    `${generation}-`,
    `${generation}--1`,
    `${generation}-0x4`,
    `${generation}-99999999999999999999`,
    'junk',
    '',
  ];
  for (const lastEventId of unusable) {
    const reader = await follow(t, running, { lastEventId });
    await until(() => reader.named('snapshot-end').length === 1, `a snapshot for ${lastEventId}`);
    assert.equal(reader.events[0]?.event, 'snapshot-begin');
    assert.deepEqual(tokensIn(reader.events).toSorted(), ['new-1', 'new-2']);
    reader.response.destroy();
  }
  const usable = await follow(t, running, { lastEventId: `${generation}-3` });
  await until(() => usable.named('replay-end').length === 1, 'a replay');
  assert.equal(usable.named('revoked').length, 1);
});

test('every start is a new generation, so a state that was put back from a copy misleads nobody', async (t) => {
  const first = await startService(t);
  await revokeMany(first, ['a']);
  await first.close();
  const copy = `${first.stateFile}.copy`;
  copyFileSync(first.stateFile, copy);

  const second = await startService(t, { stateFile: first.stateFile });
  await revokeMany(second, ['b']);
  const reader = await follow(t, second);
  await until(() => reader.named('snapshot-end').length === 1, 'a snapshot');
  const lastEventId = reader.named('snapshot-end')[0]?.id ?? '';
  assert.match(lastEventId, /-2$/);
  await second.close();
  await until(() => reader.ended, 'the stream ends with the service');

  const third = await startService(t, { stateFile: copy });
  await revokeMany(third, ['c']);
  const back = await follow(t, third, { lastEventId });
  await until(() => back.named('snapshot-end').length === 1, 'a snapshot');
  assert.deepEqual(tokensIn(back.events).toSorted(), ['a', 'c']);
  assert.match(back.named('snapshot-end')[0]?.id ?? '', /-2$/, 'the number alone says nothing');
});

test('a revocation that means every issuer names none', async (t) => {
  const running = await startService(t);
  await revokeInOrder(running, ['unknown-jti', 'pco_unknown']);
  const reader = await follow(t, running);
  await until(() => reader.named('snapshot-end').length === 1, 'a snapshot');
  const [jti, opaque] = reader.named('revoked').map(({ data }) => JSON.parse(data) as object);
  assert.deepEqual({ ...jti, expiryTime: 0 }, { token: 'unknown-jti', expiryTime: 0 });
  assert.deepEqual(
    { ...opaque, expiryTime: 0 },
    { digest: digestOf('pco_unknown'), expiryTime: 0 },
  );
});

test('a clock that jumps ahead takes no revocation off the stream', async (t) => {
  const now = Date.now();
  let wall = now;
  const clock = { latest: () => Math.max(wall, now), earliest: () => Math.min(wall, now) };
  const running = await startService(t, { now: () => wall, clock });
  await revokeInOrder(running, ['a']);
  wall += 90 * 86_400_000;
  await running.service.upkeep();
  const reader = await follow(t, running);
  await until(() => reader.named('snapshot-end').length === 1, 'a snapshot');
  assert.deepEqual(tokensIn(reader.events), ['a']);
});

test('heartbeats tell the newest position to readers that have it', async (t) => {
  const running = await startService(t, { heartbeatMs: 20 });
  await revokeInOrder(running, ['a']);
  const reader = await follow(t, running);
  await until(() => reader.named('heartbeat').length >= 2, 'heartbeats');
  const end = reader.named('snapshot-end')[0]?.id;
  assert.ok(end?.endsWith('-1'));
  const beats = reader
    .named('heartbeat')
    .map(({ data }) => JSON.parse(data) as { newest: string; at: number });
  assert.equal(beats[0]?.newest, end);
  const began = Number(reader.response.headers['stream-time']);
  const [first, second] = beats;
  assert.ok(first !== undefined && second !== undefined);
  assert.ok(first.at + 1 >= began && second.at > first.at, 'one clock for both');
  assert.equal(reader.named('heartbeat')[0]?.id, undefined, 'a heartbeat moves no position');
  await revokeInOrder(running, ['b']);
  await until(
    () => reader.named('heartbeat').some(({ data }) => data.includes('-2"')),
    'a later heartbeat',
  );
  const order = reader.events.map(({ event, data }) => `${event} ${data}`);
  assert.ok(
    order.findIndex((line) => line.startsWith('revoked') && line.includes('"b"')) <
      order.findIndex((line) => line.startsWith('heartbeat') && line.includes('-2"')),
    'the revocation comes before the heartbeat that covers it',
  );
});

test('a reader chooses how often it hears a heartbeat, within bounds', async (t) => {
  const running = await startService(t, { heartbeatMs: 7000 });
  const granted = async (query: string): Promise<unknown> => {
    const { response } = await follow(t, running, { query });
    response.destroy();
    return response.headers['heartbeat-interval'];
  };
  for (const [query, interval] of [
    ['', '7000'],
    ['?heartbeat=1200', '1200'],
    ['?heartbeat=1', '250'],
    ['?heartbeat=999999', '30000'],
    ['?heartbeat=-5', '7000'],
    ['?heartbeat=', '7000'],
    ['?heartbeat=1e3', '7000'],
  ])
    assert.equal(await granted(query ?? ''), interval, query);
  const quick = await follow(t, running, { query: '?heartbeat=250' });
  await until(() => quick.named('heartbeat').length >= 2, 'heartbeats');
});

test('the stream is for admin and readers only, by password or by a named client certificate', async (t) => {
  const { authority, reader, stranger } = await certificates();
  const running = await startService(t, { readerCa: [authority.cert] });
  const status = async (options: FollowOptions): Promise<number | undefined> => {
    const response = await open(t, running, options);
    response.destroy();
    return response.statusCode;
  };
  for (const authorization of [undefined, ALICE, basic('gateway', 'x'), 'Bearer x']) {
    const response = await open(t, running, { authorization });
    assert.equal(response.statusCode, 401);
    assert.match(String(response.headers['www-authenticate']), /^Basic /);
    response.destroy();
  }
  const anonymous = { authorization: undefined };
  assert.equal(await status({ ...anonymous, tls: { key: reader.key, cert: reader.cert } }), 200);
  assert.equal(
    await status({ ...anonymous, tls: { key: stranger.key, cert: stranger.cert } }),
    401,
  );
  // The same name, signed by someone else.
  const now = Date.now();
  const { issueCertificate } = await import('../../src/tls/certificate.ts');
  const forged = await issueCertificate({
    commonName: 'gateway-1',
    purpose: 'client',
    notBefore: new Date(now - 1000),
    notAfter: new Date(now + 60_000),
  });
  assert.equal(await status({ ...anonymous, tls: { key: forged.key, cert: forged.cert } }), 401);
});

test('readers beyond the bound get 503, and a place that becomes free is given again', async (t) => {
  const running = await startService(t, { maxEventReaders: 1 });
  const first = await follow(t, running);
  const refused = await open(t, running, {});
  assert.equal(refused.statusCode, 503);
  assert.ok(refused.headers['retry-after']);
  refused.destroy();
  first.response.destroy();
  await until(async () => {
    const response = await open(t, running, {});
    response.destroy();
    return response.statusCode === 200;
  }, 'the place is given again');
});

test('a reader that takes nothing is cut off; the others and /revoke do not notice', async (t) => {
  const stateFile = (
    await (async () => {
      const running = await startService(t);
      await revokeInOrder(running, ['seed']);
      await running.close();
      return running;
    })()
  ).stateFile;
  // Enough for every buffer between the two ends to fill.
  const sql = new DatabaseSync(stateFile);
  sql.exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
    INSERT INTO revocations (jti, issuer, by_text, ends_at_ms)
    SELECT 'jti-' || i || '-' || hex(randomblob(64)), 'https://issuer.test', 0, ${Date.now() + 3_600_000} FROM n`);
  sql.close();
  const running = await startService(t, { stateFile, slowReaderMs: 200 });
  const slow = await follow(t, running, { paused: true });
  const quick = await follow(t, running);
  await until(() => quick.named('snapshot-end').length === 1, 'the quick reader’s snapshot');
  assert.equal(quick.events.at(-1)?.data, '{"count":60001}');
  await until(
    () => running.log.lines.some((line) => line.includes('too slow')),
    'the slow reader is cut off',
  );
  await revokeInOrder(running, ['after']);
  await until(() => tokensIn(quick.events.slice(-1)).includes('after'), 'the live event');
  assert.ok(!quick.ended);
  slow.response.resume();
  await until(() => slow.ended, 'the slow reader’s connection is gone');
});

test('nothing is lost or doubled between snapshot and live events', async (t) => {
  const running = await startService(t);
  const names = Array.from({ length: 600 }, (_, i) => `jti-${i}`);
  const revoking = revokeMany(running, names);
  await until(async () => {
    const answer = await running.request('/internal/data/v1/revokedjwt', {
      headers: { Authorization: ADMIN },
    });
    return ((await answer.json()) as unknown[]).length > 100;
  }, 'some are revoked');
  const reader = await follow(t, running);
  await revoking;
  await until(() => reader.named('revoked').length >= names.length, 'all events');
  assert.deepEqual(tokensIn(reader.events).toSorted(), names.toSorted());
  const ids = reader.named('revoked').map(({ id }) => Number(id?.split('-')[1]));
  assert.deepEqual(
    ids,
    ids.toSorted((a, b) => a - b),
  );
});
