import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { after, describe, it } from 'node:test';
import { startTcpRelay } from '../support/tcp-relay.ts';

/** Sends back what comes. */
const server = createServer((socket) => {
  socket.on('error', () => undefined);
  socket.pipe(socket);
}).listen(0, '127.0.0.1');
await once(server, 'listening');
const relay = await startTcpRelay((server.address() as AddressInfo).port);
const sockets: Socket[] = [];
after(async () => {
  for (const socket of sockets) socket.destroy();
  await relay.close();
  server.close();
});

async function open(): Promise<Socket> {
  const socket = connect(relay.port, '127.0.0.1');
  sockets.push(socket);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

async function echo(socket: Socket, text: string): Promise<string> {
  socket.write(text);
  const [piece] = (await once(socket, 'data', { signal: AbortSignal.timeout(10_000) })) as [Buffer];
  return piece.toString();
}

/** Whether nothing comes back within a moment. */
async function isSilent(socket: Socket): Promise<boolean> {
  socket.write('silence');
  return once(socket, 'data', { signal: AbortSignal.timeout(300) }).then(
    () => false,
    () => true,
  );
}

describe('a relay', () => {
  it('forwards', async () => assert.equal(await echo(await open(), 'hello'), 'hello'));

  it('swallows what is there and what comes, and ends neither, as a black hole', async () => {
    const before = await open();
    assert.equal(await echo(before, 'hello'), 'hello');
    relay.blackhole();
    const during = await open();
    assert.ok(await isSilent(before));
    assert.ok(await isSilent(during));
    assert.ok(!before.closed && !during.closed);
    await relay.mend();
    assert.equal(await echo(await open(), 'hello'), 'hello');
    assert.ok(await isSilent(before));
  });

  it('takes its time when it is slow, and loses nothing', async () => {
    const socket = await open();
    relay.slow({ latencyMs: 100, bytesPerSecond: 1_000_000 });
    const began = performance.now();
    assert.equal(await echo(socket, 'hello'), 'hello');
    // There and back.
    assert.ok(performance.now() - began >= 195);
    relay.slow(undefined);
    assert.equal(await echo(socket, 'again'), 'again');
  });

  it('refuses while it is cut, and can be mended twice at once', async () => {
    const socket = await open();
    const ended = once(socket, 'close');
    await relay.cut();
    await ended;
    await assert.rejects(once(connect(relay.port, '127.0.0.1'), 'connect'), /ECONNREFUSED/);
    await Promise.all([relay.mend(), relay.mend()]);
    assert.equal(await echo(await open(), 'hello'), 'hello');
  });
});
