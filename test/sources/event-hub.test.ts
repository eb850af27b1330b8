import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Log } from '../../src/log.ts';
import { createHttpClient } from '../../src/net/http-client.ts';
import { createEventHubSource } from '../../src/sources/event-hub.ts';
import { startHttpServer } from '../support/http-server.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { startTcpRelay } from '../support/tcp-relay.ts';
import { Following, testSource } from './conformance.ts';

const PASSWORD = 'pa:ss-Wörd-7d1c';
const WRONG = 'wrong-98c2';

/** API Manager's event hub as 3.2 answers, behind a link that can be cut. */
async function startEventHub() {
  const entries: unknown[] = [];
  const expected = `Basic ${Buffer.from(`admin:${PASSWORD}`).toString('base64')}`;
  const server = await startHttpServer((request, response) => {
    const known = request.url === '/internal/data/v1/revokedjwt' && request.method === 'GET';
    response.statusCode = request.headers.authorization !== expected ? 401 : known ? 200 : 404;
    response.setHeader('content-type', 'application/json');
    response.end(response.statusCode === 200 ? JSON.stringify(entries) : '{"code":401}');
  });
  const relay = await startTcpRelay(server.port);
  return { entries, server, relay };
}

testSource('event-hub', 'list', async () => {
  const { entries, server, relay } = await startEventHub();
  const open = (password: string, log: Log) => {
    const http = createHttpClient({});
    const source = createEventHubSource({
      name: 'hub',
      url: `http://127.0.0.1:${relay.port}/internal/data/v1/`,
      credentials: { username: 'admin', password },
      http,
      log,
      reconcileIntervalMs: 50,
    });
    return { source, close: () => http.close() };
  };
  return {
    portion: 200,
    open: (log) => open(PASSWORD, log),
    openRefused: (log) => open(WRONG, log),
    revoke: (token) => {
      entries.push({ jwt_signature: token, expiry_time: Date.now() + 3_600_000 });
      return Promise.resolve();
    },
    revokeMalformed: () => {
      entries.push({ jwt_signature: 17, expiry_time: null });
      return Promise.resolve();
    },
    breakLink: () => relay.cut(),
    mendLink: () => relay.mend(),
    secrets: [PASSWORD, WRONG, Buffer.from(`admin:${PASSWORD}`).toString('base64')],
    async close() {
      await relay.close();
      await server.close();
    },
  };
});

/** Follows a hub that gives one answer, and hands over what came of it. */
async function followAnswer(
  answer: { status?: number; type?: string; body: string; headers?: Record<string, string> },
  body: (following: Following, log: ReturnType<typeof recordedLog>) => Promise<void>,
  maxBytes = 64 * 1024 * 1024,
  maxEntries = 1_000_000,
): Promise<void> {
  const server = await startHttpServer((_request, response) => {
    response.writeHead(answer.status ?? 200, {
      'content-type': answer.type ?? 'application/json; charset=UTF-8',
      ...answer.headers,
    });
    response.end(answer.body);
  });
  const http = createHttpClient({});
  const log = recordedLog();
  const source = createEventHubSource({
    name: 'hub',
    url: server.url,
    http,
    log,
    reconcileIntervalMs: 60_000,
    maxBytes,
    maxEntries,
  });
  const following = new Following({ source, close: () => http.close() });
  try {
    await body(following, log);
  } finally {
    await following.stop();
    await server.close();
  }
}

