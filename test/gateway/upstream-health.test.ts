import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { UpstreamHealth } from '../../src/gateway/upstream-health.ts';
import { startHttpServer } from '../support/http-server.ts';
import { until } from '../support/until.ts';
import { api, rawUpstream, stage, statusOf, wire } from './stage.ts';

const BREAKER = { failures: 3, openForMs: 1_000 };

/** Without jitter. */
function health(): UpstreamHealth {
  return new UpstreamHealth(BREAKER, () => 0.5);
}

test('so many failures in a row open it; one success begins the count anew', () => {
  const one = health();
  for (const kind of ['connect', 'timeout'] as const)
    assert.equal(one.failed(kind, 0, false), false);
  one.succeeded(0, false);
  for (const kind of ['broken', 'malformed'] as const)
    assert.equal(one.failed(kind, 0, false), false);
  assert.equal(one.state, 'closed');
  assert.equal(one.failed('timeout', 0, false), true, 'now it has opened');
  assert.equal(one.allows(999), false);
  assert.equal(one.waitMs(400), 600);
});

test('what is our own doing is no failure', () => {
  const one = health();
  for (let count = 0; count < 100; count++) one.failed('exhausted', 0, false);
  assert.equal(one.state, 'closed');
});

test('of many calls within ten seconds half may not fail, in whatever order', () => {
  const one = health();
  for (let count = 0; count < 9; count++) {
    one.succeeded(0, false);
    assert.equal(one.failed('timeout', 0, false), false);
  }
  one.succeeded(0, false);
  assert.equal(one.failed('timeout', 0, false), true);
  const slow = health();
  for (let count = 0; count < 100; count++) {
    slow.succeeded(count * 1_500, false);
    assert.equal(slow.failed('timeout', count * 1_500, false), false, 'never so many at once');
  }
});

test('then one call tries, and nobody else; it decides', () => {
  const one = health();
  for (let count = 0; count < 3; count++) one.failed('connect', 0, false);
  assert.ok(one.allows(1_000));
  assert.ok(one.began());
  assert.equal(one.allows(1_000_000), false, 'while it is under way');
  assert.equal(one.succeeded(1_500, false), false, 'what was asked before does not');
  assert.equal(one.failed('timeout', 1_500, false), false);
  assert.equal(one.state, 'probing');
  assert.equal(one.succeeded(1_600, true), true);
  assert.ok(one.allows(1_600));
  assert.equal(one.began(), false);
});

test('each try that fails doubles the time, to half a minute; success makes it short again', () => {
  const one = health();
  let nowMs = 0;
  for (let count = 0; count < 3; count++) one.failed('connect', nowMs, false);
  for (const seconds of [1, 2, 4, 8, 16, 30, 30]) {
    assert.equal(one.waitMs(nowMs), seconds * 1_000);
    nowMs += seconds * 1_000;
    assert.ok(one.allows(nowMs) && one.began());
    assert.equal(one.failed('connect', nowMs, true), false, 'said once');
  }
  nowMs += 30_000;
  one.began();
  one.succeeded(nowMs, true);
  for (let count = 0; count < 3; count++) one.failed('connect', nowMs, false);
  assert.equal(one.waitMs(nowMs), 1_000);
});

test('a try whose client left is made again at once', () => {
  const one = health();
  for (let count = 0; count < 3; count++) one.failed('connect', 0, false);
  one.began();
  one.abandoned(1_000, true);
  assert.ok(one.allows(1_000) && one.began());
  one.failed('exhausted', 1_100, true);
  assert.ok(one.allows(1_100));
});

test('whatever happens, it is asked again within 37.5 seconds, by one at a time', () => {
  const events = fc.array(
    fc.tuple(
      fc.constantFrom('ok', 'connect', 'exhausted', 'left'),
      fc.integer({ min: 0, max: 5_000 }),
    ),
  );
  fc.assert(
    fc.property(events, fc.float({ min: 0, max: 1, noNaN: true }), (steps, random) => {
      const one = new UpstreamHealth(BREAKER, () => random);
      let nowMs = 0;
      for (const [what, pause] of steps) {
        nowMs += pause;
        if (!one.allows(nowMs)) {
          assert.ok(one.waitMs(nowMs) > 0 && one.waitMs(nowMs) <= 37_500);
          continue;
        }
        const probe = one.began();
        if (probe) assert.equal(one.allows(nowMs), false);
        if (what === 'ok') one.succeeded(nowMs, probe);
        else if (what === 'left') one.abandoned(nowMs, probe);
        else one.failed(what === 'connect' ? 'connect' : 'exhausted', nowMs, probe);
      }
      assert.ok(one.allows(nowMs + 37_500));
    }),
  );
});

