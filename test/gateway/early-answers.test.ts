import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ServerHttp2Stream } from 'node:http2';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { until } from '../support/until.ts';
import { http2Upstream } from './http2-peers.ts';
import { ENGINE, statusOf, wire } from './stage.ts';

const WINDOW = 65_535;
const UPLOADS = 6;

test(`uploads that an upstream over HTTP/2 answers early, with room for more right behind, end at once: ${ENGINE}`, async (t) => {
  const streams: ServerHttp2Stream[] = [];
  const resets: Promise<unknown>[] = [];
  const upstream = await http2Upstream(t, (stream) => {
    stream.on('wantTrailers', () => stream.sendTrailers({}));
    stream.respond({ ':status': 200 }, { waitForTrailers: true });
    resets.push(new Promise((resolve) => stream.once('close', resolve)));
    streams.push(stream);
  });
  const worker = new Worker(new URL('gateway-worker.ts', import.meta.url), {
    workerData: { upstream: upstream.url },
  });
  t.after(() => worker.terminate());
  const heard = async (): Promise<unknown> => ((await once(worker, 'message')) as unknown[])[0];
  const { port } = (await heard()) as { port: number };
  const client = async (): Promise<number> => {
    const one = await wire(t, port);
    one.send(`POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n${'x'.repeat(90_000)}`);
    return statusOf(await one.until(/0\r\n\r\n$/));
  };
  for (let round = 1; round <= 4; round++) {
    const answers = Promise.all(Array.from({ length: UPLOADS }, client));
    await until(() => streams.length === round * UPLOADS, 'all have begun');
    const now = streams.slice(-UPLOADS);
    await until(() => now.every((stream) => stream.readableLength === WINDOW), 'all are full');
    for (const stream of now) {
      stream.end('x'.repeat(10));
      stream.resume();
    }
    assert.deepEqual(await answers, Array(UPLOADS).fill(200));
    worker.postMessage('ping');
    const beats = once(worker, 'message', { signal: AbortSignal.timeout(10_000) });
    await assert.doesNotReject(beats, 'the thread of the gateway does something else');
  }
  await Promise.all(resets);
  worker.postMessage('end');
  await once(worker, 'exit');
});
