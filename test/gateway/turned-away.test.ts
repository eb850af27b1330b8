import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Agent, request } from 'undici';
import { TurnedAway } from '../../src/gateway/turned-away.ts';
import type { RecordedLog } from '../support/recorded-log.ts';
import { until } from '../support/until.ts';
import {
  api,
  ENGINE,
  localCertificate,
  openApi,
  rawUpstream,
  stage,
  statusOf,
  wire,
} from './stage.ts';

const ASK = 'GET /a HTTP/1.1\r\nHost: h\r\n\r\n';
const REFUSED = 50;

/** Of all refusals that came since this moment of `performance.now()`, one a second has a line. */
function assertSaidSeldom({ lines }: RecordedLog, pattern: RegExp, since: number): void {
  const said = lines.filter((line) => pattern.test(line)).length;
  const most = 1 + Math.floor((performance.now() - since) / 1_000);
  assert.ok(said >= 1 && said <= most, `${said} lines:\n${lines.join('\n')}`);
}

test('one a second is said, with how many there were meanwhile', () => {
  let nowMs = 0;
  const one = new TurnedAway(() => nowMs);
  const next = () => {
    const { fault, detail, unsaid, retryAfterSeconds } = one.fault('it is down', 7);
    assert.deepEqual([fault, retryAfterSeconds], ['serviceUnavailable', 7]);
    return unsaid ? undefined : detail;
  };
  assert.equal(next(), 'it is down');
  nowMs = 999;
  for (let count = 0; count < 5_999; count++) assert.equal(next(), undefined);
  nowMs = 1_000;
  assert.equal(next(), 'it is down, and 5999 more were refused since the last line');
  nowMs = 3_000;
  assert.equal(next(), 'it is down');
});

test(`requests that an open circuit refuses do not fill the log, and all are counted: ${ENGINE}`, async (t) => {
  const [one, other] = [await down(), await down()];
  const { port, gateway, log } = await stage(t, {
    apis: [api('', ['GET /a', { production: [one] }], ['GET /b', { production: [other] }])],
    upstream: { circuitBreaker: { failures: 2, openForMs: 30_000 } },
  });
  const client = await wire(t, port);
  const status = async (path: string): Promise<number> => {
    client.text = '';
    return statusOf(await client.send(ASK.replace('/a', path)).until(/\}\}$/));
  };
  const since = performance.now();
  for (const path of ['/a', '/b']) {
    assert.deepEqual([await status(path), await status(path)], [502, 502]);
    for (let count = 0; count < REFUSED; count++) assert.equal(await status(path), 503);
  }
  // Each upstream has its own line.
  for (const origin of [one, other]) {
    const line = `^WARN .* 503 serviceUnavailable: ${origin} failed too often.* \\(GET /[ab] from 127`;
    assertSaidSeldom(log, new RegExp(line), since);
  }
  await until(() => gateway.counters().active === 0, 'all are answered');
  assert.equal(gateway.counters().outcomes.serviceUnavailable, 2 * REFUSED);

  /** An upstream that ends every connection. */
  async function down(): Promise<string> {
    return (await rawUpstream(t, (socket) => socket.resetAndDestroy())).url;
  }
});

test(`nor do those for which an upstream has no room: ${ENGINE}`, async (t) => {
  const upstream = await rawUpstream(t, (socket) => socket.resume());
  for (const maxWaitMs of [0, 50]) {
    const { port, gateway, log } = await stage(t, {
      apis: [openApi(upstream.url)],
      upstream: { maxActive: 1, maxWaitMs },
    });
    (await wire(t, port)).send(ASK);
    await until(() => gateway.counters().active === 1, 'one is under way');
    const clients = await Promise.all(Array.from({ length: REFUSED }, () => wire(t, port)));
    const since = performance.now();
    for (const client of clients) client.send(ASK);
    for (const client of clients) assert.equal(statusOf(await client.until(/\}\}$/)), 503);
    assertSaidSeldom(log, /WARN .* 503 serviceUnavailable: \S+ has 1 calls/, since);
    const waited =
      maxWaitMs === 0 ? '( \\(|, and \\d+ more)' : ', and its turn did not come within 50 ms';
    const bound = new RegExp(
      ` has 1 calls, all that httpClients\\.poolConfig\\.maxActiveConnections allows${waited}`,
    );
    assert.ok(
      log.lines.some((line) => bound.test(line)),
      log.lines.join('\n'),
    );
    await until(() => gateway.counters().active === 1, 'all others are answered');
    assert.equal(gateway.counters().outcomes.serviceUnavailable, REFUSED);
  }
});

test(`nor do calls of a key manager that has no room for them in time: ${ENGINE}`, async (t) => {
  const manager = await rawUpstream(t, (socket) => socket.resume());
  const tls = await localCertificate();
  const { port, gateway, log } = await stage(t, {
    listeners: [{ kind: 'https', host: '127.0.0.1', port: 0, tls }],
    keyManager: { serverUrl: manager.url, tokenContext: 'oauth2' },
    upstream: { maxActive: 1, maxWaitMs: 50 },
  });
  const dispatcher = new Agent({ connect: { ca: tls.cert } });
  t.after(() => dispatcher.destroy());
  const ask = () => request(`https://localhost:${port}/userinfo`, { dispatcher });
  const first = ask();
  first.catch(() => undefined); // never answered
  await until(() => gateway.counters().active === 1, 'one is under way');
  const since = performance.now();
  const statuses = await Promise.all(
    Array.from({ length: REFUSED }, async () => {
      const { statusCode, body } = await ask();
      await body.dump();
      return statusCode;
    }),
  );
  assert.deepEqual(new Set(statuses), new Set([500]));
  assertSaidSeldom(log, /ERROR .* 500 serviceUnavailable: \S+ has 1 calls/, since);
});
