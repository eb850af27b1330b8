/**
 * Copies bytes between a client and an upstream connection of its own for each, and looks at none of them: what Node's sockets alone cost.
 */
import { connect, createServer, type Socket } from 'node:net';
import { Outbox } from '../src/gateway/own-engine/outbox.ts';

const [port, upstreamPort] = process.argv.slice(2).map(Number);
const READ_BYTES = 65_536;
/** For all upstream sockets: what is read is written as text, which is a copy. */
const shared = Buffer.allocUnsafeSlow(READ_BYTES);

/** By the end of the turn, as the gateway writes. */
const outbox = new Outbox();

createServer({ noDelay: true }, (client) => {
  const upstream: Socket = connect({
    host: '127.0.0.1',
    port: upstreamPort ?? 0,
    noDelay: true,
    onread: {
      buffer: shared,
      callback: (length) => {
        const text = shared.toString('latin1', 0, length);
        outbox.add({ send: () => client.write(text, 'latin1') });
        return true;
      },
    },
  });
  client.on('data', (chunk: Buffer) => {
    const text = chunk.toString('latin1');
    outbox.add({ send: () => upstream.write(text, 'latin1') });
  });
  const end = (): void => {
    client.destroy();
    upstream.destroy();
  };
  for (const socket of [client, upstream]) socket.on('close', end).on('error', end);
}).listen(port, '127.0.0.1');
