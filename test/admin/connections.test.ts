import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { until } from '../support/until.ts';
import { exchange, startApi, TOKEN } from './stage.ts';

/** More than the listener takes. */
const CONNECTIONS = 140;

/** Connections that have sent this and never read an answer. */
async function holding(t: TestContext, port: number, text: string): Promise<void> {
  for (let i = 0; i < CONNECTIONS; i += 1) {
    const socket = connect(port, '127.0.0.1');
    t.after(() => socket.destroy());
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    socket.pause();
    socket.write(text);
    // Each is heard before the next one comes.
    await pause(2);
  }
}

describe('nobody without the token keeps the operator out', () => {
  it('by a GET that holds its body back', async (t) => {
    const { call, port } = await startApi(t);
    const head = `GET /status HTTP/1.1\r\nHost: localhost:${port}\r\nContent-Length: 10\r\n\r\n`;
    await holding(t, port, head);
    assert.equal((await call('/status')).status, 200);
  });

  it('by half a head behind a whole request', async (t) => {
    const { call, port } = await startApi(t);
    const host = `Host: localhost:${port}\r\n`;
    await holding(t, port, `GET /ready HTTP/1.1\r\n${host}\r\nGET /ready HTTP/1.1\r\n`);
    assert.equal((await call('/status')).status, 200);
  });

  it('by requests sent far ahead of their answers', async (t) => {
    const { call, port, log } = await startApi(t);
    const request = `GET /status HTTP/1.1\r\nHost: localhost:${port}\r\n\r\n`;
    await holding(t, port, request.repeat(300));
    assert.equal((await call('/status')).status, 200);
    await until(() => log.lines.length > 0, 'the refusals');
    assert.ok(log.lines.length <= CONNECTIONS * 8, `${log.lines.length} refusals`);
  });

  it('while a few requests sent ahead are answered one after the other', async (t) => {
    const { port } = await startApi(t);
    const fields = `Host: localhost:${port}\r\nAuthorization: Bearer ${TOKEN}\r\n`;
    const requests = `GET /status HTTP/1.1\r\n${fields}\r\n`.repeat(7);
    const answers = await exchange(
      port,
      `${requests}GET /status HTTP/1.1\r\n${fields}Connection: close\r\n\r\n`,
    );
    assert.equal(answers.match(/HTTP\/1\.1 200 /g)?.length, 8);
  });
});
