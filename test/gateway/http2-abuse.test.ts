import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { startHttpServer } from '../support/http-server.ts';
import { until } from '../support/until.ts';
import {
  block,
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  HEADERS,
  Http2Peer,
  settings,
  uint32,
  WINDOW_UPDATE,
} from './http2-frames.ts';
import { get, requestFields } from './rfc9113-case.ts';
import { localCertificate, openApi, stage } from './stage.ts';

const PIECE = Buffer.alloc(65_536, 'x');

/** A gateway before an upstream that answers `/big` without an end, and everything else at once. */
async function scene(t: TestContext) {
  const { cert, key } = await localCertificate();
  const upstream = await startHttpServer((request, response) => {
    request.resume();
    if (request.url?.startsWith('/big') !== true) {
      response.end('ok');
      return;
    }
    const more = (): void => {
      while (!response.destroyed && response.write(PIECE));
    };
    response.on('drain', more);
    more();
  });
  t.after(() => upstream.close());
  const { gateway, port } = await stage(t, {
    apis: [openApi(upstream.url)],
    listeners: [{ kind: 'https', host: '127.0.0.1', port: 0, tls: { cert, key } }],
  });
  return { gateway, connect: () => Http2Peer.connect(t, port, cert) };
}

for (const streams of [3, 8])
  test(`${streams} calls whose client is gone, while much of their answers waits for it, are over`, async (t) => {
    const { gateway, connect } = await scene(t);
    const peer = (await connect()).greet();
    peer.send(settings([4, 0x7fff_ffff]), frame(WINDOW_UPDATE, 0, 0, uint32(0x7000_0000)));
    for (let call = 0; call < streams; call++) peer.send(get('/big', 2 * call + 1));
    assert.ok(await peer.until(() => peer.answer(1).bytes > 0));
    peer.socket.pause();
    await until(() => gateway.counters().active === streams, 'every call is under way');
    peer.socket.destroy(); // a reset, as there is more to be read
    await until(() => gateway.counters().active === 0, 'every call is over');
  });

/** So many requests that go wrong in this way, some at a time. */
const WRONG: Readonly<Record<string, (stream: number) => Buffer>> = {
  'a body that is shorter than it says': (stream) =>
    Buffer.concat([
      head(stream, [['content-length', '5']], END_HEADERS),
      frame(DATA, END_STREAM, stream, [0x78]),
    ]),
  'a path in the trailers': (stream) =>
    Buffer.concat([
      head(stream, [], END_HEADERS),
      frame(DATA, 0, stream, [0x78]),
      frame(HEADERS, END_HEADERS | END_STREAM, stream, block([[':path', '/']])),
    ]),
  'nothing but that there are too many': (stream) =>
    Buffer.concat([
      head(stream, [['content-length', '1']], END_HEADERS),
      frame(DATA, END_STREAM, stream, [0x78]),
    ]),
};

function head(stream: number, more: readonly [string, string][], flags: number): Buffer {
  return frame(HEADERS, flags, stream, block([...requestFields('/a', 'POST'), ...more]));
}

for (const [what, request] of Object.entries(WRONG))
  for (const atOnce of [10, 50])
    test(`hundreds of streams with ${what}, ${atOnce} at a time, end their own session and nothing else`, async (t) => {
      const { gateway, connect } = await scene(t);
      const thrown: unknown[] = [];
      const note = (error: unknown): void => void thrown.push(error);
      process.on('uncaughtExceptionMonitor', note);
      t.after(() => process.off('uncaughtExceptionMonitor', note));
      const other = (await connect()).greet();
      for (let round = 0; round < 4; round++) {
        const peer = (await connect()).greet();
        for (let stream = 1; stream < 1_200 && !peer.closed; stream += 2 * atOnce) {
          const some = Array.from({ length: atOnce }, (_, at) => request(stream + 2 * at));
          peer.send(...some);
          await turn(); // what nghttp2 reads at one time is no more than that
        }
        peer.socket.destroy();
        other.send(get('/a', 2 * round + 1));
        assert.ok(await other.until(() => other.answer(2 * round + 1).ended), 'another client');
      }
      await until(() => gateway.counters().active === 0, 'every call is over');
      assert.deepEqual(thrown, []);
    });