describe('event hub', () => {
  const expected = [
    { token: 'one', expiryTime: 1_900_000_000_000 },
    { token: 'two', expiryTime: null },
  ];
  const shapes = {
    'the array of API Manager 3.2 to 4.2': [
      { jwt_signature: 'one', expiry_time: 1_900_000_000_000 },
      { jwt_signature: 'two', expiry_time: null },
    ],
    'the camel-case array of 3.1': [
      { jwtSignature: 'one', expiryTime: 1_900_000_000_000 },
      { jwtSignature: 'two', expiryTime: null },
    ],
    'the object of 4.3': {
      revokedJWTList: [
        { jwt_signature: 'one', expiry_time: 1_900_000_000_000 },
        { jwt_signature: 'two', expiry_time: null },
      ],
      revokedJWTSubjectEntityList: [],
      revokedJWTConsumerKeyList: [],
    },
  };
  for (const [shape, body] of Object.entries(shapes))
    it(`reads ${shape}`, () =>
      followAnswer({ body: JSON.stringify(body) }, async (following) => {
        await following.complete();
        assert.deepEqual(
          following.sink.events.map(({ token, expiryTime }) => ({
            token,
            expiryTime: expiryTime ?? null,
          })),
          expected,
        );
        assert.deepEqual(following.sink.drops, []);
      }));

  it('takes an answer in which no entry can be read for a failed read, not for an empty list', async () => {
    const token = 'a-jti';
    for (const body of [
      [token],
      [{ jti: token }],
      { revokedJWTList: [token] },
      [[{ jwt_signature: token }]],
      [{ jwt_signature: '' }, null],
    ])
      await followAnswer({ body: JSON.stringify(body) }, async (following) => {
        assert.match((await following.rejection()).message, /none of the \d entries could be read/);
        assert.deepEqual(following.sink.completes, []);
      });
  });

  it('holds an entry until the list was read twice more, whatever end it names', async () => {
    const before = Date.now();
    const later = before + 7_200_000;
    const ends = [before - 300_000, String(before - 300_000), 5, later, 0, -1, 'soon', null];
    await followAnswer(
      { body: JSON.stringify(ends.map((end) => ({ jwt_signature: 'x', expiry_time: end }))) },
      async (following) => {
        await following.complete();
        const { sink } = following;
        const least = before + 2 * 60_000 + 60_000;
        const held = sink.events.map(({ expiryTime }) => expiryTime);
        for (const end of held.slice(0, 3)) assert.ok(Number(end) >= least && Number(end) < later);
        assert.deepEqual(held.slice(3), [later, 0, -1, 'soon', undefined]);
      },
    );
  });

  it('makes rules of the lists of whole clients and users', () =>
    followAnswer(
      {
        body: JSON.stringify({
          revokedJWTList: [{ jwt_signature: 'x', expiry_time: 1 }],
          revokedJWTConsumerKeyList: [
            { consumer_key: 'k', revocation_time: 1_700_000_000_000, organization: 'carbon.super' },
            { consumer_key: 'no time' },
          ],
          revokedJWTSubjectEntityList: [
            { entity_id: 'u', entity_type: 'USER_ID', revocation_time: 1_700_000_000_001 },
            { entity_id: 'c', entity_type: 'CLIENT_ID', revocation_time: 1_700_000_000_002 },
            { entity_id: 't', entity_type: 'TENANT', revocation_time: 1_700_000_000_003 },
            'u',
          ],
        }),
      },
      async (following) => {
        await following.complete();
        const action = 'revoke';
        assert.deepEqual(following.sink.rules, [
          { action, claims: { client: 'k' }, issuedBefore: 1_700_000_000_000 },
          { action, claims: { sub: 'u' }, issuedBefore: 1_700_000_000_001 },
          { action, claims: { client: 'c' }, issuedBefore: 1_700_000_000_002 },
        ]);
        assert.deepEqual(following.sink.drops, [
          'entry is not a revocation rule',
          'revocation rule for an unknown kind of entity',
          'entry is not a revocation rule',
        ]);
        assert.deepEqual([...following.sink.tokens], ['x']);
      },
    ));

  it('a list of rules that is none, or of which nothing can be read, completes nothing', async () => {
    const user = { entity_id: 'u', entity_type: 'TENANT', revocation_time: 17 };
    for (const [lists, error] of [
      [{ revokedJWTConsumerKeyList: {} }, /is no list/],
      [{ revokedJWTSubjectEntityList: 'u' }, /is no list/],
      [{ revokedJWTConsumerKeyList: [{ consumerKey: 'k' }, 5] }, /none of the 2 entries/],
      [{ revokedJWTSubjectEntityList: [{ entity_id: 'u' }] }, /none of the 1 entries/],
    ] as const)
      await followAnswer(
        { body: JSON.stringify({ revokedJWTList: [], ...lists }) },
        async (following) => {
          assert.match((await following.rejection()).message, error);
          assert.equal(following.sink.completes.length, 0);
        },
      );
    for (const lists of [
      { revokedJWTConsumerKeyList: null },
      { revokedJWTConsumerKeyList: [], revokedJWTSubjectEntityList: [user] },
    ])
      await followAnswer(
        { body: JSON.stringify({ revokedJWTList: [], ...lists }) },
        async (following) => {
          await following.complete();
          assert.deepEqual(following.sink.rules, []);
        },
      );
  });

  it('proves the moment at which it asked, at each read', async () => {
    let answers = 0;
    const server = await startHttpServer((_request, response) => {
      answers++;
      response.writeHead(200, { 'content-type': 'application/json' });
      setTimeout(() => response.end('[]'), 200);
    });
    const http = createHttpClient({});
    const options = { name: 'hub', url: server.url, http, log: recordedLog() };
    const before = performance.now();
    const following = new Following({
      source: createEventHubSource({ ...options, reconcileIntervalMs: 50 }),
      close: () => http.close(),
    });
    try {
      await following.until(({ provedAt }) => provedAt.length === 3, 'three reads');
      const [first = 0, second = 0] = following.sink.provedAt;
      assert.ok(first - before < 190, 'not the moment of the answer');
      assert.ok(second - first >= 190);
      assert.ok(answers >= 3);
    } finally {
      await following.stop();
      await server.close();
    }
  });

  it('a list with more than it may have is not read', async () => {
    const body = JSON.stringify({
      revokedJWTList: [{ jwt_signature: 'a' }, { jwt_signature: 'b' }],
      revokedJWTConsumerKeyList: [{ consumerKey: 'k', revocationTime: Date.now() }],
    });
    for (const maxEntries of [2, 3])
      await followAnswer(
        { body },
        async (following) => {
          if (maxEntries === 3) return following.complete();
          assert.match((await following.rejection()).message, /more entries than maxEntries/);
          assert.deepEqual(following.sink.events, []);
          return undefined;
        },
        undefined,
        maxEntries,
      );
  });

  it('an empty list is complete', () =>
    followAnswer({ body: '[]' }, async (following) => {
      await following.complete();
      assert.equal(following.sink.events.length, 0);
    }));

  it('keeps 99,999 good entries around a bad one', () => {
    const entries: unknown[] = Array.from({ length: 100_000 }, (_, index) => ({
      jwt_signature: `token-${index}`,
      expiry_time: 1_900_000_000_000,
    }));
    entries[50_000] = { jwt_signature: ['not', 'text'] };
    return followAnswer({ body: JSON.stringify(entries) }, async (following) => {
      await following.complete();
      assert.equal(following.sink.tokens.size, 99_999);
      assert.deepEqual(following.sink.drops, ['no token in it']);
    });
  });

  const whole = JSON.stringify([{ jwt_signature: 'one' }, { jwt_signature: 'two' }]);
  const bad = {
    'HTML with status 200': { type: 'text/html', body: '<html>log in</html>' },
    'HTML that says it is JSON': { body: '<html>log in</html>' },
    'a redirect': { status: 302, body: whole, headers: { location: 'http://127.0.0.1:1/login' } },
    'a 401 with a good list': { status: 401, body: whole },
    'a 403': { status: 403, body: whole },
    'a 500 with a good list': { status: 500, body: whole },
    'a 204': { status: 204, body: '' },
    'JSON that is cut off': { body: whole.slice(0, -5) },
    'an empty body': { body: '' },
    'a string': { body: '"none"' },
    'a number': { body: '0' },
    null: { body: 'null' },
    'an object without the list': { body: '{"revokedJWTConsumerKeyList":[]}' },
    'an empty object, as for an inconsistent tenant': { body: '{}' },
    'a list that is none': { body: '{"revokedJWTList":{"jwt_signature":"x"}}' },
  };
  for (const [what, answer] of Object.entries(bad))
    it(`${what} is an error and adds nothing`, () =>
      followAnswer(answer, async (following, log) => {
        const error = await following.rejection();
        assert.ok(error.message.length > 5);
        assert.doesNotMatch(error.message, /one|two|<html/);
        assert.equal(following.sink.completes.length, 0);
        assert.equal(following.sink.events.length, 0);
        assert.equal(log.lines.length, 1);
        assert.match(
          log.lines[0] ?? '',
          /^ERROR \[RevokedJwtRetrievalTask\] \[-\] Error while retrieving revoked jwts\. Retry/,
        );
      }));

  it('an answer beyond the size bound is an error', () =>
    followAnswer(
      { body: JSON.stringify([{ jwt_signature: 'x'.repeat(5_000) }]) },
      async (following) => {
        assert.match((await following.rejection()).message, /larger than 4096 bytes/);
        assert.equal(following.sink.completes.length, 0);
      },
      4096,
    ));

  it('a connection that ends within the body is an error', async () => {
    const server = await startHttpServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 1000 });
      response.write('[{"jwt_signature":"one"}', () => response.destroy());
    });
    const http = createHttpClient({});
    const following = new Following({
      source: createEventHubSource({
        name: 'hub',
        url: server.url,
        http,
        log: recordedLog(),
        reconcileIntervalMs: 60_000,
      }),
      close: () => http.close(),
    });
    try {
      await following.rejection();
      assert.equal(following.sink.events.length, 0);
      assert.equal(following.sink.completes.length, 0);
    } finally {
      await following.stop();
      await server.close();
    }
  });

  it('an error at a later read keeps what was read, and is said', async () => {
    let answers = 0;
    const server = await startHttpServer((_request, response) => {
      answers++;
      response.writeHead(answers === 1 ? 200 : 500, { 'content-type': 'application/json' });
      response.end('[{"jwt_signature":"kept"}]');
    });
    const http = createHttpClient({});
    const log = recordedLog();
    const source = createEventHubSource({
      name: 'hub',
      url: server.url,
      http,
      log,
      reconcileIntervalMs: 20,
    });
    const following = new Following({ source, close: () => http.close() });
    try {
      assert.match((await following.rejection()).message, /HTTP 500/);
      assert.ok(following.sink.has('kept'));
      assert.equal(following.sink.completes.length, 1);
    } finally {
      await following.stop();
      await server.close();
    }
  });

  it("logs WSO2's two lines and the interval once, after the first success", async () => {
    let answers = 0;
    const server = await startHttpServer((_request, response) => {
      answers++;
      response.writeHead(answers === 1 || answers === 4 ? 503 : 200, {
        'content-type': 'application/json',
      });
      response.end('[]');
    });
    const http = createHttpClient({});
    const log = recordedLog();
    const source = createEventHubSource({
      name: 'hub',
      url: server.url,
      http,
      log,
      reconcileIntervalMs: 15_000,
    });
    const open = { source, close: () => Promise.resolve() };
    try {
      const failing = new Following(open);
      await failing.rejection();
      const first = new Following(open);
      await first.complete();
      source.reread?.();
      await first.until(({ completes }) => completes.length === 2, 'a second read');
      source.reread?.();
      await first.rejection();
      const second = new Following(open);
      await second.complete();
      await second.stop();
      assert.deepEqual(
        log.lines.filter((line) => line.startsWith('INFO')),
        [
          'INFO [RevokedJwtRetrievalTask] [-] Revoked jwt retrieval successful. Stopping the timer task ...',
          'INFO [RevokedJwtRetrievalTask] [-] Revoked jwt retrieval task stopped successfully',
          'INFO [RevokedJwtRetrievalTask] [-] The list of revoked jwts is read again every 15 seconds',
        ],
      );
    } finally {
      await http.close();
      await server.close();
    }
  });

  it('takes user name and password from the URL, percent-decoded, and repeats no URL in an error', async () => {
    const seen: (string | undefined)[] = [];
    const server = await startHttpServer((request, response) => {
      seen.push(request.headers.authorization);
      response.writeHead(200, { 'content-type': 'application/json' }).end('[]');
    });
    const http = createHttpClient({});
    const log = recordedLog();
    const url = server.url.replace('//', '//me:p%40ss@');
    const options = { name: 'hub', http, log, reconcileIntervalMs: 60_000 };
    const following = new Following({
      source: createEventHubSource({ ...options, url }),
      close: () => http.close(),
    });
    try {
      await following.complete();
      assert.deepEqual(seen, [`Basic ${Buffer.from('me:p@ss').toString('base64')}`]);
    } finally {
      await following.stop();
      await server.close();
    }
    for (const wrong of ['ftp://me:p4ss@host/', 'not a url p4ss', 'amqp://me:p4ss@host/x'])
      assert.throws(
        () => createEventHubSource({ ...options, url: wrong }),
        (error: unknown) =>
          error instanceof Error && /source hub/.test(error.message) && !/p4ss/.test(error.message),
      );
  });
});
