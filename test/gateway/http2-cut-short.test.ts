import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../support/until.ts';
import {
  block,
  DATA,
  END_HEADERS,
  frame,
  HEADERS,
  Http2Peer,
  RST_STREAM,
  uint32,
} from './http2-frames.ts';
import { http2Stage, http2Upstream } from './http2-peers.ts';
import { api, localCertificate, rawUpstream } from './stage.ts';

const NO_ERROR = 0;
const CANCEL = 8;

test('an upload that its client ends by a reset, whatever its code, never looks whole to an upstream', async (t) => {
  let text = '';
  let open = 0;
  const old = await rawUpstream(t, (socket) => {
    open++;
    socket.on('data', (bytes: Buffer) => (text += bytes.toString('latin1')));
    socket.on('end', () => socket.destroy()).on('close', () => open--);
  });
  let whole = 0;
  let body = '';
  let over = 0;
  const modern = await http2Upstream(t, (stream) => {
    const push = stream.push.bind(stream);
    stream.push = (chunk: unknown) => {
      if (chunk === null && !stream.closed) whole++;
      return push(chunk);
    };
    stream.on('data', (bytes: Buffer) => (body += bytes.toString()));
    stream.on('close', () => over++);
  });
  const { port, gateway } = await http2Stage(t, {
    apis: [
      api(
        '',
        ['POST /old', { production: [old.url] }],
        ['POST /modern', { production: [modern.url], http2: true }],
      ),
    ],
  });
  const { cert } = await localCertificate();
  const peer = (await Http2Peer.connect(t, port, cert)).greet();
  let id = 1;
  let calls = 0;
  for (const code of [NO_ERROR, CANCEL]) {
    for (const path of ['/old', '/modern']) {
      text = '';
      body = '';
      peer.send(
        frame(
          HEADERS,
          END_HEADERS,
          id,
          block([
            [':method', 'POST'],
            [':scheme', 'https'],
            [':path', path],
            [':authority', 'localhost'],
          ]),
        ),
        frame(DATA, 0, id, Buffer.from('half a body')),
      );
      await until(() => (text + body).includes('half a body'), `it is at the upstream (${path})`);
      peer.send(frame(RST_STREAM, 0, id, uint32(code)));
      id += 2;
      await until(() => gateway.counters().active === 0, 'the request is over');
      calls += path === '/modern' ? 1 : 0;
      await until(() => open === 0 && over === calls, 'the call is ended');
      assert.doesNotMatch(text, /\r\n0\r\n/);
      assert.equal(whole, 0);
    }
  }
  assert.deepEqual(gateway.counters().outcomes, { aborted: 4 });
});
