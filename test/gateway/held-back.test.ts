import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayFault } from '../../src/errors.ts';
import type { Exchange } from '../../src/gateway/exchange.ts';
import { HeldBack } from '../../src/gateway/held-back.ts';
import type { GatewayOptions } from '../../src/gateway/options.ts';
import { until } from '../support/until.ts';
import { api, caller, rawUpstream, stage, statusOf, wire } from './stage.ts';

const REQUEST = 'GET /a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer junk\r\n\r\n';

/** Refuses all but `good`, as an authenticator that has had enough does; keeps the addresses that it asked for. */
function impatient(addresses: string[] = []): GatewayOptions['authenticator'] {
  return {
    authenticate([credentials], _route, _id, presenter) {
      if (credentials === 'Bearer good') return caller('good');
      addresses.push(presenter?.clientAddress ?? 'not said');
      const fault = new GatewayFault('tooManyFailures', 'enough', { retryAfterSeconds: 1 });
      if (credentials === 'Bearer later') return Promise.reject(fault);
      throw fault;
    },
  };
}

const SECURED = api('', ['GET /a', { secured: true, production: ['http://127.0.0.1:1'] }]);

test('who has sent too much junk is answered 429, a little later, and the connection goes on', async (t) => {
  const upstream = await rawUpstream(t, () => undefined);
  const { port, gateway, log } = await stage(t, {
    apis: [api('', ['GET /a', { secured: true, production: [upstream.url] }])],
    authenticator: impatient(),
  });
  const client = await wire(t, port);
  for (const token of ['junk', 'later']) {
    client.text = '';
    const began = performance.now();
    const answer = await client.send(REQUEST.replace('junk', token)).until(/later"\}\}$/);
    assert.ok(performance.now() - began >= 195, token);
    assert.equal(statusOf(answer), 429);
    assert.match(answer, /\r\nRetry-After: 1\r\n/);
    assert.doesNotMatch(answer, /WWW-Authenticate/i);
    assert.match(answer, /\{"fault":\{"code":429, "message":"Too Many Requests", /);
    assert.doesNotMatch(answer, /\r\nConnection: close\r\n/i);
  }
  await until(() => gateway.counters().active === 0, '0 under way');
  assert.deepEqual(gateway.counters(), { active: 0, outcomes: { tooManyFailures: 2 } });
  assert.equal(upstream.connections(), 0);
  assert.match(log.lines.join('\n'), /429 tooManyFailures: enough \(GET \/a from 127\.0\.0\.1\)/);
});

test('others are not kept waiting meanwhile, and one that leaves is forgotten', async (t) => {
  const upstream = await rawUpstream(t, (socket) =>
    socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')),
  );
  const { port, gateway } = await stage(t, {
    apis: [api('', ['GET /a', { secured: true, production: [upstream.url] }])],
    authenticator: impatient(),
  });
  const [junk, good] = [await wire(t, port), await wire(t, port)];
  junk.send(REQUEST);
  await until(() => gateway.counters().active === 1, '1 under way');
  assert.equal(statusOf(await good.send(REQUEST.replace('junk', 'good')).until(/ok$/)), 200);
  assert.equal(junk.text, '');
  junk.socket.destroy();
  await until(() => gateway.counters().active === 0, '0 under way');
  assert.deepEqual(gateway.counters(), { active: 0, outcomes: { forwarded: 1, aborted: 1 } });
  // One that came later has its answer: the one that left would have had its own.
  await (await wire(t, port)).send(REQUEST).until(/later"\}\}$/);
  const outcomes = { forwarded: 1, aborted: 1, tooManyFailures: 1 };
  await until(() => gateway.counters().active === 0, '0 under way');
  assert.deepEqual(gateway.counters(), { active: 0, outcomes });
});

test('the address is the client behind trusted proxies, and the peer where nobody is trusted', async (t) => {
  for (const trustedProxies of [[], ['127.0.0.1']]) {
    const addresses: string[] = [];
    const { port } = await stage(t, {
      apis: [SECURED],
      authenticator: impatient(addresses),
      trustedProxies,
    });
    const client = await wire(t, port);
    const forwarded = 'X-Forwarded-For: 203.0.113.9, 198.51.100.7\r\n\r\n';
    await client.send(REQUEST.replace('\r\n\r\n', `\r\n${forwarded}`)).until(/later"\}\}$/);
    assert.deepEqual(addresses, [trustedProxies.length === 0 ? '127.0.0.1' : '198.51.100.7']);
  }
});

test('a gateway that closes answers whom it holds back first', async (t) => {
  const { port, gateway } = await stage(t, { apis: [SECURED], authenticator: impatient() });
  const client = await wire(t, port);
  client.send(REQUEST);
  await until(() => gateway.counters().active === 1, '1 under way');
  const closing = gateway.close(5_000);
  assert.equal(statusOf(await client.closed()), 429);
  await closing;
});

test('beyond the bound they are answered at once, and their connections closed; the log has a line a second of them', () => {
  let nowMs = 0;
  const held = new HeldBack(() => nowMs);
  const answered: number[] = [];
  const lines: string[] = [];
  const exchange = (name: number): Exchange => {
    // Only what a refusal asks of it.
    const stand = {
      closeAfter: false,
      answered: false,
      status: 0,
      head: {},
      id: 'id',
      plane: { realm: 'r' },
      log: { info: (_key: string, line: string) => lines.push(line) },
      clientAddress: '192.0.2.1',
      describe: () => 'GET /a',
      answer: () => {
        if (stand.closeAfter !== name >= 1_000) throw new Error(`${name}: ${stand.closeAfter}`);
        answered.push(name);
      },
    };
    return stand as unknown as Exchange;
  };
  const fault = new GatewayFault('tooManyFailures', 'enough');
  for (let name = 0; name < 1_010; name++) {
    if (name === 500) nowMs = 100;
    held.hold(exchange(name), fault);
  }
  assert.deepEqual(
    answered,
    Array.from({ length: 10 }, (_none, index) => 1_000 + index),
  );
  answered.length = 0;
  nowMs = 199;
  held.release();
  assert.equal(answered.length, 0);
  nowMs = 200;
  held.release();
  assert.equal(answered.length, 1, 'not all at once');
  for (let tick = 0; tick < 600; tick++) held.release();
  assert.deepEqual([answered.length, answered[0], answered.at(-1)], [500, 0, 499]);
  nowMs = 300;
  for (let tick = 0; tick < 600; tick++) held.release();
  assert.equal(answered.length, 1_000);
  assert.deepEqual(lines, ['429 tooManyFailures: enough (GET /a from 192.0.2.1)']);
  nowMs = 1_100;
  held.hold(exchange(0), fault);
  nowMs = 1_300;
  held.release();
  assert.deepEqual(lines.slice(1), [
    '1009 more were answered 429 tooManyFailures',
    '429 tooManyFailures: enough (GET /a from 192.0.2.1)',
  ]);
});
