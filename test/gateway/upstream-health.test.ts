import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { UpstreamHealth } from '../../src/gateway/upstream-health.ts';
import { startHttpServer } from '../support/http-server.ts';
import { until } from '../support/until.ts';
import { api, openApi, rawUpstream, stage, statusOf, wire } from './stage.ts';

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
  for (const kind of ['broken', 'connect'] as const)
    assert.equal(one.failed(kind, 0, false), false);
  assert.equal(one.state, 'closed');
  assert.equal(one.failed('timeout', 0, false), true, 'now it has opened');
  assert.equal(one.allows(999), false);
  assert.equal(one.waitMs(400), 600);
});

test('what is our own doing, or may be a client’s, is no failure', () => {
  const one = health();
  for (let count = 0; count < 100; count++)
    one.failed(count % 2 === 0 ? 'exhausted' : 'malformed', 0, false);
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
  assert.ok(one.began(1_000));
  assert.equal(one.allows(1_999), false, 'while it is under way');
  assert.equal(one.succeeded(1_500, false), false, 'what was asked before does not');
  assert.equal(one.failed('timeout', 1_500, false), false);
  assert.equal(one.state, 'probing');
  assert.equal(one.succeeded(1_600, true), true);
  assert.ok(one.allows(1_600));
  assert.equal(one.began(1_600), false);
});

test('a try that is not answered for as long as a pause does not keep others from trying', () => {
  const one = health();
  for (let count = 0; count < 3; count++) one.failed('connect', 0, false);
  assert.ok(one.began(1_000));
  assert.equal(one.waitMs(1_400), 600);
  assert.ok(one.allows(2_000) && one.began(2_000));
  assert.equal(one.allows(2_999), false, 'one in each pause');
  assert.equal(one.succeeded(2_500, true), true);
  assert.equal(one.state, 'closed');
  one.failed('timeout', 2_600, true);
  one.abandoned(2_600, true);
  assert.equal(one.state, 'closed', 'the first one comes too late to decide anything');
});

test('of two that try one failure makes the pause longer, and whose client leaves then ends none', () => {
  const one = health();
  for (let count = 0; count < 3; count++) one.failed('connect', 0, false);
  one.began(1_000);
  one.began(2_000);
  one.failed('connect', 2_100, true);
  assert.equal(one.waitMs(2_100), 2_000);
  one.failed('timeout', 2_200, true);
  one.abandoned(2_200, true);
  assert.equal(one.waitMs(2_200), 1_900);
});

test('each try that fails doubles the time, to half a minute; success makes it short again', () => {
  const one = health();
  let nowMs = 0;
  for (let count = 0; count < 3; count++) one.failed('connect', nowMs, false);
  for (const seconds of [1, 2, 4, 8, 16, 30, 30]) {
    assert.equal(one.waitMs(nowMs), seconds * 1_000);
    nowMs += seconds * 1_000;
    assert.ok(one.allows(nowMs) && one.began(nowMs));
    assert.equal(one.failed('connect', nowMs, true), false, 'said once');
  }
  nowMs += 30_000;
  one.began(nowMs);
  one.succeeded(nowMs, true);
  for (let count = 0; count < 3; count++) one.failed('connect', nowMs, false);
  assert.equal(one.waitMs(nowMs), 1_000);
});

test('a try whose client left is made again at once', () => {
  const one = health();
  for (let count = 0; count < 3; count++) one.failed('connect', 0, false);
  one.began(1_000);
  one.abandoned(1_000, true);
  assert.ok(one.allows(1_000) && one.began(1_000));
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
        const probe = one.began(nowMs);
        if (probe) assert.equal(one.allows(nowMs), false);
        if (what === 'ok') one.succeeded(nowMs, probe);
        else if (what === 'left') one.abandoned(nowMs, probe);
        else one.failed(what === 'connect' ? 'connect' : 'exhausted', nowMs, probe);
      }
      assert.ok(one.allows(nowMs + 37_500));
    }),
  );
});

/** Answers every GET, and never a POST. */
const GETS_ONLY = (socket: Socket): void => {
  socket.on('data', (chunk: Buffer) => {
    if (chunk.toString('latin1').startsWith('GET'))
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  });
};

const UPLOAD = 'POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nabc';

test('a client whose words make the head of the answer too large opens nothing', async (t) => {
  const server = await startHttpServer((incoming, response) => {
    const { searchParams } = new URL(incoming.url ?? '', 'http://h');
    response.setHeader('Location', `/${encodeURIComponent(searchParams.get('to') ?? '')}`);
    response.setHeader('Link', `</${encodeURIComponent(searchParams.get('to') ?? '')}>`);
    response.end('ok');
  });
  t.after(() => server.close());
  const { port } = await stage(t, {
    apis: [openApi(server.url)],
    upstream: { circuitBreaker: { failures: 2, openForMs: 30_000 } },
  });
  for (let count = 0; count < 5; count++) {
    const client = await wire(t, port);
    assert.equal(
      statusOf(await client.send(ask(`/a?to=${'"'.repeat(4_000)}`)).until(/\}\}$/)),
      502,
    );
  }
  assert.equal(statusOf(await (await wire(t, port)).send(ask('/a')).until(/\}\}$|ok$/)), 200);
});

test('a client that tries with a body that does not come does not keep the circuit open for the others', async (t) => {
  let down = true;
  const upstream = await rawUpstream(t, (socket) => {
    if (down) socket.destroy();
    else GETS_ONLY(socket);
  });
  const { port, gateway } = await stage(t, {
    apis: [openApi(upstream.url)],
    upstream: { circuitBreaker: { failures: 2, openForMs: 200 } },
  });
  const good = async (): Promise<number> =>
    statusOf(await (await wire(t, port)).send(ask('/a')).until(/\}\}$|ok$/));
  await until(async () => (await good()) === 503, 'it is open');
  down = false;
  const asked = upstream.connections();
  await until(async () => {
    const slow = (await wire(t, port)).send(UPLOAD);
    await until(() => upstream.connections() > asked || slow.text !== '', 'tried or refused');
    return slow.text === '';
  }, 'the slow one tries');
  await until(async () => (await good()) === 200, 'somebody else has tried too');
  assert.equal(gateway.counters().active, 1, 'the slow one is still there');
});

test('an upstream that closes in the middle of a body may mean its client, so that opens nothing', async (t) => {
  const upstream = await rawUpstream(t, (socket) => {
    GETS_ONLY(socket);
    socket.once('data', (chunk: Buffer) => {
      if (chunk.toString('latin1').startsWith('POST')) socket.resetAndDestroy();
    });
  });
  const { port } = await stage(t, {
    apis: [openApi(upstream.url)],
    upstream: { circuitBreaker: { failures: 2, openForMs: 30_000 } },
  });
  for (let count = 0; count < 5; count++) {
    const slow = await wire(t, port);
    assert.equal(statusOf(await slow.send(UPLOAD).until(/\}\}$/)), 502);
  }
  assert.equal(statusOf(await (await wire(t, port)).send(ask('/a')).until(/\}\}$|ok$/)), 200);
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