const ask = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: h\r\n\r\n`;

test('a black hole takes no answer and no time of another route, and is soon not asked any more', async (t) => {
  const hole = await rawUpstream(t, (socket) => socket.resume());
  const server = await startHttpServer((_request, response) => response.end('ok'));
  t.after(() => server.close());
  const { url } = server;
  const { port, gateway, log } = await stage(t, {
    apis: [
      api('', ['GET /hole', { production: [hole.url] }], ['GET /good', { production: [url] }]),
    ],
    upstream: { headersTimeoutMs: 1_000, circuitBreaker: { failures: 5, openForMs: 30_000 } },
  });
  const waiting = await Promise.all(Array.from({ length: 8 }, () => wire(t, port)));
  for (const client of waiting) client.send(ask('/hole'));
  await until(() => hole.connections() === 8, 'all wait for the black hole');
  const good = await wire(t, port);
  for (let count = 0; count < 20; count++) {
    good.text = '';
    assert.equal(
      statusOf(await good.send(ask('/good')).until(/\r\n\r\nok$|ok\r\n0\r\n\r\n$/)),
      200,
    );
  }
  assert.ok(
    waiting.every(({ text }) => text === ''),
    'all of that while they waited',
  );
  for (const client of waiting) assert.equal(statusOf(await client.until(/\}\}$/)), 504);
  const late = await wire(t, port);
  const answer = await late.send(ask('/hole')).until(/\}\}$/);
  assert.equal(statusOf(answer), 503);
  assert.match(answer, /\r\nRetry-After: (?:2\d|3\d)\r\n/);
  assert.equal(hole.connections(), 8, 'it was not asked');
  good.text = '';
  assert.equal(statusOf(await good.send(ask('/good')).until(/ok/)), 200);
  assert.equal(
    log.lines.filter((line) => line.includes('failed too often: its requests')).length,
    1,
  );
  await until(() => gateway.counters().active === 0, 'nothing is under way');
});

test('an upstream that is back is asked by one request, and then by all', async (t) => {
  let down = true;
  const upstream = await rawUpstream(t, (socket) => {
    if (down) socket.resetAndDestroy();
    else socket.on('data', () => socket.write('HTTP/1.1 500 E\r\nContent-Length: 2\r\n\r\nok'));
  });
  const { port, log } = await stage(t, {
    apis: [api('', ['GET /a', { production: [upstream.url] }])],
    upstream: { circuitBreaker: { failures: 2, openForMs: 200 } },
  });
  const client = await wire(t, port);
  const status = async (): Promise<number> => {
    client.text = '';
    return statusOf(await client.send(ask('/a')).until(/\}\}$|ok$/));
  };
  assert.deepEqual([await status(), await status(), await status()], [502, 502, 503]);
  down = false;
  await until(async () => (await status()) === 500, 'it is asked again');
  assert.deepEqual([await status(), await status()], [500, 500], 'a status is an answer');
  assert.match(log.lines.join('\n'), /answers again/);
});

test('of several endpoints the one that failed is left out', async (t) => {
  const dead = await rawUpstream(t, (socket) => socket.resetAndDestroy());
  const server = await startHttpServer((_request, response) => response.end('ok'));
  t.after(() => server.close());
  const { url } = server;
  const { port } = await stage(t, {
    apis: [api('', ['GET /a', { production: [dead.url, url] }])],
    upstream: { circuitBreaker: { failures: 2, openForMs: 30_000 } },
  });
  const client = await wire(t, port);
  const statuses: number[] = [];
  for (let count = 0; count < 12; count++) {
    client.text = '';
    statuses.push(statusOf(await client.send(ask('/a')).until(/\}\}$|ok$|\r\n0\r\n\r\n$/)));
  }
  assert.deepEqual(statuses, [502, 200, 502, ...Array.from({ length: 9 }, () => 200)]);
});

test('a client that leaves while its request is the try leaves the try to the next', async (t) => {
  let mode: 'reset' | 'silent' | 'answer' = 'reset';
  const upstream = await rawUpstream(t, (socket) => {
    if (mode === 'reset') socket.resetAndDestroy();
    else
      socket.on('data', () => {
        if (mode === 'answer') socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      });
  });
  const { port, gateway } = await stage(t, {
    apis: [api('', ['GET /a', { production: [upstream.url] }])],
    upstream: { circuitBreaker: { failures: 1, openForMs: 10 } },
  });
  const first = await wire(t, port);
  assert.equal(statusOf(await first.send(ask('/a')).until(/\}\}$/)), 502);
  mode = 'silent';
  const before = upstream.connections();
  const leaving = await wire(t, port);
  await until(async () => {
    if (upstream.connections() > before) return true;
    leaving.text = '';
    leaving.send(ask('/a'));
    await until(
      () => leaving.text !== '' || upstream.connections() > before,
      'it is refused, or the try',
    );
    return upstream.connections() > before;
  }, 'the try is under way');
  leaving.socket.destroy();
  await until(() => gateway.counters().active === 0, 'it has left');
  mode = 'answer';
  const next = await wire(t, port);
  assert.equal(statusOf(await next.send(ask('/a')).until(/ok$/)), 200);
});
