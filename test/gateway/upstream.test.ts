import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Upstreams } from '../../src/gateway/upstream.ts';
import { ENGINE, rawUpstream } from './stage.ts';
import { MovedClock } from '../support/moved-clock.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { until } from '../support/until.ts';

test('an origin that no route names any more is closed when nobody can have a route to it', async (t) => {
  let closed = 0;
  const { url } = await rawUpstream(t, (socket) => {
    const head = 'HTTP/1.1 200 OK\r\nKeep-Alive: timeout=60\r\nContent-Length: 0\r\n\r\n';
    socket.on('data', () => socket.write(head));
    socket.on('end', () => socket.end()).on('close', () => closed++);
  });
  const clock = new MovedClock();
  const upstreams = new Upstreams(ENGINE, {}, recordedLog(), clock);
  t.after(() => upstreams.destroy());
  const upstream = upstreams.endpoints([url])?.next().upstream;
  assert.ok(upstream);
  let ended = 0;
  const call = (): void => {
    upstream.side.call(
      {
        method: 'GET',
        path: '/',
        fields: [],
        body: undefined,
        switching: false,
        trailers: false,
      },
      {
        onHead: () => true,
        onData: () => true,
        onEnd: () => ended++,
        onFlush: () => undefined,
        onSwitch: () => undefined,
        onFailure: ({ detail }) => assert.fail(detail),
      },
      false,
    );
  };
  call();
  await until(() => ended === 1, 'the first call is answered');
  let nowMs = performance.now();
  clock.sweep(upstreams, nowMs);
  upstreams.keepOnly(new Set());
  clock.sweep(upstreams, nowMs);
  call();
  await until(() => ended === 2, 'a request that had begun is served');
  upstream.calls.own++;
  clock.sweep(upstreams, (nowMs += 200_000));
  call();
  await until(() => ended === 3, 'it is not closed while a call is under way');
  upstream.calls.own--;
  clock.sweep(upstreams, (nowMs += 1));
  await until(() => closed > 0, 'its connections are closed');
});
