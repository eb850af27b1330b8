import { connect } from 'amqplib';
import { setTimeout as pause } from 'node:timers/promises';
import { readRevocationMessage } from '../src/sources/decode/revocation-message.ts';
import type { Servers } from './servers.ts';

/** Told the value (a `jti`) of each revocation that is seen. */
export type Sighting = (jti: string) => void;

const POLL_MS = 200;
const PREFIX = 'jti/';

/**
 * Sees what the topic carries, on a connection that no fault touches but the broker's own, with a queue that outlives the broker. What it
 * was given, every other such queue was given too.
 */
export async function watchBroker(
  servers: Servers,
  queue: string,
  seen: Sighting,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      const connection = await connect({ hostname: '127.0.0.1', port: servers.broker.port });
      const gone = Promise.withResolvers<void>();
      connection.on('error', () => gone.resolve());
      connection.on('close', () => gone.resolve());
      signal.addEventListener('abort', () => gone.resolve(), { once: true });
      const channel = await connection.createChannel();
      await channel.assertQueue(queue, { durable: true });
      await channel.bindQueue(queue, 'amq.topic', 'tokenRevocation');
      await channel.consume(queue, (message) => {
        if (message === null) return gone.resolve();
        const reading = readRevocationMessage({
          body: message.content,
          contentType: String(message.properties.contentType ?? ''),
          contentEncoding: undefined,
          type: undefined,
        });
        if (reading.kind === 'revocation' && reading.event.token !== undefined)
          seen(reading.event.token);
        channel.ack(message);
      });
      await gone.promise;
      if (signal.aborted) await channel.deleteQueue(queue);
      await connection.close();
    } catch {
      // The broker is down: that is what the check does to it.
    }
    if (!signal.aborted) await pause(POLL_MS);
  }
}

/** Sees which keys the store has, by asking it for what changed since the last answer. */
export async function watchEtcd(
  servers: Servers,
  seen: Sighting,
  signal: AbortSignal,
): Promise<void> {
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  let known = 0;
  while (!signal.aborted) {
    try {
      const answer = (await servers.etcd.call('/kv/range', {
        key: base64(PREFIX),
        range_end: base64('jti0'),
        keys_only: true,
        min_mod_revision: String(known + 1),
      })) as { header: { revision: string }; kvs?: { key: string }[] };
      const revision = Number(answer.header.revision);
      for (const { key } of answer.kvs ?? [])
        seen(Buffer.from(key, 'base64').toString('utf8').slice(PREFIX.length));
      // An old copy was put in its place: everything in it is looked at again.
      known = revision < known ? 0 : revision;
    } catch {
      // The store is down: that is what the check does to it.
    }
    await pause(POLL_MS);
  }
}
