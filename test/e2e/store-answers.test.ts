import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { after, test } from 'node:test';
import { startEventHub } from '../support/event-hub.ts';
import { claimsOf, testIssuer } from '../support/issuer.ts';
import {
  buildPetstore,
  send,
  startGateway,
  STATUS_UNKNOWN,
  type Gateway,
  type Owner,
} from '../support/product.ts';
import { until } from '../support/until.ts';

const file = { after };
const { artifact } = await buildPetstore(file);
const issuer = testIssuer();

type Reply = (response: ServerResponse) => void;

const json =
  (value: unknown): Reply =>
  (response) => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(value));
  };
const entry = (token: string): object => ({
  jwt_signature: claimsOf(token).jti,
  expiry_time: Date.now() + 3_600_000,
});
const listOf = (...tokens: readonly string[]): Reply => json(tokens.map(entry));

/** A gateway with an event hub that answers as the test says. */
async function withStore(t: Owner, first: Reply) {
  const store = { reply: first, paths: new Set<string>() };
  const hub = await startEventHub(t, (request, response) => {
    store.paths.add(String(request.url));
    store.reply(response);
  });
  const gateway = await startGateway(t, {
    artifact,
    issuers: [issuer],
    // A source that fails again and again is asked at least twice in this time.
    config: `[tokenRevocationConfig]
      maxStaleness = "12s"
      ${hub.config('reconcileInterval = "100ms"')}`,
  });
  return { store, gateway };
}

const BAD: readonly (readonly [what: string, said: RegExp, reply: Reply])[] = [
  [
    'HTML',
    /not JSON/,
    (response) => {
      response.setHeader('content-type', 'text/html');
      response.end('<html><body>Please log in</body></html>');
    },
  ],
  [
    '302 to a list',
    /HTTP 302: redirects are not followed/,
    (response) => response.writeHead(302, { location: '/elsewhere' }).end(),
  ],
  ['401', /HTTP 401/, (response) => response.writeHead(401).end()],
  ['500', /HTTP 500/, (response) => response.writeHead(500).end('[]')],
  [
    'JSON that is cut off',
    /cut off/,
    (response) => {
      response.setHeader('content-type', 'application/json');
      response.end('[{"jwt_signature":"a","expiry_time":1},{"jwt_sig');
    },
  ],
  [
    'a body that is cut off',
    /127\.0\.0\.1:\d+/,
    (response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '500' });
      response.write('[{"jwt_signature":"a","expiry_time":1}]');
      setImmediate(() => response.destroy());
    },
  ],
  ['an object without a list', /no list of revoked tokens/, json({})],
  ['a list of another type', /no list of revoked tokens/, json({ revokedJWTList: 'none' })],
  ['a string', /not a list/, json('none')],
];

function complaints(gateway: Gateway, said: RegExp): number {
  return gateway.lines().filter((line) => {
    return line.includes('Source persistent is not followed') && said.test(line);
  }).length;
}

test('whatever a store answers is said; what is known stays known, and a later good answer heals', async (t) => {
  const [revoked, good] = [issuer.token(), issuer.token()];
  const { store, gateway } = await withStore(t, listOf(revoked));
  await gateway.untilStatus(revoked, 401);
  for (const [what, said, reply] of BAD) {
    const before = complaints(gateway, said);
    store.reply = reply;
    await until(() => complaints(gateway, said) > before, `${what} is said`, 30_000);
    assert.equal((await gateway.call(revoked)).status, 401, what);
    assert.equal((await gateway.call(good)).status, 200, what);
    assert.equal((await send(`${gateway.http}/ready`)).status, 200, what);

    // The good answer that follows has forgotten the first token: the gateway has not.
    const later = issuer.token();
    store.reply = listOf(later);
    await gateway.untilStatus(later, 401);
    assert.equal((await gateway.call(revoked)).status, 401, what);
    assert.equal((await gateway.call(good)).status, 200, what);
  }
  assert.deepEqual([...store.paths], ['/internal/data/v1/revokedjwt']);
  store.reply = json([]);
  await until(
    () => gateway.program.output().includes('followed again after 1 failed'),
    'it is said',
  );
  assert.equal((await gateway.call(revoked)).status, 401);
});

test('an unreadable first answer never counts as an empty list', async (t) => {
  const [, said, reply] = BAD[0] ?? [];
  assert.ok(said && reply);
  const [revoked, good] = [issuer.token(), issuer.token()];
  const { store, gateway } = await withStore(t, reply);
  await gateway.program.said(said);
  for (const token of [revoked, good])
    assert.equal((await gateway.call(token)).body, STATUS_UNKNOWN);
  store.reply = listOf(revoked);
  await gateway.untilReady();
  assert.equal((await gateway.call(revoked)).status, 401);
  assert.equal((await gateway.call(good)).status, 200);
});

test('one bad entry among 100,000 is counted, and the others hold', async (t) => {
  const tokens = Array.from({ length: 3 }, () => issuer.token());
  const [first, middle, last] = tokens;
  assert.ok(first && middle && last);
  const expiry_time = Date.now() + 3_600_000;
  const entries: unknown[] = Array.from({ length: 100_000 }, () => ({
    jwt_signature: randomUUID(),
    expiry_time,
  }));
  entries[0] = entry(first);
  entries[49_999] = { jwt_signature: 42, expiry_time };
  entries[50_000] = entry(middle);
  entries[99_999] = entry(last);
  let answers = 0;
  const body = JSON.stringify(entries);
  const { store, gateway } = await withStore(t, (response) => {
    answers++;
    response.setHeader('content-type', 'application/json');
    response.end(body);
  });
  await gateway.untilReady();
  for (const token of tokens) assert.equal((await gateway.call(token)).status, 401);
  const good = issuer.token();
  assert.equal((await gateway.call(good)).status, 200);
  await gateway.program.said(/Source persistent dropped: 1 x no token in it/);
  assert.doesNotMatch(gateway.program.output(), /is not followed/);

  // Entries of any other type are no more than that.
  const later = issuer.token();
  await until(() => answers > 1, 'it is read again', 30_000);
  store.reply = json([null, 'x', 7, [], {}, { jwt_signature: '' }, entry(later)]);
  await gateway.untilStatus(later, 401);
  for (const token of tokens) assert.equal((await gateway.call(token)).status, 401);
  assert.equal((await gateway.call(good)).status, 200);
});
