import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { startHttpServer } from '../../support/http-server.ts';
import { until } from '../../support/until.ts';
import { openApi, rawUpstream, stage, statusOf, wire } from '../stage.ts';

/** So much faster than it is time goes by. */
const FASTER = 10;

/** A clock and a timer for deadlines on which half a minute is over in a few seconds. */
function fastClock(t: TestContext): (condition: () => boolean, what: string) => Promise<void> {
  const real = performance.now.bind(performance);
  const began = real();
  t.mock.method(performance, 'now', () => began + FASTER * (real() - began));
  const every = setInterval;
  t.mock.method(globalThis, 'setInterval', (run: () => void, ms: number) =>
    every(run, ms / FASTER),
  );
  return (condition, what) => until(condition, what, 60_000);
}

const POST = 'POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n';

test('a body of which fewer bytes come than a client has to send is 408', async (t) => {
  const untilLate = fastClock(t);
  const upstream = await rawUpstream(t, (socket) => void socket.resume());
  const { port } = await stage(t, {
    engine: 'own',
    apis: [openApi(upstream.url)],
    limits: { minDataRate: 240 },
  });
  const slow = (await wire(t, port)).send(`${POST}\r\n`);
  const fast = (await wire(t, port)).send(`${POST}\r\n`);
  const begun = performance.now();
  await untilLate(() => {
    slow.send('x');
    fast.send('x'.repeat(1_000));
    return slow.text.endsWith('}}');
  }, 'the slow one is answered');
  assert.equal(statusOf(slow.text), 408);
  assert.ok(performance.now() - begun >= 10_000);
  assert.equal(fast.text, '');
});

/** An answer without an end on its way to a client that takes nothing by itself. */
async function endless(t: TestContext, minDataRate: number) {
  const upstream = await startHttpServer((_, response) => {
    const chunk = Buffer.alloc(65_536);
    const pump = (): void => {
      while (!response.destroyed && response.write(chunk));
    };
    response.on('drain', pump);
    pump();
  });
  t.after(() => upstream.close());
  const { port, gateway } = await stage(t, {
    engine: 'own',
    apis: [openApi(upstream.url)],
    limits: { minDataRate },
  });
  const { socket } = (await wire(t, port)).send('GET /a HTTP/1.1\r\nHost: h\r\n\r\n');
  socket.pause();
  await until(() => gateway.counters().active === 1, 'it is there');
  return { socket, gateway };
}

test('an answer of which a client takes too few bytes is broken off', async (t) => {
  const untilLate = fastClock(t);
  const { socket, gateway } = await endless(t, 1e9);
  const begun = performance.now();
  await untilLate(() => {
    socket.once('data', () => socket.pause()).resume();
    return gateway.counters().active === 0;
  }, 'it is over');
  assert.ok(performance.now() - begun < 60_000, 'nothing taken for idleBody is another matter');
  assert.deepEqual(gateway.counters().outcomes, { aborted: 1 });
});

test('of a client that takes nothing for a while it is not known how slow it is', async (t) => {
  const untilLate = fastClock(t);
  const { gateway } = await endless(t, 240);
  const end = performance.now() + 40_000;
  await untilLate(() => performance.now() > end, 'it has waited for long');
  assert.equal(gateway.counters().active, 1);
});

test('a client that waits for 100 Continue, while its call waits for its turn, is not slow', async (t) => {
  const untilLate = fastClock(t);
  const held: (() => void)[] = [];
  const upstream = await startHttpServer((request, response) => {
    request.resume().on('end', () => held.push(() => response.end('ok')));
  });
  t.after(() => upstream.close());
  const { port, gateway } = await stage(t, {
    engine: 'own',
    apis: [openApi(upstream.url)],
    upstream: { maxActive: 1, maxWaitMs: 40_000 },
    limits: { minDataRate: 240 },
  });
  const first = (await wire(t, port)).send('GET /a HTTP/1.1\r\nHost: h\r\n\r\n');
  await until(() => held.length === 1, 'the first call is at the upstream');
  const second = (await wire(t, port)).send(
    'POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n',
  );
  await until(() => gateway.counters().active === 2, 'the second one waits');
  const end = performance.now() + 20_000;
  await untilLate(() => performance.now() > end, 'it has waited for long');
  assert.equal(second.text, '');
  held[0]?.();
  await first.until(/ok/);
  await second.until(/^HTTP\/1\.1 100 Continue\r\n\r\n$/);
  second.send('hi');
  await until(() => held.length === 2, 'the second call is at the upstream');
  held[1]?.();
  await second.until(/ok/);
});
