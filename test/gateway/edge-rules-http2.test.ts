import assert from 'node:assert/strict';
import { connect, type OutgoingHttpHeaders } from 'node:http2';
import { test } from 'node:test';
import type { EdgeRules } from '../../src/gateway/edge-rules.ts';
import { watched } from './recording-upstream.ts';
import { localCertificate, openApi } from './stage.ts';

test('the rules hold over HTTP/2 too, and there is no absolute-form', async (t) => {
  const tls = await localCertificate();
  const play = async (edge: Partial<EdgeRules>) => {
    const { port, seen } = await watched(t, (url) => ({
      apis: [openApi(url)],
      listeners: [{ kind: 'https', host: '127.0.0.1', port: 0, tls }],
      edge,
    }));
    const session = connect(`https://localhost:${port}`, { ca: tls.cert });
    t.after(() => session.destroy());
    const send = async (fields: OutgoingHttpHeaders): Promise<unknown> => {
      const stream = session.request(fields, { endStream: true }).resume();
      let status: unknown = 'reset';
      stream.on('error', () => undefined);
      stream.on('response', (answer) => (status = answer[':status']));
      await new Promise((resolve) => stream.once('close', resolve));
      return status;
    };
    return { port, seen, send };
  };

  const closed = await play({});
  for (const path of [
    '/a/../p',
    '//p',
    '/a%2fp',
    '/a\\p',
    '/%00',
    '/p#x',
    '*',
    'p',
    `https://localhost:${closed.port}/p`,
    `http://localhost:${closed.port}/p`,
  ]) {
    const status = await closed.send({ ':path': path });
    // nghttp2 resets by itself what HTTP/2 does not have (RFC 9113 section 8.3.1).
    assert.ok(status === 400 || status === 'reset', `${path}: ${String(status)}`);
  }
  assert.equal(await closed.send({ ':path': '/p', content_length: '5' }), 400);
  assert.equal(await closed.send({ ':method': 'TRACE', ':path': '/p' }), 405);
  assert.equal(await closed.send({ ':method': 'get', ':path': '/p' }), 405);
  assert.equal(closed.seen.length, 0);
  const fields = { x_user: 'admin', 'x-http-method-override': 'PUT', 'x-forwarded-for': '6.6.6.6' };
  assert.equal(await closed.send({ ':path': '/p?x', ...fields }), 200);
  assert.doesNotMatch(closed.seen[0]?.fields ?? '_', /_|override|6\.6/i);

  const open = await play({
    dotSegments: 'normalise',
    emptySegments: 'merge',
    underscoreNames: 'pass',
    methodOverride: 'pass',
    forwardedFields: 'pass',
  });
  assert.equal(await open.send({ ':path': '/a/%2e%2e/p?x=//', ...fields }), 200);
  assert.equal(await open.send({ ':path': '/a//p' }), 200);
  const lines = open.seen.map(({ line }) => line);
  assert.deepEqual(lines, ['GET /p?x=//', 'GET /a/p']);
  for (const kept of [/^x_user: admin$/im, /^x-http-method-override: PUT$/im, /: 6\.6\.6\.6, 127/])
    assert.match(open.seen[0]?.fields ?? '', kept);
});
