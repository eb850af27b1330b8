/**
 * Copies bytes between a client and an upstream connection of its own for each, and looks at none of them: what Node's sockets alone cost.
 */
import { connect, createServer, type Socket } from 'node:net';

const [port, upstreamPort] = process.argv.slice(2).map(Number);
const READ_BYTES = 65_536;
/** For all upstream sockets: what is read is written as text, which is a copy. */
const shared = Buffer.allocUnsafeSlow(READ_BYTES);

const waiting: (() => void)[] = [];

/** By the end of the turn, as the gateway writes. */
function later(run: () => void): void {
  if (waiting.length === 0)
    setImmediate(() => {
      for (const each of waiting.splice(0)) each();
    });
  waiting.push(run);
}

createServer({ noDelay: true }, (client) => {
  const upstream: Socket = connect({
    host: '127.0.0.1',
    port: upstreamPort ?? 0,
    noDelay: true,
    onread: {
      buffer: shared,
      callback: (length) => {
        const text = shared.toString('latin1', 0, length);
        later(() => client.write(text, 'latin1'));
        return true;
      },
    },
  });
  client.on('data', (chunk: Buffer) => {
    const text = chunk.toString('latin1');
    later(() => upstream.write(text, 'latin1'));
  });
  const end = (): void => {
    client.destroy();
    upstream.destroy();
  };
  for (const socket of [client, upstream]) socket.on('close', end).on('error', end);
}).listen(port, '127.0.0.1');
