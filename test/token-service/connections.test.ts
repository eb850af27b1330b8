import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:https';
import { connect, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { until } from '../support/until.ts';
import { certificates, OPERATOR, READER, type Running, startService } from './fixture.ts';

/** Connections that say nothing. */
async function silent(t: TestContext, { address }: Running, count: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  for (let i = 0; i < count; i += 1) {
    const socket = connect(address.port, '127.0.0.1');
    t.after(() => socket.destroy());
    socket.on('error', () => undefined);
    socket.resume();
    await once(socket, 'connect');
    sockets.push(socket);
  }
  return sockets;
}

async function revoke({ post }: Running): Promise<number> {
  const answer = await post('/oauth2/revoke', OPERATOR, { token: 'a-jti' });
  await answer.text();
  return answer.status;
}

test('silent connections lock nobody out, and readers keep theirs', async (t) => {
  const { authority } = await certificates();
  const running = await startService(t, { maxConnections: 20, heartbeatMs: 20 });
  const reading = request(`${running.address.url}/internal/data/v1/revocation-events`, {
    ca: authority.cert,
    agent: false,
    headers: { Authorization: READER },
  }).end();
  t.after(() => reading.destroy());
  reading.on('error', () => undefined);
  const [stream] = (await once(reading, 'response')) as [NodeJS.ReadableStream];
  let heard = '';
  stream.on('data', (chunk: Buffer) => (heard += chunk.toString()));

  const sockets = await silent(t, running, 60);
  assert.equal(await revoke(running), 200);
  await until(() => heard.includes('"a-jti"'), 'the event');
  await until(() => sockets.filter(({ closed }) => !closed).length <= 20, 'the oldest are closed');
  assert.ok(sockets.at(-1)?.closed === false, 'the youngest are not');
  const beats = heard.length;
  await until(() => heard.length > beats, 'a later heartbeat');
});

test('requests that hold their body back lock nobody out', async (t) => {
  const { authority } = await certificates();
  const running = await startService(t, { maxConnections: 20 });
  for (let i = 0; i < 30; i += 1) {
    const socket = connectTls({
      port: running.address.port,
      host: '127.0.0.1',
      servername: 'localhost',
      ca: authority.cert,
    });
    t.after(() => socket.destroy());
    socket.on('error', () => undefined);
    await once(socket, 'secureConnect');
    socket.write(
      'POST /oauth2/revoke HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n',
    );
  }
  assert.equal(await revoke(running), 200);
});

test('connections that wait for a next request give way', async (t) => {
  const { authority } = await certificates();
  const running = await startService(t, { maxConnections: 3 });
  const waiting: Socket[] = [];
  for (let i = 0; i < 3; i += 1) {
    const socket = connectTls({
      port: running.address.port,
      host: '127.0.0.1',
      servername: 'localhost',
      ca: authority.cert,
    });
    t.after(() => socket.destroy());
    socket.on('error', () => undefined);
    socket.write('GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await once(socket, 'data');
    waiting.push(socket);
  }
  assert.ok(waiting.every(({ closed }) => !closed));
  assert.equal(await revoke(running), 200);
});

test('a connection that never begins its handshake is closed within seconds', async (t) => {
  const running = await startService(t);
  const [socket] = await silent(t, running, 1);
  await until(() => socket?.closed === true, 'the end', 10_000);
});

test('a client that leaves in the middle of its request is no error of the service', async (t) => {
  const { authority } = await certificates();
  const running = await startService(t);
  const sending = request(`${running.address.url}/oauth2/revoke`, {
    method: 'POST',
    ca: authority.cert,
    agent: false,
    headers: {
      Authorization: OPERATOR,
      'Content-Type': 'application/x-www-form-urlencoded',
      'Content-Length': 100,
    },
  });
  sending.on('error', () => undefined);
  sending.write('token=');
  const [socket] = (await once(sending, 'socket')) as [Socket];
  await once(socket, 'secureConnect');
  await until(() => socket.bytesWritten > 0, 'the head is sent');
  // What was answered before is behind it on another connection: then the head has been read too.
  assert.equal(await revoke(running), 200);
  sending.destroy();
  await until(
    () => running.log.lines.some((line) => line.includes('left in the middle')),
    'it is said',
  );
  assert.deepEqual(
    running.log.lines.filter((line) => line.startsWith('ERROR')),
    [],
  );
});
