import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { createHttpClient } from '../../src/net/http-client.ts';
import type { RevocationEvent } from '../../src/revocation/revocation.ts';
import type { RevocationSink } from '../../src/revocation/source.ts';
import { digestOf } from '../../src/revocation/token-key.ts';
import { createEventStreamSource } from '../../src/sources/event-stream.ts';
import { until } from '../support/until.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { BOB, certificates, OPERATOR, startService } from './fixture.ts';

async function follower(t: TestContext) {
  const { authority } = await certificates();
  const http = createHttpClient({ ca: [authority.cert] });
  t.after(() => http.close());
  const heard = { events: [] as RevocationEvent[], completed: 0, alive: 0, dropped: 0 };
  const begun = performance.now();
  const sink: RevocationSink = {
    add: (event) => heard.events.push(event),
    rule: () => (heard.dropped += 1),
    drop: () => (heard.dropped += 1),
    complete: () => (heard.completed += 1),
    alive: (sinceMs) => {
      // Its own clock says when the service spoke: never later than now, never before anybody asked.
      assert.ok(sinceMs !== undefined && sinceMs >= begun && sinceMs <= performance.now());
      heard.alive += 1;
    },
  };
  return { http, heard, sink };
}

test('our own event stream source follows the stream, and goes on where it was after a restart', async (t) => {
  const { http, heard, sink } = await follower(t);
  let now = Date.now();
  const options = { heartbeatMs: 60_000, now: () => now, longestTokenLifeSeconds: 3600 };
  const first = await startService(t, options);
  await first.post('/oauth2/revoke', OPERATOR, { token: 'early' });
  const source = createEventStreamSource({
    name: 'token-service',
    url: `${first.address.url}/internal/data/v1/revocation-events`,
    credentials: { username: 'gateway', password: 'the-reader-password' },
    http,
    log: recordedLog(),
    proofIntervalMs: 250,
  });
  const stop = new AbortController();
  t.after(() => stop.abort());
  const broken = source.follow(sink, stop.signal).then(
    () => 'ended',
    () => 'broken',
  );
  await until(() => heard.completed === 1 && heard.alive > 1, 'the snapshot and a heartbeat');
  const opaque = await first.token(BOB);
  await first.post('/oauth2/revoke', BOB, { token: opaque });
  await until(() => heard.events.length === 2, 'the live event');
  assert.equal(heard.events[0]?.token, 'early');
  assert.equal(heard.events[1]?.digest, digestOf(opaque));
  await first.close();
  assert.equal(await broken, 'broken');

  // Meanwhile one comes and dies unheard: the source was never told its position, and must not think that it missed something.
  const second = await startService(t, {
    ...options,
    stateFile: first.stateFile,
    port: first.address.port,
  });
  await second.post('/oauth2/revoke', OPERATOR, { token: 'unheard' });
  now += 4_250_000;
  const alive = heard.alive;
  const again = source.follow(sink, stop.signal);
  await until(() => heard.completed === 2 && heard.alive > alive + 2, 'the replay and heartbeats');
  assert.equal(heard.events.length, 2);
  assert.equal(heard.dropped, 0);
  stop.abort();
  await again;
});
