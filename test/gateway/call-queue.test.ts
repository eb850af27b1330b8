import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { CallCount } from '../../src/gateway/call-count.ts';
import { CallQueue } from '../../src/gateway/call-queue.ts';
import { startHttpServer } from '../support/http-server.ts';
import { until } from '../support/until.ts';
import { openApi, sendAll, stage, statusOf, wire } from './stage.ts';

/** A gateway that lets one call at a time through to an upstream that answers when the test says so. */
async function narrow(t: TestContext, maxWaitMs: number) {
  const seen: (string | undefined)[] = [];
  const held: (() => void)[] = [];
  const upstream = await startHttpServer((request, response) => {
    seen.push(request.url);
    request.resume().on('end', () => held.push(() => response.end('ok')));
  });
  t.after(() => upstream.close());
  const { port, gateway } = await stage(t, {
    apis: [openApi(upstream.url)],
    upstream: { maxActive: 1, maxWaitMs },
  });
  const send = async (path: string, more = '') =>
    (await wire(t, port)).send(`${get(path)}${more}\r\n`);
  const answer = async (nth: number) => {
    await until(() => held.length > nth, `call ${nth} is at the upstream`);
    held[nth]?.();
  };
  const active = (count: number) =>
    until(() => gateway.counters().active === count, `${count} requests are there`);
  return { port, send, answer, active, seen };
}

function get(path: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n`;
}

test('calls beyond the bound wait for their turn, and have it in their order', async (t) => {
  const { send, answer, active, seen } = await narrow(t, 60_000);
  const clients = [];
  for (const path of ['/a', '/b', '/c']) {
    clients.push(await send(path));
    await active(clients.length);
  }
  for (const [nth, client] of clients.entries()) {
    await answer(nth);
    assert.equal(statusOf(await client.closed()), 200);
    assert.equal(seen.length, Math.min(nth + 2, 3), 'never two at a time');
  }
  assert.deepEqual(seen, ['/a', '/b', '/c']);
});

test('the body of a call that waits is not lost', async (t) => {
  const { send, port, answer, active } = await narrow(t, 60_000);
  const first = await send('/a');
  await active(1);
  const head = get('/b').replace('GET', 'POST');
  const second = (await wire(t, port)).send(`${head}Content-Length: 5\r\n\r\n12`);
  await active(2);
  await answer(0);
  await first.closed();
  second.send('345');
  await answer(1);
  assert.equal(statusOf(await second.closed()), 200);
});

test('who waits in vain is answered 503, and the upstream sees nothing of it', async (t) => {
  const { port, send, answer, active, seen } = await narrow(t, 50);
  const first = await send('/a');
  await active(1);
  const second = await sendAll(t, port, `${get('/b')}\r\n`);
  assert.equal(statusOf(second), 503);
  assert.match(second, /\r\nRetry-After: 1\r\n/);
  await answer(0);
  assert.equal(statusOf(await first.closed()), 200);
  assert.deepEqual(seen, ['/a']);
});

test('the place of a client that leaves while it waits goes to the next', async (t) => {
  const { send, answer, active, seen } = await narrow(t, 60_000);
  const first = await send('/a');
  await active(1);
  const leaving = await send('/b');
  await active(2);
  const next = await send('/c');
  await active(3);
  leaving.socket.resetAndDestroy();
  await active(2);
  await answer(0);
  await answer(1);
  for (const client of [first, next]) assert.equal(statusOf(await client.closed()), 200);
  assert.deepEqual(seen, ['/a', '/c']);
});

test('room that another thread makes is seen by the next sweep; more than a thousand do not wait', () => {
  const memories = [new SharedArrayBuffer(4_096), new SharedArrayBuffer(4_096)];
  const [own, other] = [0, 1].map(
    (place) => new CallCount('o', { place, memories, indexOf: () => 0 }),
  );
  assert.ok(own !== undefined && other !== undefined);
  const queue = new CallQueue(own, 1, 1_000);
  other.own = 1;
  assert.equal(queue.hasRoom, false);
  const log: string[] = [];
  const wait = (name: string): boolean => {
    const exchange: Parameters<CallQueue['wait']>[0] = { work: undefined };
    const begin = (): void => {
      log.push(name);
      own.own = 1;
    };
    return queue.wait(exchange, begin, () => log.push(`${name} gives up`));
  };
  for (let n = 0; n < 1_000; n++) assert.equal(wait(String(n)), true);
  assert.equal(wait('one more'), false);
  queue.sweep(5_000);
  assert.deepEqual(log, []);
  other.own = 0;
  assert.equal(queue.hasRoom, false, 'who came first is first');
  queue.sweep(5_999);
  assert.deepEqual(log.splice(0), ['0']);
  queue.sweep(6_000);
  assert.equal(log.length, 999);
  assert.deepEqual(log.slice(0, 2), ['1 gives up', '2 gives up']);
  own.own = 0;
  assert.equal(queue.hasRoom, true);
});
